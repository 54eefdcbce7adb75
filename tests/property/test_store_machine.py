"""The file store against a model of what it promises, under any order of steps, crashes and people.

The model is the table of states, written down once more and as plainly as possible. A crash is a forked child that
dies at the n-th failpoint of its step; afterwards the disk must show the state before the step or the one after.
A second store object follows along through ``changes`` alone and must always know the same as the model.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from autopilot.errors import (
    AlreadyExistsError,
    AutopilotError,
    BusyError,
    LeaseLostError,
    NotFoundError,
    StorageError,
    TaskFormatError,
    TransitionError,
)
from autopilot.models import ALLOWED_TRANSITIONS, Ending, EventDraft, InvalidTask, Lease, LeaseState, Status
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import BeatWatch, Liveness, verdict
from autopilot.system import failpoints
from autopilot.system.failpoints import write_all
from autopilot.system.processes import identify
from autopilot.testing.stores import FakeClock, draft, gone_owner, result_of, text_of

SIZE = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

IDS = ["a", "b", "c"]
LIMIT = 2
STABLE = [Status.PENDING, Status.DONE, Status.BLOCKED, Status.CANCELLED]
ids = st.sampled_from(IDS)
ends = st.sampled_from(STABLE)
statuses = st.sampled_from(list(Status))


class FileLog:
    """An event log in a file, so that a child's events outlive it. It can be out of order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.broken = False

    def publish(self, events) -> None:
        if self.broken:
            raise StorageError("the log's disk is full")
        text = "".join(f"\n{json.dumps([event.id, event.event_type, event.timestamp])}\n" for event in events)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            write_all(fd, text.encode(), "publish.write")
        finally:
            os.close(fd)

    def read(self) -> dict[str, list]:
        found: dict[str, list] = {}
        if os.path.exists(self.path):
            with open(self.path) as file:
                for line in filter(str.strip, file):
                    event = json.loads(line)
                    known = found.setdefault(event[0], event)
                    # A task that was deleted and made again before it ever moved has left no trace but this.
                    assert known == event or event[1] == "task.created", f"two facts with the id {event[0]}"
        return found


@attrs.define(eq=False)
class Held:
    """The model of a lease. ``told``: its end is in the log."""

    token: int
    state: LeaseState
    alive: bool
    status: Status | None = None
    told: bool = False


@attrs.define(eq=False)
class Model:
    """The model of a task.

    Attributes:
        status: what stands in the file; None where it is malformed.
        written: the lease whose state was written into this text last; a person's new text has none.
    """

    status: Status | None = Status.PENDING
    token: int = 0
    lease: Held | None = None
    written: Held | None = None
    marks: int = 0

    @property
    def unsure(self) -> bool:
        """Anybody may have written a dead owner's step into the file meanwhile."""
        return self.lease is not None and self.lease.state is not LeaseState.ENDED and not self.lease.alive

    def view(self) -> Status | None:
        if self.status is None or self.lease is None:
            return self.status
        if self.lease.state is LeaseState.ENDED:
            return self.lease.status
        return Status.CLAIMED if self.lease.state is LeaseState.CLAIMED else Status.IN_PROGRESS


