"""A store in memory: the same rules and none of the files. For tests, trials, and as the shortest example."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from autopilot.errors import (
    AutopilotError,
    LeaseLostError,
    NotFoundError,
    TaskFormatError,
)
from autopilot.models import (
    AttemptResult,
    Ending,
    EventDraft,
    InvalidTask,
    Lease,
    LeaseSignal,
    LeaseState,
    Status,
    Task,
    TaskDraft,
    TaskRecord,
)
from autopilot.store import protocol
from autopilot.store.contract import Changes, Publish, SlotLimits, Store, TaskSummary
from autopilot.store.markdown import invalid
from autopilot.store.summaries import summarise
from autopilot.system.clock import Clock, SystemClock
from autopilot.system.processes import ProcessIdentity, identify
from autopilot.taskfile import check_id, edit, parse

__all__ = ["MemoryRoot", "MemoryStore"]


class MemoryRoot:
    """What several ``MemoryStore`` objects share; ``texts`` may be written by tests, as a person would a file."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.leases: dict[str, Lease] = {}
        self.records: dict[str, TaskRecord] = {}
        self.results: dict[tuple[str, int], AttemptResult] = {}
        self.changed = threading.Condition(threading.RLock())
        self.version = 0

    def touch(self) -> None:
        """Wake everybody who waits."""
        with self.changed:
            self.version += 1
            self.changed.notify_all()


