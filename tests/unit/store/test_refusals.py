"""What a store refuses: by which error and code, and with words that name the task and the reason."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import attrs
import pytest

from autopilot.errors import AlreadyExistsError, BusyError, LeaseLostError, NotFoundError, TransitionError
from autopilot.models import Ending, Reason, Status, TaskRecord
from autopilot.store import protocol
from autopilot.store.contract import SlotLimits
from autopilot.store.memory import MemoryStore
from autopilot.system.processes import identify
from autopilot.taskfile import parse
from autopilot.testing.stores import draft, gone_owner, result_of


@pytest.fixture(params=["file", "memory"])
def store(request, open_file_store, log, clock):
    return open_file_store() if request.param == "file" else MemoryStore(publish=log.publish, clock=clock)


def claim(store, task_id="one", *, total=9, **more):
    limits = SlotLimits(total=total, executor=more.pop("own", None))
    return store.claim(task_id, executor="local", owner=identify(), limits=limits, ttl_s=30.0, **more)


def start(store, lease):
    return store.start(lease, owner=identify())


def end(store, lease, status=Status.DONE):
    return store.finish(lease, Ending(status=status, record=lease.record))


def move(store, status, expected=Status.PENDING):
    return store.move("one", Ending(status=status, record=store.record("one")), expected=expected)


def old_token(store):
    old = start(store, claim(store))
    end(store, old, Status.PENDING)
    return old


def taken(store):
    store.create(draft("one"))


def missing(store):
    store.get("two")


def claim_missing(store):
    claim(store, "two")


def held(store):
    claim(store)
    claim(store)


def changed(store):
    claim(store, digest="0" * 64)


def not_pending(store):
    move(store, Status.CANCELLED)
    claim(store)


def newer_format(store):
    store.edit("one", {"schema": 2})
    claim(store)


def no_slot(store):
    store.create(draft("two"))
    claim(store, "two")
    claim(store, total=1)


def no_slot_of_its_own(store):
    store.create(draft("two"))
    claim(store, "two")
    claim(store, own=1)


def started_twice(store):
    started = start(store, claim(store))
    start(store, started)


def renewed_late(store):
    store.renew(old_token(store))


def reported_late(store):
    old = old_token(store)
    store.report(old, result_of(old))


def reported_by_nobody(store):
    lease = claim(store)
    store.report(attrs.evolve(lease, record=attrs.evolve(lease.record, task_id="two")), result_of(lease))


def judged_a_claim_that_has_started(store):
    lease = claim(store)
    start(store, lease)
    end(store, lease, Status.PENDING)


def of_another_owner(store):
    lease = start(store, claim(store))
    store.renew(attrs.evolve(lease, owner=gone_owner()))


def ended_before_it_started(store):
    end(store, claim(store))


def moved_while_held(store):
    claim(store)
    move(store, Status.CANCELLED)


def not_expected(store):
    move(store, Status.CANCELLED, expected=Status.BLOCKED)


def moved_in_a_newer_format(store):
    store.edit("one", {"schema": 2})
    move(store, Status.CANCELLED)


def moved_into_a_claim(store):
    move(store, Status.CLAIMED)


def unknown_transition(store):
    move(store, Status.CANCELLED)
    move(store, Status.BLOCKED, expected=Status.CANCELLED)


def edited_missing(store):
    store.edit("two", {"title": "x"})


def replaced_after_a_change(store):
    store.replace_text("one", draft("one").text, digest="0" * 64)


def edited_after_a_change(store):
    store.edit("one", {"title": "x"}, digest="0" * 64)


REFUSALS = [
    (taken, AlreadyExistsError, "already_exists", ["'one'"]),
    (missing, NotFoundError, "not_found", ["'two'"]),
    (claim_missing, NotFoundError, "not_found", ["'two'"]),
    (held, BusyError, "held", ["task one", "held", "claimed", "attempt 1"]),
    (changed, BusyError, "changed", ["task one", "changed"]),
    (not_pending, BusyError, "not_pending", ["task one", "cancelled"]),
    (newer_format, BusyError, "not_pending", ["task one", "format 2", "newer than 1"]),
    (no_slot, BusyError, "no_slot", ["1 slots"]),
    (no_slot_of_its_own, BusyError, "no_slot", ["1 slots", "local"]),
    (started_twice, LeaseLostError, "lease_lost", ["attempt 1", "task one", "started already"]),
    (renewed_late, LeaseLostError, "lease_lost", ["attempt 1", "task one"]),
    (reported_late, LeaseLostError, "lease_lost", ["attempt 1", "task one"]),
    (reported_by_nobody, LeaseLostError, "lease_lost", ["attempt 1", "task two"]),
    (judged_a_claim_that_has_started, LeaseLostError, "lease_changed", ["attempt 1", "task one", "started"]),
    (of_another_owner, LeaseLostError, "lease_changed", ["attempt 1", "task one", "by process"]),
    (ended_before_it_started, TransitionError, "transition_refused", ["task one", "claimed", "done"]),
    (moved_while_held, BusyError, "held", ["task one", "claimed", "attempt 1"]),
    (not_expected, BusyError, "not_expected", ["task one", "pending", "blocked"]),
    (moved_in_a_newer_format, BusyError, "newer_format", ["task one", "format 2", "newer than 1"]),
    (moved_into_a_claim, TransitionError, "transition_refused", ["task one", "claimed"]),
    (unknown_transition, TransitionError, "transition_refused", ["task one", "cancelled", "blocked"]),
    (edited_missing, NotFoundError, "not_found", ["'two'"]),
    (edited_after_a_change, BusyError, "changed", ["task one", "changed"]),
    (replaced_after_a_change, BusyError, "changed", ["task one", "changed"]),
]

SAY_WHAT_TO_DO = [
    newer_format,
    renewed_late,
    judged_a_claim_that_has_started,
    moved_in_a_newer_format,
    moved_into_a_claim,
    unknown_transition,
    taken,
    missing,
    claim_missing,
    edited_after_a_change,
]


@pytest.mark.parametrize("step, error, code, words", REFUSALS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_refusal_says_what_and_why(store, step, error, code, words):
    store.create(draft("one"))
    with pytest.raises(error) as refused:
        step(store)
    assert type(refused.value) is error
    assert refused.value.code == code
    for word in words:
        assert word in refused.value.message
    assert isinstance(refused.value.hint, str)
    assert refused.value.hint or step not in SAY_WHAT_TO_DO


def test_a_lease_in_other_hands_says_whose(store):
    store.create(draft("one"))
    with pytest.raises(LeaseLostError, match=f"by process {os.getpid()}"):
        of_another_owner(store)


def test_an_end_without_a_time_writes_none(store):
    task = store.create(draft("one"))
    lease = claim(store)
    timeless = attrs.evolve(lease, ending=Ending(status=Status.DONE, record=lease.record))
    assert protocol.markdown_values(timeless, task) == {"status": "done", "attempt": 1}


def test_a_task_set_back_by_a_person_begins_anew():
    later = datetime(2026, 11, 22, tzinfo=UTC)
    reason = Reason(code="c", message="m")
    kept = TaskRecord(task_id="one", token=4, seq=9, earlier_failure="it broke", sessions={"a": "s"})
    counted = attrs.evolve(
        kept,
        used=1,
        lost=2,
        unavailable=3,
        failed_on=("a",),
        spent_usd=1.5,
        not_before=later,
        reason=reason,
        projected=Status.BLOCKED,
    )
    task = parse(draft("one").text, expected_id="one")
    assert protocol.as_edited(counted, task) == kept
    assert protocol.as_edited(counted, attrs.evolve(task, status=Status.BLOCKED)) == counted
    assert protocol.as_edited(counted, None) == counted
