"""The rules of leases as pure functions; what they refuse is in ``test_refusals``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from autopilot.models import Ending, EventDraft, Lease, LeaseState, Reason, Status, TaskRecord
from autopilot.store import protocol
from autopilot.system.processes import identify
from autopilot.taskfile import parse
from autopilot.testing.stores import FakeClock, draft

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def task_of(**values):
    return attrs.evolve(parse(draft("one").text, expected_id="one"), **values)


def lease_of(*, token=1, not_before=None, **more):
    lease = Lease(
        record=TaskRecord(task_id="one", token=token, not_before=not_before),
        state=LeaseState.STARTED,
        executor="local",
        owner=identify(),
        claimed_at=NOW,
        beat=1.0,
        ttl_s=30.0,
    )
    return attrs.evolve(lease, **more)


def ended(status, result=None):
    lease = lease_of()
    return attrs.evolve(
        lease, state=LeaseState.ENDED, ending=Ending(status=status, record=lease.record, result=result)
    )


def test_a_lease_shows_through_a_file_that_says_nothing_of_it():
    assert protocol.overlay(task_of(), lease_of(token=7)) == task_of(status=Status.IN_PROGRESS, attempt=7)


@pytest.mark.parametrize("given, shown", [(None, {"a": 1}), ({"b": 2}, {"b": 2})])
def test_the_result_of_an_end_replaces_the_one_before(given, shown):
    done = task_of(status=Status.DONE, attempt=1, result={"a": 1})
    assert protocol.overlay(done, ended(Status.DONE, given)).result == shown


@pytest.mark.parametrize(
    "one, other, later",
    [(None, None, None), (NOW, None, NOW), (None, NOW, NOW), (NOW, LATER, LATER), (LATER, NOW, LATER)],
)
def test_the_later_of_two_times_counts(one, other, later):
    record = TaskRecord(task_id="one", not_before=other)
    assert protocol.overlay(task_of(not_before=one), None, record).not_before == later
    assert protocol.overlay(task_of(not_before=one), lease_of(not_before=other)).not_before == later


def test_a_claim_takes_on_what_is_remembered_but_for_what_held_it_back():
    clock = FakeClock()
    record = TaskRecord(
        task_id="one",
        token=3,
        seq=9,
        used=2,
        sessions={"a": "s"},
        not_before=NOW,
        reason=Reason(code="c", message="m"),
        projected=Status.BLOCKED,
    )
    lease = protocol.claimed(
        record,
        token=4,
        executor="local",
        owner=identify(),
        ttl_s=30.0,
        events=(EventDraft(event_type="x.y"),),
        clock=clock,
    )
    assert lease.record == TaskRecord(
        task_id="one", token=4, seq=1, used=2, sessions={"a": "s"}, projected=Status.CLAIMED
    )
    assert [event.id for event in lease.outbox] == ["evt-one.4.1"]
    assert (lease.beat, lease.claimed_at) == (clock.steady, clock.wall)


def test_a_start_is_a_sign_of_life():
    clock = FakeClock()
    claimed = lease_of(state=LeaseState.CLAIMED)
    begun = protocol.started(claimed, claimed, owner=identify(), guardian=None, events=(), clock=clock)
    assert (begun.state, begun.beat) == (LeaseState.STARTED, clock.steady)


def test_an_end_keeps_who_and_which_and_counts_its_events():
    clock = FakeClock()
    held = lease_of(token=4)
    kept = TaskRecord(task_id="two", token=9, seq=9, used=1)
    ending = Ending(status=Status.DONE, record=kept, result={"a": 1}, events=(EventDraft(event_type="x.y"),))
    last = protocol.ended(held, held, ending, carried=(), clock=clock)
    assert last.record == TaskRecord(task_id="one", token=4, seq=1, used=1, projected=Status.DONE, result={"a": 1})
    assert last.ending == Ending(status=Status.DONE, record=last.record, result={"a": 1}, at=clock.wall)
    assert [event.id for event in last.outbox] == ["evt-one.4.1"]


def test_an_end_without_a_result_leaves_the_last_one():
    held = lease_of(token=4)
    kept = TaskRecord(task_id="one", result={"a": 1})
    last = protocol.ended(held, held, Ending(status=Status.PENDING, record=kept), carried=(), clock=FakeClock())
    assert last.record.result == {"a": 1}


def test_a_record_moves_no_task_that_has_ended():
    done = task_of(status=Status.DONE)
    assert protocol.overlay(done, None, TaskRecord(task_id="one", not_before=NOW)) is done