class MemoryStore(Store):
    """Tasks and leases in this process only.

    Args:
        publish: puts events into the log.
        root: shared with other objects; a new one by default.
    """

    def __init__(self, *, publish: Publish, clock: Clock | None = None, root: MemoryRoot | None = None) -> None:
        self._publish = publish
        self._clock = clock or SystemClock()
        self._root = root or MemoryRoot()
        self._seen: dict[str, TaskSummary | InvalidTask] = {}
        self._version = self._root.version

    # ------------------------------------------------------------------ tasks

    def create(self, draft: TaskDraft, events: Sequence[EventDraft] = ()) -> Task:
        """Store a new task; see ``Store.create``."""
        check_id(draft.id)
        task = parse(draft.text, path=_path(draft.id), expected_id=draft.id)
        root = self._root
        with root.changed:
            if draft.id in root.texts:
                raise protocol.taken(draft.id)
            old = root.records.get(draft.id)
            record, stamped = protocol.creation_events(draft.id, old, events, self._clock)
            self._publish(stamped)
            if old is not None:
                root.records[draft.id] = record
            root.texts[draft.id] = draft.text
            root.touch()
        return task

    def get(self, task_id: str) -> Task | InvalidTask:
        """Read one task; see ``Store.get``."""
        with self._root.changed:
            task = self._load(task_id)
            if isinstance(task, InvalidTask):
                return task
            return protocol.overlay(task, self._root.leases.get(task_id), self._root.records.get(task_id))

    def _load(self, task_id: str) -> Task | InvalidTask:
        data = self._root.texts.get(task_id)
        if data is None:
            raise protocol.missing(task_id)
        try:
            return parse(data, path=_path(task_id), expected_id=task_id)
        except TaskFormatError as fault:
            return invalid(task_id, _path(task_id), fault, data)

    def _valid(self, task_id: str) -> Task:
        task = self._load(task_id)
        if isinstance(task, InvalidTask):
            raise TaskFormatError(task.message, hint=task.hint, path=task.path, line=task.line, column=task.column)
        return task

    def tasks(self) -> Iterable[Task | InvalidTask]:
        """All tasks in the order of their ids."""
        for task_id in self.ids():
            try:
                yield self.get(task_id)
            except NotFoundError:
                continue

    def ids(self) -> list[str]:
        """All ids, sorted."""
        return sorted(self._root.texts)

    def edit(self, task_id: str, values: Mapping[str, Any], *, digest: str = "") -> Task:
        """Set frontmatter keys; see ``Store.edit``."""
        with self._root.changed:
            task = self._valid(task_id)
            return self._put(task, edit(self._root.texts[task_id], values), digest)

    def replace_text(self, task_id: str, text: bytes, *, digest: str) -> Task:
        """Put a whole new text; see ``Store.replace_text``."""
        with self._root.changed:
            return self._put(self._load(task_id), text, digest)

    def _put(self, old: Task | InvalidTask, text: bytes, digest: str) -> Task:
        if digest and old.digest != digest:
            raise protocol.changed(old.id)
        task = parse(text, path=_path(old.id), expected_id=old.id)
        self._root.texts[old.id] = text
        self._root.touch()
        return protocol.overlay(task, self._root.leases.get(old.id), self._root.records.get(old.id))

    # ------------------------------------------------------------------ watching

    def changes(self) -> Changes:
        """What changed since this object's last call; looks at all tasks."""
        with self._root.changed:
            now = {task_id: self._summary(task_id) for task_id in self.ids()}
            self._version = self._root.version
        changed = [entry for task_id, entry in now.items() if self._seen.get(task_id) != entry]
        removed = tuple(sorted(self._seen.keys() - now.keys()))
        self._seen = now
        return Changes(
            tasks=tuple(entry for entry in changed if isinstance(entry, TaskSummary)),
            invalid=tuple(entry for entry in changed if isinstance(entry, InvalidTask)),
            removed=removed,
        )

    def _summary(self, task_id: str) -> TaskSummary | InvalidTask:
        root = self._root
        try:
            return summarise(
                task_id,
                root.texts[task_id],
                path=_path(task_id),
                born=0.0,
                saved=0.0,
                lease=root.leases.get(task_id),
                record=root.records.get,
            )
        except TaskFormatError as fault:
            return invalid(task_id, _path(task_id), fault, root.texts[task_id])

    def wait(self, timeout: float) -> bool:
        """Block until something changed, at most ``timeout`` seconds; whether it did."""
        with self._root.changed:
            woken = self._root.changed.wait_for(lambda: self._root.version != self._version, timeout)
            self._version = self._root.version
            return woken

    def notify(self) -> None:
        """Wake every ``wait`` on this root."""
        self._root.touch()

    # ------------------------------------------------------------------ leases: reading

    def leases(self) -> list[Lease]:
        """All leases, sorted by task id."""
        with self._root.changed:
            return [self._root.leases[task_id] for task_id in sorted(self._root.leases)]

    def lease(self, task_id: str) -> Lease | None:
        """The lease of one task."""
        return self._root.leases.get(task_id)

    def record(self, task_id: str) -> TaskRecord:
        """What is remembered of a task; see ``Store.record``."""
        with self._root.changed:
            lease = self._root.leases.get(task_id)
            if lease is not None:
                return lease.record
            task = self._load(task_id) if task_id in self._root.texts else None
            kept = self._root.records.get(task_id)
            return self._fresh_record(task_id, task) if kept is None else protocol.as_edited(kept, task)

    def _fresh_record(self, task_id: str, task: Task | InvalidTask | None) -> TaskRecord:
        attempt, status = (task.attempt, task.status) if isinstance(task, Task) else (0, Status.PENDING)
        return protocol.fresh_record(task_id, attempt, status, self._clock.now())

    # ------------------------------------------------------------------ leases: steps

    def claim(
        self,
        task_id: str,
        *,
        executor: str,
        owner: ProcessIdentity,
        limits: SlotLimits,
        ttl_s: float,
        digest: str = "",
        events: Sequence[EventDraft] = (),
    ) -> Lease:
        """Take a pending task; see ``Store.claim``."""
        with self._root.changed:
            task = self._valid(task_id)
            protocol.check_claimable(task, self._root.leases.get(task_id), digest)
            protocol.check_slots(list(self._root.leases.values()), executor, limits)
            record = self.record(task_id)
            lease = protocol.claimed(
                record,
                token=max(record.token, task.attempt) + 1,
                executor=executor,
                owner=owner,
                ttl_s=ttl_s,
                events=events,
                clock=self._clock,
            )
            # Nothing else looks meanwhile, so there is nothing to undo when the log refuses.
            self._publish(lease.outbox)
            told = attrs.evolve(lease, outbox=())
            self._commit(told)
            self._project(told)
            return told

    def _commit(self, lease: Lease) -> None:
        self._root.leases[lease.task_id] = lease
        self._root.touch()

    def start(
        self,
        lease: Lease,
        *,
        owner: ProcessIdentity,
        guardian: ProcessIdentity | None = None,
        events: Sequence[EventDraft] = (),
    ) -> Lease:
        """Make the runner the owner; see ``Store.start``."""
        with self._root.changed:
            begun = protocol.started(
                self.lease(lease.task_id),
                lease,
                owner=owner,
                guardian=guardian,
                events=events,
                clock=self._clock,
            )
            self._commit(begun)
            return self._tell(begun)

    def _tell(self, lease: Lease) -> Lease:
        try:
            if lease.outbox:
                self._publish(lease.outbox)
        except (AutopilotError, OSError):
            return lease
        told = attrs.evolve(lease, outbox=())
        self._root.leases[lease.task_id] = told
        return told

    def renew(self, lease: Lease) -> LeaseSignal:
        """A sign of life by the owner; see ``Store.renew``."""
        with self._root.changed:
            held = protocol.check_current(self.lease(lease.task_id), lease)
            held = attrs.evolve(held, beat=self._clock.monotonic())
            self._root.leases[held.task_id] = held
            return LeaseSignal(cancel=self._tell(held).cancel)

    def report(self, lease: Lease, result: AttemptResult) -> None:
        """Record what the attempt came to; see ``Store.report``."""
        with self._root.changed:
            held = self.lease(lease.task_id)
            if held is None or held.token != lease.token or not protocol.holds(held):
                raise LeaseLostError(f"attempt {lease.token} of task {lease.task_id} does not hold it any more")
            self._root.results.setdefault((lease.task_id, lease.token), result)
            self._root.touch()

    def result(self, lease: Lease) -> AttemptResult | None:
        """The report of this lease's token, if there is one."""
        return self._root.results.get((lease.task_id, lease.token))

    def finish(self, lease: Lease, ending: Ending) -> Task | InvalidTask | None:
        """End a lease; see ``Store.finish``."""
        with self._root.changed:
            current = self.lease(lease.task_id)
            carried = current.outbox if current is not None else ()
            last = protocol.ended(current, lease, ending, carried=carried, clock=self._clock)
            return self._end(last)

    def move(self, task_id: str, ending: Ending, *, expected: Status) -> Task | InvalidTask | None:
        """Change the status of a task that nobody holds; see ``Store.move``."""
        with self._root.changed:
            task = self._valid(task_id)
            protocol.check_movable(task, self.lease(task_id), ending.status, expected)
            return self._end(protocol.moved(self.record(task_id), ending, owner=identify(), clock=self._clock))

    def _end(self, lease: Lease) -> Task | InvalidTask | None:
        self._commit(lease)
        written = self._project(lease)
        if not self._tell(lease).outbox and written:
            self._root.records[lease.task_id] = lease.record
            del self._root.leases[lease.task_id]
        try:
            return self.get(lease.task_id)
        except NotFoundError:
            return None

    def request_cancel(self, task_id: str, *, by: str, digest: str = "") -> bool:
        """Ask the runner of a held task to stop; whether the task was held. See ``Store.request_cancel``."""
        with self._root.changed:
            if digest and self._load(task_id).digest != digest:
                raise protocol.changed(task_id)
            lease = self.lease(task_id)
            if lease is None or not protocol.holds(lease):
                return False
            self._commit(attrs.evolve(lease, cancel=lease.cancel or by))
            return True

    # ------------------------------------------------------------------ projections

    def project(self) -> int:
        """Redo what the log or an unreadable text put off; how many there were."""
        with self._root.changed:
            ended = [lease for lease in self.leases() if lease.state is LeaseState.ENDED]
            for lease in ended:
                self._end(lease)
            return sum(lease.task_id not in self._root.leases for lease in ended)

    def _project(self, lease: Lease) -> bool:
        try:
            task = self._valid(lease.task_id)
            values = protocol.markdown_values(lease, task)
            self._root.texts[lease.task_id], _ = protocol.projected(self._root.texts[lease.task_id], values)
        except NotFoundError:
            return True
        except TaskFormatError:
            return False
        self._root.touch()
        return True

    def close(self) -> None:
        """Nothing to give back."""


def _path(task_id: str) -> str:
    return f"memory:{task_id}.md"
