"""The file store against a model of what it promises, under any order of steps, crashes and people.

A crash is a step that dies at its n-th failpoint; afterwards the disk must show the state before the step or the
one after. Two store objects take turns, and a third follows along through ``changes`` alone: all of them must know
the same as the model.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from autopilot.errors import LeaseLostError
from autopilot.models import Ending, EventDraft, InvalidTask, Lease, LeaseState, Status
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import Liveness, verdict
from autopilot.testing.stores import draft, result_of
from tests.campaign import size
from tests.property.machines import run_campaign
from tests.property.mortal import dies_at
from tests.property.store_model import LIMIT, TTL_S, Owner, Refused, TaskModel
from tests.property.store_people import IDS, People, ids, statuses

NOBODY = 1 << 22
"""No process has this number: the kernel's are smaller."""
STABLE = [Status.PENDING, Status.DONE, Status.BLOCKED, Status.CANCELLED]
owners = st.sampled_from(Owner)
ends = st.sampled_from(STABLE)
tears = st.sampled_from([None, 1, -1])

DONE: Counter[str] = Counter()
"""What this process did, for the figures."""


class StoreMachine(People):
    """See the module's text."""

    leases = Bundle("leases")

    def teardown(self) -> None:
        try:
            self.come_to_rest()
            DONE["runs"] += 1
        finally:
            for store in (self.store, self.other, self.follower):
                store.close()
            shutil.rmtree(self.folder)

    def come_to_rest(self) -> None:
        """Faults end; then everything must be settled and told, with nobody's help."""
        self.log.broken = False
        for task_id, task in list(self.model.items()):
            if not task.readable:
                self.mend(task_id)
        self.reconcile()
        self.clear_up_after_the_dead()
        for lease in self.store.leases():
            assert lease.state is not LeaseState.ENDED
            self.store.renew(lease)
        self.agrees()
        assert self.store.project() == 0
        missing = self.model.must_be_told - self.log.read().keys()
        assert not missing, f"committed but never told: {missing}"
        corrupt = f"{self.root}/state/corrupt"
        assert not os.path.exists(corrupt) or not os.listdir(corrupt)

    def clear_up_after_the_dead(self) -> None:
        """What dead writers left beside the tasks goes once it is old."""
        tasks = f"{self.root}/tasks"
        left = [name for name in os.listdir(tasks) if name.startswith(".")]
        for name in left:
            stem, _, unique, suffix = name.rsplit(".", 3)
            aged = f"{tasks}/{stem}.{NOBODY}.{unique}.{suffix}"
            os.rename(f"{tasks}/{name}", aged)
            os.utime(aged, (0, 0))
        self.reopen()
        self.store.changes()
        self.store.project()
        assert not [name for name in os.listdir(tasks) if name.startswith(".")]
        assert left or not os.path.exists(f"{self.root}/conflicts"), "only a crash can leave something unclear"

    def expect(self, refusal: Refused, step: Callable[[], object]) -> object:
        DONE["steps"] += 1
        if refusal is None:
            return step()
        with pytest.raises(refusal):
            step()
        return None

    # ------------------------------------------------------------------ tasks

    @initialize()
    def begin(self) -> None:
        for task_id in IDS[1:]:
            self.create(task_id)

    @rule(task_id=ids)
    def create(self, task_id: str) -> None:
        if task_id in self.model and self.model[task_id].missing:
            self.model.settle(task_id)
        refusal = self.model.refusal_of_create(task_id)
        self.expect(refusal, lambda: self.make(self.store, task_id))
        if refusal is None:
            self.model.created(task_id)

    def make(self, store: FileStore, task_id: str) -> object:
        return store.create(draft(task_id), (fact("task.created"),))

    @rule(task_id=ids, priority=st.sampled_from(["low", "high"]))
    def edit(self, task_id: str, priority: str) -> None:
        refusal = self.model.refusal_of_edit(task_id)
        edited = self.expect(refusal, lambda: self.store.edit(task_id, {"priority": priority}))
        if refusal is None:
            assert edited.priority == priority

    # ------------------------------------------------------------------ leases

    @rule(target=leases, task_id=ids, owner=owners)
    def claim(self, task_id: str, owner: Owner):
        self.model.settle(task_id)
        refusal = self.model.refusal_of_claim(task_id)
        lease = self.expect(refusal, lambda: self.take(self.store, task_id, owner))
        if refusal is not None:
            return multiple()
        self.model.claimed(lease, owner)
        return lease

    def take(self, store: FileStore, task_id: str, owner: Owner) -> Lease:
        return store.claim(
            task_id,
            executor="x",
            owner=owner.identity(),
            limits=SlotLimits(total=LIMIT),
            ttl_s=TTL_S,
            events=(fact("task.claimed"),),
        )

    @rule(target=leases, lease=leases, owner=owners)
    def start(self, lease: Lease, owner: Owner):
        fine = self.model.is_current(lease) and lease.state is LeaseState.CLAIMED
        refusal = None if fine else LeaseLostError
        begun = self.expect(refusal, lambda: self.begin_attempt(self.store, lease, owner))
        if refusal is not None:
            return multiple()
        self.model.started(lease, owner, begun.beat)
        return begun

    def begin_attempt(self, store: FileStore, lease: Lease, owner: Owner) -> Lease:
        return store.start(lease, owner=owner.identity(), events=(fact("attempt.started"),))

    @rule(target=leases, owner=owners)
    def claim_everything(self, owner: Owner):
        """The short way to many held tasks."""
        for task_id in IDS:
            if task_id not in self.model:
                self.create(task_id)
        taken = [self.claim(task_id, owner) for task_id in IDS]
        return multiple(*(lease for lease in taken if isinstance(lease, Lease)))

    @rule(target=leases, task_id=ids, status=ends)
    def a_whole_attempt(self, task_id: str, status: Status):
        """The short way to old leases."""
        lease = self.claim(task_id, Owner.HERE)
        if not isinstance(lease, Lease):
            return multiple()
        begun = self.start(lease, Owner.HERE)
        self.renew(begun)
        self.finish(begun, status)
        return multiple(lease, begun)

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        fine = self.model.is_current(lease)
        self.clock.advance(1.0)
        self.expect(None if fine else LeaseLostError, lambda: self.store.renew(lease))
        if fine:
            beat = self.store.lease(lease.task_id).beat
            assert beat == pytest.approx(self.clock.monotonic(), abs=0.5)
            self.model[lease.task_id].lease.beat = beat

    @rule(lease=leases)
    def report(self, lease: Lease) -> None:
        task = self.model.get(lease.task_id)
        fine = task is not None and task.holder is not None and task.holder.token == lease.token
        self.expect(None if fine else LeaseLostError, lambda: self.store.report(lease, result_of(lease)))
        if fine:
            assert self.store.result(lease) is not None

    @rule(lease=leases, status=statuses)
    def finish(self, lease: Lease, status: Status) -> None:
        refusal = self.model.refusal_of_finish(lease, status)
        self.expect(refusal, lambda: self.end(self.store, lease, status))
        if refusal is None:
            self.model.ended(lease.task_id, lease.token, status)

    def end(self, store: FileStore, lease: Lease, status: Status) -> object:
        return store.finish(lease, Ending(status=status, record=lease.record, events=(fact(f"to.{status}"),)))

    @rule(task_id=ids, status=statuses, expected=statuses)
    def move(self, task_id: str, status: Status, expected: Status) -> None:
        self.model.settle(task_id)
        task = self.readable(task_id)
        if task and status != expected:
            expected = task.status
        refusal = self.model.refusal_of_move(task_id, status, expected)
        self.expect(refusal, lambda: self.shift(self.store, task_id, status, expected))
        if refusal is None:
            self.model.ended(task_id, task.token, status)

    def shift(self, store: FileStore, task_id: str, status: Status, expected: Status) -> object:
        ending = Ending(status=status, record=store.record(task_id), events=(fact(f"to.{status}"),))
        return store.move(task_id, ending, expected=expected)

    @rule(task_id=ids)
    def cancel(self, task_id: str) -> None:
        task = self.model.get(task_id)
        held = task is not None and task.holder is not None
        assert self.store.request_cancel(task_id, by="me") is held
        if held:
            assert self.store.lease(task_id).cancel == "me"
            task.holder.cancelled = True

    @rule(target=leases, task_id=ids)
    def look(self, task_id: str):
        task = self.model.get(task_id)
        lease = self.store.lease(task_id)
        return multiple() if task is None or task.holder is None else lease

    # ------------------------------------------------------------------ time, and recovery

    @rule(seconds=st.sampled_from([7.0, 31.7, 43.0, 3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(hours=st.integers(-(10**5), 10**5))
    def the_wall_clock_jumps(self, hours: int) -> None:
        self.clock.wall += timedelta(hours=hours, microseconds=17)

    @rule()
    def reconcile(self) -> None:
        """Whoever is dead, or silent for too long, loses the task; everybody else keeps it."""
        self.finish_old_ends()
        for lease in self.store.leases():
            held = self.model[lease.task_id].holder
            if held is None:
                continue
            found, expected = verdict(lease, self.clock, self.beats), held.verdict(self.clock.monotonic())
            assert expected in (None, found), f"{held.owner} is {found}, not {expected}"
            if found in (Liveness.DEAD, Liveness.EXPIRED):
                self.end(self.store, lease, Status.PENDING)
                self.model.ended(lease.task_id, lease.token, Status.PENDING)
                DONE["takeovers"] += 1

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    @rule()
    def another_process_goes_on(self) -> None:
        self.store, self.other = self.other, self.store

    @rule()
    def the_log_breaks_or_is_mended(self) -> None:
        self.log.broken = not self.log.broken

    # ------------------------------------------------------------------ crashes

    @rule(task_id=ids, nth=st.integers(1, 12), torn=tears)
    def create_crashes(self, task_id: str, nth: int, torn: int | None) -> None:
        self.finish_old_ends()
        there = task_id in self.model
        self.crash(nth, torn, lambda store: self.make(store, task_id))
        if not there and os.path.exists(self.path(task_id)):
            self.model.created(task_id)

    @rule(task_id=ids, nth=st.integers(1, 10), torn=tears)
    def edit_crashes(self, task_id: str, nth: int, torn: int | None) -> None:
        self.crash(nth, torn, lambda store: store.edit(task_id, {"priority": "low"}))

    @rule(task_id=ids, nth=st.integers(1, 22), torn=tears)
    def claim_crashes(self, task_id: str, nth: int, torn: int | None) -> None:
        self.finish_old_ends()
        refusal = self.model.refusal_of_claim(task_id)
        self.crash(nth, torn, lambda store: self.take(store, task_id, Owner.GONE))
        lease = self.store.lease(task_id)
        if lease is None or (self.model[task_id].lease and self.model[task_id].lease.token == lease.token):
            return
        assert refusal is None or self.log.broken, "a claim that had to be refused took hold"
        self.model.claimed(lease, Owner.GONE)
        self.model[task_id].status = Status.PENDING
        self.look_after_the_dead()

    @rule(lease=consumes(leases), nth=st.integers(1, 14), torn=tears)
    def start_crashes(self, lease: Lease, nth: int, torn: int | None) -> None:
        fine = self.model.is_current(lease) and lease.state is LeaseState.CLAIMED
        self.crash(nth, torn, lambda store: self.begin_attempt(store, lease, Owner.GONE))
        now = self.store.lease(lease.task_id)
        if not fine:
            return
        if now.state is LeaseState.STARTED:
            self.model.started(lease, Owner.GONE, now.beat)
        # Its first beat comes before the commit, and is as good a sign of life as any.
        self.model[lease.task_id].lease.beat = now.beat

    @rule(lease=leases, status=ends, nth=st.integers(1, 26), torn=tears)
    def finish_crashes(self, lease: Lease, status: Status, nth: int, torn: int | None) -> None:
        refusal = self.model.refusal_of_finish(lease, status)
        self.crash(nth, torn, lambda store: self.end(store, lease, status))
        if refusal is None:
            self.adopt_end(lease.task_id, lease.token, status)

    @rule(task_id=ids, status=ends, nth=st.integers(1, 26), torn=tears)
    def move_crashes(self, task_id: str, status: Status, nth: int, torn: int | None) -> None:
        self.finish_old_ends()
        task = self.model.get(task_id)
        expected = (task.status if task else None) or Status.PENDING
        refusal = self.model.refusal_of_move(task_id, status, expected)
        before = len(self.log.read())
        self.crash(nth, torn, lambda store: self.shift(store, task_id, status, expected))
        if refusal is None and (self.store.lease(task_id) or len(self.log.read()) > before):
            self.adopt_end(task_id, task.token, status)

    @rule(nth=st.integers(1, 30), torn=tears)
    def recovery_crashes(self, nth: int, torn: int | None) -> None:
        self.crash(nth, torn, lambda store: store.project())
        self.finish_old_ends()

    def finish_old_ends(self) -> None:
        """So that the next step dies of its own and not in the repair before it."""
        self.store.project()
        self.model.settle_all()
        self.look_after_the_dead()

    def look_after_the_dead(self) -> None:
        """Anybody may have written a dead owner's step into its file meanwhile."""
        for task_id, task in self.model.items():
            if task.readable and task.holder is not None and task.holder.owner is Owner.GONE:
                found = self.store._files.load(task_id).status
                assert found in (task.status, Status.CLAIMED, Status.IN_PROGRESS), task_id
                task.status = found

    def adopt_end(self, task_id: str, token: int, status: Status) -> None:
        """Something died during a step that ends something: before its commit, or anywhere after it."""
        lease = self.store.lease(task_id)
        if lease is not None and lease.state is not LeaseState.ENDED:
            return
        file = self.model[task_id].readable and self.store._files.load(task_id)
        self.model.found_ended(
            task_id,
            token,
            status,
            retired=lease is None,
            told=lease is None or not lease.outbox,
            written=bool(file) and (lease is None or file.updated_at == lease.ending.at),
        )

    def crash(self, nth: int, torn: int | None, step: Callable[[FileStore], object]) -> None:
        store = self.open()
        died = dies_at(nth, lambda: step(store), world=self.world, bury=store.close, torn=torn)
        DONE["crashes"] += died

    # ------------------------------------------------------------------ what must always hold

    @invariant()
    def agrees(self) -> None:
        self.look_after_the_dead()
        assert self.store.ids() == self.model.files()
        for task_id, task in self.model.items():
            if not task.missing:
                self.agrees_on(task_id, task)
        leases = [(lease.task_id, lease.token, lease.state) for lease in self.store.leases()]
        modelled = sorted((task_id, task.lease) for task_id, task in self.model.items() if task.lease)
        assert leases == [(task_id, lease.token, lease.state) for task_id, lease in modelled]
        assert self.model.held() <= LIMIT

    def agrees_on(self, task_id: str, task: TaskModel) -> None:
        seen = self.store.get(task_id)
        if task.status is None:
            assert isinstance(seen, InvalidTask)
            return
        assert seen.status is task.view(), f"{task_id} is {seen.status}, not {task.view()}: {task}"
        assert seen.body.count("mark ") == task.marks, "a person's line is gone"
        assert seen.extra["x-team"] == "blue"
        if task.lease is not None:
            assert seen.attempt == task.lease.token
        if task.frozen is not None:
            assert self.read(task_id) == task.frozen, "a file in a newer format was written"

    @invariant()
    def the_follower_knows(self) -> None:
        changes = self.follower.changes()
        for task_id in changes.removed:
            del self.known[task_id]
        self.known.update({entry.id: entry for entry in (*changes.tasks, *changes.invalid)})
        assert sorted(self.known) == self.model.files()
        for task_id, entry in self.known.items():
            task = self.model[task_id]
            if task.status is None:
                assert isinstance(entry, InvalidTask), task_id
            else:
                assert entry.status is task.view(), task_id
                assert entry.written is (task.status if task.lease else None), task_id

    @invariant()
    def ids_of_events_are_facts(self) -> None:
        self.log.read()


def fact(kind: str) -> EventDraft:
    return EventDraft(event_type=kind)


@pytest.mark.timeout(size(300, 4 * 3600))
def test_the_store_is_as_its_model() -> None:
    run_campaign(StoreMachine, size(150, 50_000), DONE)
