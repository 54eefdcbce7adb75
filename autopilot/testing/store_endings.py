"""The store suite, part three: how attempts end, and tasks move without one."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from autopilot.errors import (
    BusyError,
    LeaseLostError,
    NotFoundError,
    StorageError,
    TransitionError,
)
from autopilot.models import (
    Ending,
    EventDraft,
    Reason,
    Status,
    Task,
    TaskRecord,
)
from autopilot.store.contract import SlotLimits, Store
from autopilot.testing.store_kit import (
    FakeClock,
    RecordingLog,
    StoreCase,
    bare,
    draft,
    gone_owner,
)


class EndingTests(StoreCase):
    """Finish, move, project."""

    # ------------------------------------------------------------------ finish

    def test_finish_writes_status_and_result(self, store: Store, second: Store, log: RecordingLog) -> None:
        store.create(draft("one"), [EventDraft(event_type="task.created")])
        lease = self.start(store, self.claim(store, "one"))
        result = {"executor": "local", "outcome": "succeeded", "verified": True, "cost_usd": 0.25}
        kept = attrs.evolve(lease.record, used=1, sessions={"local": "s-1"}, spent_usd=0.25, failed_on=("x",))
        ending = Ending(
            status=Status.DONE, record=kept, result=result, events=(EventDraft(event_type="task.done"),)
        )
        task = store.finish(lease, ending)
        assert task == second.get("one")
        assert isinstance(task, Task)
        assert (task.status, task.attempt, task.result) == (Status.DONE, 1, result)
        assert store.lease("one") is None
        assert store.leases() == []
        record = second.record("one")
        assert (record.token, record.used, record.spent_usd) == (1, 1, 0.25)
        assert dict(record.sessions) == {"local": "s-1"}
        assert record.failed_on == ("x",)
        assert (record.projected, record.result) == (Status.DONE, result)
        assert log.types() == ["task.created", "task.claimed", "attempt.started", "task.done"]
        assert len(log.events) == 4

    @pytest.mark.parametrize("status", [Status.DONE, Status.BLOCKED, Status.CANCELLED, Status.PENDING])
    def test_every_end_of_an_attempt(self, store: Store, status: Status) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        store.finish(lease, self.ending(lease, status))
        assert self.status(store, "one") is status

    @pytest.mark.parametrize("status", [Status.PENDING, Status.CANCELLED])
    def test_a_claim_can_be_given_back_or_cancelled(self, store: Store, status: Status) -> None:
        store.create(draft("one"))
        lease = self.claim(store, "one")
        store.finish(lease, self.ending(lease, status))
        assert self.status(store, "one") is status
        assert store.leases() == []

    @pytest.mark.parametrize("status", [Status.DONE, Status.BLOCKED, Status.CLAIMED, Status.IN_PROGRESS])
    def test_a_claim_that_never_started_cannot_end_so(self, store: Store, status: Status) -> None:
        store.create(draft("one"))
        lease = self.claim(store, "one")
        with pytest.raises(TransitionError):
            store.finish(lease, self.ending(lease, status))
        assert bare(store.lease("one")) == bare(lease)

    def test_an_old_token_ends_nothing(self, store: Store, log: RecordingLog) -> None:
        store.create(draft("one"))
        old = self.start(store, self.claim(store, "one"))
        store.finish(old, self.ending(old, Status.PENDING))
        with pytest.raises(LeaseLostError):
            store.finish(old, self.ending(old, Status.DONE))
        new = self.claim(store, "one")
        before = len(log.events)
        with pytest.raises(LeaseLostError):
            store.finish(old, self.ending(old, Status.DONE))
        assert bare(store.lease("one")) == bare(new)
        assert len(log.events) == before

    def test_who_judged_the_claim_must_not_end_the_attempt(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        claimed = self.claim(store, "one", owner=gone_owner())
        judged = second.lease("one")
        assert judged is not None
        started = self.start(store, claimed)
        with pytest.raises(LeaseLostError):
            second.finish(judged, self.ending(judged, Status.PENDING))
        assert bare(store.lease("one")) == bare(started)

    def test_who_judged_before_a_cancel_was_asked_for_must_judge_again(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        judged = self.start(store, self.claim(store, "one"))
        assert second.request_cancel("one", by="ann")
        for status in (Status.PENDING, Status.BLOCKED, Status.DONE):
            with pytest.raises(LeaseLostError) as refused:
                store.finish(judged, self.ending(judged, status))
            assert refused.value.code == "lease_changed"
        asked = store.lease("one")
        assert asked is not None and asked.cancel == "ann"
        store.finish(asked, self.ending(asked, Status.CANCELLED))
        assert self.status(store, "one") is Status.CANCELLED

    def test_tokens_only_grow(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        tokens = []
        for mine in itertools.islice(itertools.cycle([store, second]), 6):
            lease = self.claim(mine, "one")
            tokens.append(lease.token)
            mine.finish(lease, self.ending(lease, Status.PENDING))
        assert tokens == [1, 2, 3, 4, 5, 6]

    def test_parking(self, store: Store, clock: FakeClock) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        until = clock.now() + timedelta(hours=2)
        why = Reason(code="rate_limited", message="resting", hint="wait")
        kept = attrs.evolve(lease.record, not_before=until, reason=why, earlier_failure="429")
        shown = store.finish(lease, Ending(status=Status.PENDING, record=kept))
        task = store.get("one")
        assert isinstance(task, Task)
        assert shown == task
        assert task.status is Status.PENDING
        assert task.not_before == until
        record = store.record("one")
        assert (record.not_before, record.reason, record.earlier_failure) == (until, why, "429")
        again = self.claim(store, "one")
        assert again.record.not_before is None
        assert again.record.reason is None
        assert again.record.earlier_failure == "429"
        store.finish(again, self.ending(again, Status.PENDING))
        assert getattr(store.get("one"), "not_before", "") is None

    def test_a_persons_own_not_before_stays(self, store: Store, clock: FakeClock) -> None:
        store.create(draft("one", not_before="2031-01-01T00:00:00Z"))
        lease = self.claim(store, "one")
        kept = attrs.evolve(lease.record, not_before=clock.now())
        store.finish(lease, Ending(status=Status.PENDING, record=kept))
        task = store.get("one")
        assert isinstance(task, Task)
        assert task.not_before == datetime(2031, 1, 1, tzinfo=UTC)

    def test_an_end_that_cannot_be_told_yet(self, store: Store, second: Store, log: RecordingLog) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        log.fault = StorageError("full")
        store.finish(lease, self.ending(lease, Status.DONE))
        assert self.status(second, "one") is Status.DONE
        assert second.project() == 0
        log.fault = None
        assert second.project() == 1
        assert second.project() == 0
        assert second.leases() == []
        assert log.types() == ["task.claimed", "attempt.started", "task.done"]

    def test_ended_leases_take_no_slot(self, store: Store, log: RecordingLog) -> None:
        store.create(draft("one"))
        store.create(draft("two"))
        lease = self.start(store, self.claim(store, "one"))
        log.fault = StorageError("full")
        store.finish(lease, self.ending(lease, Status.DONE))
        log.fault = None
        self.claim(store, "two", limits=SlotLimits(total=1))

    # ------------------------------------------------------------------ move

    def test_a_record_from_before_the_last_attempt_moves_nothing(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        old = self.moving(store, "one", Status.BLOCKED)
        lease = self.start(second, self.claim(second, "one"))
        spent = attrs.evolve(lease.record, used=1, spent_usd=5.0)
        second.finish(lease, Ending(status=Status.PENDING, record=spent))
        with pytest.raises(BusyError) as refused:
            store.move("one", old, expected=Status.PENDING)
        assert refused.value.code == "changed"
        assert (store.record("one").used, store.record("one").spent_usd) == (1, 5.0)

    def test_moves_and_their_events(self, store: Store, log: RecordingLog) -> None:
        store.create(draft("one"), [EventDraft(event_type="task.created")])
        why = Reason(code="unknown_executor", message="nobody knows it", hint="install it")
        store.move("one", self.moving(store, "one", Status.BLOCKED, reason=why), expected=Status.PENDING)
        assert self.status(store, "one") is Status.BLOCKED
        assert store.record("one").reason == why
        store.move("one", self.moving(store, "one", Status.PENDING, reason=None), expected=Status.BLOCKED)
        self.run(store, "one")
        store.move("one", self.moving(store, "one", Status.PENDING, used=0), expected=Status.DONE)
        assert self.claim(store, "one").token == 2
        ids = [event.id for event in log.distinct()]
        assert len(set(ids)) == len(ids) == 8
        assert store.record("one").token == 2

    def test_the_state_machine_is_kept(self, store: Store) -> None:
        store.create(draft("one"))
        for status in (Status.DONE, Status.CLAIMED, Status.IN_PROGRESS):
            with pytest.raises(TransitionError):
                store.move("one", self.moving(store, "one", status), expected=Status.PENDING)
        store.move("one", self.moving(store, "one", Status.CANCELLED), expected=Status.PENDING)
        for status in (Status.DONE, Status.BLOCKED):
            with pytest.raises(TransitionError):
                store.move("one", self.moving(store, "one", status), expected=Status.CANCELLED)
        assert self.status(store, "one") is Status.CANCELLED

    def test_a_move_wants_the_expected_status(self, store: Store) -> None:
        store.create(draft("one"))
        with pytest.raises(BusyError):
            store.move("one", self.moving(store, "one", Status.PENDING), expected=Status.BLOCKED)
        with pytest.raises(NotFoundError):
            store.move(
                "two", Ending(status=Status.CANCELLED, record=TaskRecord(task_id="two")), expected=Status.PENDING
            )

    def test_a_held_task_is_not_moved(self, store: Store) -> None:
        store.create(draft("one"))
        ending = self.moving(store, "one", Status.CANCELLED)
        lease = self.claim(store, "one")
        with pytest.raises(BusyError):
            store.move("one", ending, expected=Status.PENDING)
        with pytest.raises(BusyError):
            store.move("one", ending, expected=Status.CLAIMED)
        assert bare(store.lease("one")) == bare(lease)

    def test_a_status_can_be_stated_again(self, store: Store, clock: FakeClock) -> None:
        store.create(draft("one"))
        until = clock.now() + timedelta(hours=1)
        store.move("one", self.moving(store, "one", Status.PENDING, not_before=until), expected=Status.PENDING)
        assert getattr(store.get("one"), "not_before", None) == until
        assert store.edit("one", {"priority": "low"}).not_before == until
        store.move("one", self.moving(store, "one", Status.PENDING, not_before=None), expected=Status.PENDING)
        assert getattr(store.get("one"), "not_before", "") is None

    def test_a_person_who_sets_an_ended_task_back_begins_its_counters_anew(self, store: Store) -> None:
        store.create(draft("one"))
        lease = self.claim(store, "one")
        spent = attrs.evolve(lease.record, used=1, failed_on=("shell",), earlier_failure="it broke")
        begun = self.start(store, lease)
        store.finish(begun, Ending(status=Status.BLOCKED, record=spent))
        assert store.record("one").used == 1
        store.edit("one", {"status": "pending"})
        record = store.record("one")
        assert (record.used, record.failed_on, record.token) == (0, (), 1)
        again = self.claim(store, "one")
        assert (again.token, again.record.used, again.record.earlier_failure) == (2, 0, "it broke")

    def test_a_status_that_nobody_holds_is_repaired(self, store: Store) -> None:
        store.create(draft("one", status="in_progress", attempt="4"))
        assert store.record("one").token == 4
        store.move("one", self.moving(store, "one", Status.PENDING), expected=Status.IN_PROGRESS)
        assert self.status(store, "one") is Status.PENDING
        assert self.claim(store, "one").token == 5

    @pytest.mark.parametrize("status", [Status.DONE, Status.BLOCKED, Status.CANCELLED])
    def test_a_person_sets_an_ended_task_back_to_pending(self, store: Store, status: Status) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        why = Reason(code="used_up", message="three times")
        kept = attrs.evolve(lease.record, used=3, lost=1, failed_on=("local",), reason=why, earlier_failure="so")
        store.finish(lease, Ending(status=status, record=kept))
        assert store.record("one").used == 3
        store.edit("one", {"status": "pending"})
        record = store.record("one")
        assert (record.token, record.used, record.lost, record.failed_on, record.reason) == (1, 0, 0, (), None)
        assert record.earlier_failure == "so"
        again = self.claim(store, "one")
        assert (again.token, again.record.used) == (2, 0)

    def test_a_move_that_cannot_be_told_yet(self, store: Store, log: RecordingLog) -> None:
        store.create(draft("one"))
        log.fault = StorageError("full")
        store.move("one", self.moving(store, "one", Status.CANCELLED), expected=Status.PENDING)
        assert self.status(store, "one") is Status.CANCELLED
        log.fault = None
        store.project()
        assert log.types() == ["task.cancelled"]
        assert store.leases() == []