class StoreMachine(RuleBasedStateMachine):
    """See the module's text."""

    leases = Bundle("leases")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=FAST)
        self.root = f"{self.folder}/.autopilot"
        self.clock = FakeClock()
        self.log = FileLog(f"{self.folder}/events")
        self.store = self.open()
        self.follower = self.open()
        self.model: dict[str, Model] = {}
        self.tokens: dict[str, int] = {}
        self.known: dict[str, object] = {}
        self.must_be_told: set[str] = set()

    def open(self) -> FileStore:
        return FileStore(self.root, publish=self.log.publish, clock=self.clock, durability="process")

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            failpoints.disarm()
            self.store.close()
            self.follower.close()
            shutil.rmtree(self.folder)

    def come_to_rest(self) -> None:
        """Faults end; then everything must be settled and told, with nobody's help."""
        self.log.broken = False
        for task_id, task in self.model.items():
            if task.status is None:
                self.mend(task_id)
        self.reconcile()
        for lease in self.store.leases():
            self.store.renew(lease)
        self.agrees()
        assert self.store.project() == 0
        for lease in self.store.leases():
            assert lease.state is not LeaseState.ENDED
        missing = self.must_be_told - self.log.read().keys()
        assert not missing, f"committed but never told: {missing}"
        for place in ("conflicts", "state/corrupt"):
            assert not os.path.exists(f"{self.root}/{place}") or not os.listdir(f"{self.root}/{place}")
        assert not [name for name in os.listdir(f"{self.root}/tasks") if name.startswith(".") and self.calm]

    calm = True  # no child was killed, so nothing may be left over

    # ------------------------------------------------------------------ the model's side

    def settle(self, task_id: str) -> None:
        """What every step does first: finish an end that could not be projected when it was committed."""
        task = self.model.get(task_id)
        if task is None or task.lease is None or task.lease.state is not LeaseState.ENDED:
            return
        lease = task.lease
        if task.status is not None and task.written is not lease:
            task.status, task.written = lease.status, lease
        lease.told = lease.told or not self.log.broken
        if lease.told and task.status is not None:
            task.lease = None

    def held(self) -> int:
        return sum(
            task.lease is not None and task.lease.state is not LeaseState.ENDED for task in self.model.values()
        )

    def refusal_of_claim(self, task_id: str) -> type[Exception] | None:
        task = self.model.get(task_id)
        if task is None:
            return NotFoundError
        if task.status is None:
            return TaskFormatError
        if task.lease is not None or task.status is not Status.PENDING or self.held() >= LIMIT:
            return BusyError
        return StorageError if self.log.broken else None

    def is_current(self, lease: Lease) -> bool:
        task = self.model.get(lease.task_id)
        held = task.lease if task else None
        return held is not None and held.token == lease.token and held.state is lease.state is not LeaseState.ENDED

    def refusal_of_finish(self, lease: Lease, status: Status) -> type[Exception] | None:
        if not self.is_current(lease):
            return LeaseLostError
        old = Status.CLAIMED if lease.state is LeaseState.CLAIMED else Status.IN_PROGRESS
        allowed = status in ALLOWED_TRANSITIONS[old] and status is not Status.IN_PROGRESS
        return None if allowed else TransitionError

    def refusal_of_move(self, task_id: str, status: Status, expected: Status) -> type[Exception] | None:
        task = self.model.get(task_id)
        if task is None:
            return NotFoundError
        if task.status is None:
            return TaskFormatError
        if task.lease is not None or task.status is not expected:
            return BusyError
        if status in (Status.CLAIMED, Status.IN_PROGRESS):
            return TransitionError
        return None if status is expected or status in ALLOWED_TRANSITIONS[expected] else TransitionError

    def after_end(self, task_id: str, token: int, status: Status) -> None:
        task = self.model[task_id]
        task.lease = Held(token=token, state=LeaseState.ENDED, alive=True, status=status)
        self.settle(task_id)

    def expect(self, refusal: type[Exception] | None, step: Callable[[], object]) -> object:
        if refusal is None:
            return step()
        with pytest.raises(refusal):
            step()
        return None

    # ------------------------------------------------------------------ tasks

    @initialize()
    def begin(self) -> None:
        os.makedirs(f"{self.root}/tasks")

    @rule(task_id=ids)
    def create(self, task_id: str) -> None:
        refusal = AlreadyExistsError if task_id in self.model else StorageError if self.log.broken else None
        self.expect(refusal, lambda: self.store.create(draft(task_id), (fact("task.created"),)))
        if refusal is None:
            self.model[task_id] = Model(token=self.tokens.get(task_id, 0))

    @rule(task_id=ids, priority=st.sampled_from(["low", "high"]))
    def edit(self, task_id: str, priority: str) -> None:
        task = self.model.get(task_id)
        refusal = NotFoundError if task is None else TaskFormatError if task.status is None else None
        edited = self.expect(refusal, lambda: self.store.edit(task_id, {"priority": priority}))
        if refusal is None:
            assert edited.priority == priority

    # ------------------------------------------------------------------ people

    @rule(task_id=ids, status=statuses)
    def person_sets_status(self, task_id: str, status: Status) -> None:
        task = self.model.get(task_id)
        if task is not None and task.status is not None:
            text = self.read(task_id)
            lines = [line for line in text.split(b"\n") if not line.startswith(b"status:")]
            self.save(task_id, b"\n".join([lines[0], b"status: " + status.encode(), *lines[1:]]))
            task.status = status

    @rule(task_id=ids)
    def person_writes_a_line(self, task_id: str) -> None:
        task = self.model.get(task_id)
        if task is not None and task.status is not None:
            with open(self.path(task_id), "ab") as file:
                file.write(f"mark {task.marks}\n".encode())
            task.marks += 1

    @rule(task_id=ids)
    def person_breaks_the_file(self, task_id: str) -> None:
        task = self.model.get(task_id)
        if task is not None:
            self.save(task_id, b"---\ntitle: [\n---\n")
            task.status = None

    @rule(task_id=ids)
    def mend(self, task_id: str) -> None:
        task = self.model.get(task_id)
        if task is not None and task.status is None:
            marks = "".join(f"mark {number}\n" for number in range(task.marks)).encode()
            self.save(task_id, text_of(task_id, attempt=str(task.token)) + marks)
            task.status, task.written = Status.PENDING, None

    @rule(task_id=ids)
    def person_deletes_a_task_that_nobody_holds(self, task_id: str) -> None:
        task = self.model.get(task_id)
        if task is not None and task.lease is None:
            os.unlink(self.path(task_id))
            self.tokens[task_id] = task.token
            del self.model[task_id]

    def path(self, task_id: str) -> str:
        return f"{self.root}/tasks/{task_id}.md"

    def read(self, task_id: str) -> bytes:
        with open(self.path(task_id), "rb") as file:
            return file.read()

    def save(self, task_id: str, data: bytes) -> None:
        with open(f"{self.folder}/save", "wb") as file:
            file.write(data)
        os.rename(f"{self.folder}/save", self.path(task_id))

    # ------------------------------------------------------------------ leases

    @rule(target=leases, task_id=ids, alive=st.booleans())
    def claim(self, task_id: str, alive: bool):
        self.settle(task_id)
        refusal = self.refusal_of_claim(task_id)
        owner = identify() if alive else gone_owner()
        lease = self.expect(refusal, lambda: self.take(self.store, task_id, owner))
        if refusal is not None:
            return multiple()
        self.after_claim(lease, alive)
        return lease

    def take(self, store: FileStore, task_id: str, owner) -> Lease:
        limits = SlotLimits(total=LIMIT)
        return store.claim(
            task_id, executor="x", owner=owner, limits=limits, ttl_s=30.0, events=(fact("task.claimed"),)
        )

    def after_claim(self, lease: Lease, alive: bool) -> None:
        task = self.model[lease.task_id]
        assert lease.token > task.token, "a token was given twice"
        task.token = lease.token
        task.status = Status.CLAIMED
        task.lease = Held(token=lease.token, state=LeaseState.CLAIMED, alive=alive)
        task.written = task.lease
        self.must_be_told.add(f"evt-{lease.task_id}.{lease.token}.1")

    @rule(target=leases, lease=leases, alive=st.booleans())
    def start(self, lease: Lease, alive: bool):
        owner = identify() if alive else gone_owner()
        fine = self.is_current(lease) and lease.state is LeaseState.CLAIMED
        refusal = None if fine else LeaseLostError
        begun = self.expect(
            refusal, lambda: self.store.start(lease, owner=owner, events=(fact("attempt.started"),))
        )
        if refusal is not None:
            return multiple()
        held = self.model[lease.task_id].lease
        held.state, held.alive = LeaseState.STARTED, alive
        self.must_be_told.add(f"evt-{lease.task_id}.{lease.token}.2")
        return begun

    @rule(target=leases, alive=st.booleans())
    def claim_everything(self, alive: bool):
        """The short way to many held tasks."""
        for task_id in IDS:
            if task_id not in self.model:
                self.create(task_id)
        taken = [self.claim(task_id, alive) for task_id in IDS]
        return multiple(*(lease for lease in taken if isinstance(lease, Lease)))

    @rule(target=leases, task_id=ids, status=ends)
    def a_whole_attempt(self, task_id: str, status: Status):
        """The short way to old leases."""
        lease = self.claim(task_id, True)
        if not isinstance(lease, Lease):
            return multiple()
        begun = self.start(lease, True)
        self.renew(begun)
        self.finish(begun, status)
        return multiple(lease, begun)

    @rule(lease=leases)
    def renew(self, lease: Lease) -> None:
        fine = self.is_current(lease)
        self.clock.advance(1.0)
        self.expect(None if fine else LeaseLostError, lambda: self.store.renew(lease))
        if fine:
            assert self.store.lease(lease.task_id).beat == pytest.approx(self.clock.monotonic(), abs=0.5)

    @rule(lease=leases)
    def report(self, lease: Lease) -> None:
        task = self.model.get(lease.task_id)
        held = task.lease if task else None
        fine = held is not None and held.token == lease.token and held.state is not LeaseState.ENDED
        self.expect(None if fine else LeaseLostError, lambda: self.store.report(lease, result_of(lease)))
        if fine:
            assert self.store.result(lease) is not None

    @rule(lease=leases, status=statuses)
    def finish(self, lease: Lease, status: Status) -> None:
        refusal = self.refusal_of_finish(lease, status)
        self.expect(refusal, lambda: self.end(self.store, lease, status))
        if refusal is None:
            self.after_end(lease.task_id, lease.token, status)

    def end(self, store: FileStore, lease: Lease, status: Status) -> object:
        return store.finish(lease, Ending(status=status, record=lease.record, events=(fact(f"to.{status}"),)))

    @rule(task_id=ids, status=statuses, expected=statuses)
    def move(self, task_id: str, status: Status, expected: Status) -> None:
        self.settle(task_id)
        if task_id in self.model and self.model[task_id].status is not None and status != expected:
            expected = self.model[task_id].status
        refusal = self.refusal_of_move(task_id, status, expected)
        self.expect(refusal, lambda: self.shift(self.store, task_id, status, expected))
        if refusal is None:
            self.after_end(task_id, self.model[task_id].token, status)

    def shift(self, store: FileStore, task_id: str, status: Status, expected: Status) -> object:
        ending = Ending(status=status, record=store.record(task_id), events=(fact(f"to.{status}"),))
        return store.move(task_id, ending, expected=expected)

    @rule(task_id=ids)
    def cancel(self, task_id: str) -> None:
        task = self.model.get(task_id)
        held = task is not None and task.lease is not None and task.lease.state is not LeaseState.ENDED
        assert self.store.request_cancel(task_id, by="me") is held
        if held:
            assert self.store.lease(task_id).cancel == "me"

    # ------------------------------------------------------------------ recovery

    @rule()
    def reconcile(self) -> None:
        self.store.project()
        for task_id in self.model:
            self.settle(task_id)
        for lease in self.store.leases():
            task = self.model[lease.task_id]
            if lease.state is LeaseState.ENDED:
                continue
            judged = verdict(lease, self.clock, BeatWatch())
            assert (judged is Liveness.DEAD) is not task.lease.alive
            if judged is Liveness.DEAD:
                self.end(self.store, lease, Status.PENDING)
                self.after_end(lease.task_id, lease.token, Status.PENDING)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self.open()

    @rule()
    def the_log_breaks_or_is_mended(self) -> None:
        self.log.broken = not self.log.broken

    @rule(hours=st.integers(-(10**5), 10**5))
    def the_wall_clock_jumps(self, hours: int) -> None:
        from datetime import timedelta

        self.clock.wall += timedelta(hours=hours, microseconds=17)

    # ------------------------------------------------------------------ crashes

    def finish_old_ends(self) -> None:
        """So that the child dies in its own step and not in the repair before it."""
        self.store.project()
        for task_id in self.model:
            self.settle(task_id)

    @rule(task_id=ids, nth=st.integers(1, 22))
    def claim_crashes(self, task_id: str, nth: int) -> None:
        self.finish_old_ends()
        refusal = self.refusal_of_claim(task_id)
        self.crash(nth, lambda store: self.take(store, task_id, gone_owner()))
        lease = self.store.lease(task_id)
        if lease is None or (self.model[task_id].lease and self.model[task_id].lease.token == lease.token):
            return
        assert refusal in (None, StorageError), "a claim that had to be refused took hold"
        self.after_claim(lease, alive=False)
        self.trust_the_file(task_id, {Status.PENDING, Status.CLAIMED})

    @rule(lease=consumes(leases), nth=st.integers(1, 14))
    def start_crashes(self, lease: Lease, nth: int) -> None:
        fine = self.is_current(lease) and lease.state is LeaseState.CLAIMED
        self.crash(nth, lambda store: store.start(lease, owner=gone_owner(), events=(fact("attempt.started"),)))
        now = self.store.lease(lease.task_id)
        if now is not None and now.token == lease.token and now.state is LeaseState.STARTED and fine:
            held = self.model[lease.task_id].lease
            held.state, held.alive = LeaseState.STARTED, False
            self.must_be_told.add(f"evt-{lease.task_id}.{lease.token}.2")

    @rule(lease=leases, status=ends, nth=st.integers(1, 26))
    def finish_crashes(self, lease: Lease, status: Status, nth: int) -> None:
        refusal = self.refusal_of_finish(lease, status)
        self.crash(nth, lambda store: self.end(store, lease, status))
        if refusal is None:
            self.adopt_end(lease.task_id, lease.token, status)

    @rule(task_id=ids, status=ends, nth=st.integers(1, 26))
    def move_crashes(self, task_id: str, status: Status, nth: int) -> None:
        self.finish_old_ends()
        task = self.model.get(task_id)
        expected = (task.status if task else None) or Status.PENDING
        refusal = self.refusal_of_move(task_id, status, expected)
        before = len(self.log.read())
        self.crash(nth, lambda store: self.shift(store, task_id, status, expected))
        if refusal is None and (self.store.lease(task_id) or len(self.log.read()) > before):
            self.adopt_end(task_id, task.token, status)

    def adopt_end(self, task_id: str, token: int, status: Status) -> None:
        """The child died during a step that ends something: before its commit, or anywhere after it."""
        lease = self.store.lease(task_id)
        task = self.model[task_id]
        if lease is not None and lease.state is not LeaseState.ENDED:
            return
        task.lease = Held(token=token, state=LeaseState.ENDED, alive=True, status=status)
        if lease is None:
            assert task.status is not None
            task.lease, task.status = None, status
            return
        task.lease.told = not lease.outbox
        seen = self.store._files.load(task_id)
        if task.status is not None and seen.updated_at == lease.ending.at:
            task.status, task.written = status, task.lease

    def trust_the_file(self, task_id: str, allowed: set[Status]) -> None:
        seen = self.store._files.load(task_id)
        assert seen.status in allowed
        self.model[task_id].status = seen.status

    def crash(self, nth: int, step: Callable[[FileStore], object]) -> None:
        self.calm = False
        pid = os.fork()
        if pid == 0:
            code = 0
            try:
                self.die_at(nth)
                step(self.open())
            except AutopilotError:
                code = 3
            except BaseException:
                import traceback

                traceback.print_exc()
                code = 4
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert code in (0, 3, -signal.SIGKILL)

    def die_at(self, nth: int) -> None:
        left = nth

        def next_action(name: str) -> str:
            nonlocal left
            left -= 1
            return "kill" if left == 0 else ""

        failpoints.arm("")
        failpoints._next_action = next_action

    # ------------------------------------------------------------------ what must always hold

    @invariant()
    def agrees(self) -> None:
        assert self.store.ids() == sorted(self.model)
        for task_id, task in self.model.items():
            seen = self.store.get(task_id)
            if task.status is None:
                assert isinstance(seen, InvalidTask)
                continue
            assert seen.status is task.view(), task_id
            assert seen.body.count("mark ") == task.marks, "a person's line is gone"
            assert seen.extra["x-team"] == "blue"
            if task.lease is not None:
                assert seen.attempt == task.lease.token
        leases = self.store.leases()
        modelled = {task_id: task.lease for task_id, task in self.model.items() if task.lease is not None}
        assert [lease.task_id for lease in leases] == sorted(modelled)
        for lease in leases:
            assert (lease.token, lease.state) == (modelled[lease.task_id].token, modelled[lease.task_id].state)
        assert self.held() <= LIMIT

    @invariant()
    def the_follower_knows(self) -> None:
        changes = self.follower.changes()
        for task_id in changes.removed:
            del self.known[task_id]
        self.known.update({entry.id: entry for entry in (*changes.tasks, *changes.invalid)})
        assert sorted(self.known) == sorted(self.model)
        for task_id, task in self.model.items():
            entry = self.known[task_id]
            if task.status is None:
                assert isinstance(entry, InvalidTask), task_id
            else:
                assert entry.status is task.view(), task_id
                assert task.unsure or entry.written is (task.status if task.lease else None), task_id

    @invariant()
    def ids_of_events_are_facts(self) -> None:
        self.log.read()


def fact(kind: str) -> EventDraft:
    return EventDraft(event_type=kind)


CAMPAIGN = settings(
    max_examples=120 * SIZE,
    stateful_step_count=40,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = CAMPAIGN
