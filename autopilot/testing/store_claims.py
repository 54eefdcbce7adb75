"""The store suite, part two: one holder at a time, from the claim to the report."""

from __future__ import annotations

import threading
from collections import Counter

import attrs
import pytest

from autopilot.errors import (
    AlreadyExistsError,
    BusyError,
    LeaseLostError,
    NotFoundError,
    StorageError,
)
from autopilot.models import (
    LeaseState,
    OutcomeKind,
    Status,
    Task,
)
from autopilot.store.contract import SlotLimits, Store
from autopilot.system.processes import identify
from autopilot.testing.store_kit import (
    TICKET,
    FakeClock,
    OpenStore,
    RecordingLog,
    StoreCase,
    all_of,
    bare,
    draft,
    gone_owner,
    result_of,
)


class ClaimTests(StoreCase):
    """Claim, start, renew, cancel, report."""

    # ------------------------------------------------------------------ claim

    def test_a_claim_takes_the_task(self, store: Store, log: RecordingLog, clock: FakeClock) -> None:
        task = store.create(draft("one"))
        lease = self.claim(store, "one", digest=task.digest)
        assert lease.token == 1
        assert lease.state is LeaseState.CLAIMED
        assert lease.executor == "local"
        assert lease.owner == identify()
        assert lease.ttl_s == 30.0
        assert lease.beat == pytest.approx(clock.monotonic(), abs=1)
        assert bare(store.lease("one")) == bare(lease)
        assert [bare(held) for held in store.leases()] == [bare(lease)]
        assert self.status(store, "one") is Status.CLAIMED
        assert getattr(store.get("one"), "attempt", None) == 1
        assert [event.id for event in log.events] == ["evt-one.1.1"]
        assert log.events[0].payload == {"why": "a test"}

    def test_the_file_says_claimed(self, store: Store, second: Store) -> None:
        made = store.create(draft("one"))
        lease = self.claim(store, "one")
        written = store.get("one")
        assert isinstance(written, Task)
        assert written.digest != made.digest
        assert written.body == made.body
        assert written.extra == made.extra
        store.finish(lease, self.ending(lease, Status.PENDING))
        assert self.status(second, "one") is Status.PENDING

    def test_a_held_task_cannot_be_claimed(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        self.claim(store, "one")
        with pytest.raises(BusyError) as refused:
            self.claim(second, "one")
        assert refused.value.code == "held"

    def test_only_pending_tasks_are_claimed(self, store: Store) -> None:
        store.create(draft("one"))
        self.run(store, "one")
        with pytest.raises(BusyError) as refused:
            self.claim(store, "one")
        assert refused.value.code == "not_pending"
        with pytest.raises(NotFoundError):
            self.claim(store, "two")

    def test_a_file_of_a_newer_format_is_never_claimed(self, store: Store) -> None:
        store.create(draft("one", schema="7"))
        with pytest.raises(BusyError):
            self.claim(store, "one")
        with pytest.raises(BusyError):
            store.move("one", self.moving(store, "one", Status.CANCELLED), expected=Status.PENDING)

    def test_a_claim_wants_the_file_that_was_judged(self, store: Store) -> None:
        made = store.create(draft("one"))
        store.edit("one", {"priority": "low"})
        with pytest.raises(BusyError) as refused:
            self.claim(store, "one", digest=made.digest)
        assert refused.value.code == "changed"
        assert store.leases() == []

    def test_slots_are_counted_over_all_objects(self, store: Store, second: Store) -> None:
        for task_id in "abc":
            store.create(draft(task_id))
        self.claim(store, "a", limits=SlotLimits(total=2))
        lease = self.claim(second, "b", limits=SlotLimits(total=2))
        with pytest.raises(BusyError) as refused:
            self.claim(store, "c", limits=SlotLimits(total=2))
        assert refused.value.code == "no_slot"
        second.finish(lease, self.ending(lease, Status.PENDING))
        self.claim(store, "c", limits=SlotLimits(total=2))

    def test_an_executors_own_slots(self, store: Store) -> None:
        for task_id in "abc":
            store.create(draft(task_id))
        self.claim(store, "a", executor="x", limits=SlotLimits(total=9, executor=1))
        with pytest.raises(BusyError) as refused:
            self.claim(store, "b", executor="x", limits=SlotLimits(total=9, executor=1))
        assert refused.value.code == "no_slot"
        self.claim(store, "b", executor="y", limits=SlotLimits(total=9, executor=1))

    def test_a_claim_that_cannot_be_told_is_undone(self, store: Store, log: RecordingLog) -> None:
        made = store.create(draft("one"))
        log.fault = StorageError("full")
        with pytest.raises(StorageError):
            self.claim(store, "one")
        assert store.get("one") == made
        assert store.leases() == []
        log.fault = None
        assert self.claim(store, "one").token == 1

    def test_sixteen_claimers_one_winner(self, store: Store, open_store: OpenStore | None) -> None:
        if open_store is None:
            pytest.skip("this store cannot be opened twice")
        store.create(draft("one"))
        answers: Counter[str] = Counter()
        barrier = threading.Barrier(16)

        def racer() -> None:
            mine = open_store()
            barrier.wait(30)
            try:
                self.claim(mine, "one")
                answers["won"] += 1
            except BusyError as busy:
                answers[busy.code] += 1
            finally:
                mine.close()

        all_of([threading.Thread(target=racer) for _ in range(16)])
        assert answers["won"] == 1
        assert sum(answers.values()) == 16

    def test_sixteen_creators_one_winner(self, store: Store, open_store: OpenStore | None) -> None:
        if open_store is None:
            pytest.skip("this store cannot be opened twice")
        won: list[int] = []
        barrier = threading.Barrier(16)

        def racer(number: int) -> None:
            mine = open_store()
            barrier.wait(30)
            try:
                mine.create(draft("one", title=f"by {number}"))
                won.append(number)
            except AlreadyExistsError:
                pass
            finally:
                mine.close()

        all_of([threading.Thread(target=racer, args=(number,)) for number in range(16)])
        (winner,) = won
        assert getattr(store.get("one"), "title", None) == f"by {winner}"

    # ------------------------------------------------------------------ start

    def test_start_hands_the_lease_to_the_runner(self, store: Store, log: RecordingLog) -> None:
        store.create(draft("one"))
        claimed = self.claim(store, "one", owner=gone_owner())
        guardian = attrs.evolve(identify(), pid=1)
        lease = store.start(claimed, owner=identify(), guardian=guardian, events=(TICKET,))
        assert lease.state is LeaseState.STARTED
        assert (lease.owner, lease.guardian) == (identify(), guardian)
        assert lease.token == claimed.token
        assert bare(store.lease("one")) == bare(lease)
        assert self.status(store, "one") is Status.IN_PROGRESS
        assert [event.id for event in log.distinct()] == ["evt-one.1.1", "evt-one.1.2"]

    def test_a_token_is_started_once(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        claimed = self.claim(store, "one")
        started = self.start(store, claimed)
        with pytest.raises(LeaseLostError):
            self.start(second, claimed)
        with pytest.raises(LeaseLostError):
            self.start(second, started)

    def test_a_late_start_is_refused(self, store: Store) -> None:
        store.create(draft("one"))
        old = self.claim(store, "one")
        store.finish(old, self.ending(old, Status.PENDING))
        with pytest.raises(LeaseLostError):
            self.start(store, old)
        new = self.claim(store, "one")
        with pytest.raises(LeaseLostError):
            self.start(store, old)
        assert self.start(store, new).token == 2

    def test_a_start_that_cannot_be_told_goes_on(self, store: Store, log: RecordingLog) -> None:
        store.create(draft("one"))
        claimed = self.claim(store, "one")
        log.fault = StorageError("full")
        lease = self.start(store, claimed)
        store.renew(lease)
        assert log.types() == ["task.claimed"]
        log.fault = None
        store.renew(lease)
        assert log.types() == ["task.claimed", "attempt.started"]
        store.finish(lease, self.ending(lease, Status.DONE))
        assert log.types() == ["task.claimed", "attempt.started", "task.done"]

    # ------------------------------------------------------------------ renew, cancel

    def test_renew_is_a_sign_of_life(self, store: Store, second: Store, clock: FakeClock) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        clock.advance(12)
        assert store.renew(lease).cancel is None
        seen = second.lease("one")
        assert seen is not None
        assert seen.beat == pytest.approx(clock.monotonic(), abs=0.5)
        assert second.leases()[0].beat == seen.beat

    def test_a_claim_can_be_renewed_before_the_start(self, store: Store, clock: FakeClock) -> None:
        store.create(draft("one"))
        lease = self.claim(store, "one")
        clock.advance(5)
        store.renew(lease)
        assert store.leases()[0].beat == pytest.approx(clock.monotonic(), abs=0.5)
        assert self.start(store, lease).state is LeaseState.STARTED

    def test_renew_with_an_old_token_is_refused(self, store: Store) -> None:
        store.create(draft("one"))
        old = self.start(store, self.claim(store, "one"))
        store.finish(old, self.ending(old, Status.PENDING))
        with pytest.raises(LeaseLostError):
            store.renew(old)
        new = self.start(store, self.claim(store, "one"))
        with pytest.raises(LeaseLostError):
            store.renew(old)
        store.renew(new)

    def test_a_cancel_request_reaches_the_runner(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        assert second.request_cancel("one", by="ann") is True
        assert second.request_cancel("one", by="bob") is True
        assert store.renew(lease).cancel == "ann"
        held = second.lease("one")
        assert held is not None
        assert held.cancel == "ann"

    def test_a_cancel_may_be_the_word_of_one_text_of_the_file(self, store: Store, second: Store) -> None:
        task = store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        with pytest.raises(BusyError) as refused:
            second.request_cancel("one", by="the file", digest=task.digest)
        assert refused.value.code == "changed"
        assert store.renew(lease).cancel is None
        assert second.request_cancel("one", by="the file", digest=store.get("one").digest) is True
        assert store.renew(lease).cancel == "the file"

    def test_a_cancel_request_dies_with_its_attempt(self, store: Store) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        store.request_cancel("one", by="ann")
        store.finish(store.leases()[0], self.ending(lease, Status.PENDING))
        assert store.request_cancel("one", by="ann") is False
        lease = self.start(store, self.claim(store, "one"))
        assert lease.cancel is None
        assert store.renew(lease).cancel is None

    # ------------------------------------------------------------------ report

    def test_a_report_is_kept_for_whoever_comes(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        assert second.result(lease) is None
        store.report(lease, result_of(lease))
        assert second.result(lease) == result_of(lease)

    def test_the_first_report_counts(self, store: Store) -> None:
        store.create(draft("one"))
        lease = self.start(store, self.claim(store, "one"))
        store.report(lease, result_of(lease))
        store.report(lease, result_of(lease, OutcomeKind.FAILED))
        assert store.result(lease) == result_of(lease)

    def test_a_late_report_is_refused(self, store: Store) -> None:
        store.create(draft("one"))
        old = self.start(store, self.claim(store, "one"))
        store.finish(old, self.ending(old, Status.PENDING))
        with pytest.raises(LeaseLostError):
            store.report(old, result_of(old))
        new = self.claim(store, "one")
        with pytest.raises(LeaseLostError):
            store.report(old, result_of(old))
        assert store.result(new) is None
