"""The file store: tasks are Markdown files, leases and records are small JSON files beside them.

``docs/explanation/architecture.md`` tells the protocol; ``protocol`` has its rules as pure functions, and the
other modules of this package each know one kind of file.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from autopilot.errors import (
    AlreadyExistsError,
    AutopilotError,
    LeaseLostError,
    TaskFormatError,
)
from autopilot.models import (
    AttemptResult,
    Ending,
    Event,
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
from autopilot.store.contract import Changes, Publish, SlotLimits, Store
from autopilot.store.eyes import Eyes
from autopilot.store.layout import Layout
from autopilot.store.leasefiles import LeaseFiles
from autopilot.store.markdown import MarkdownFiles, Text
from autopilot.store.projection import Projector
from autopilot.store.results import read_result, write_result
from autopilot.store.scan import Scanner
from autopilot.store.storelocks import StoreLocks
from autopilot.system.clock import Clock, SystemClock, format_instant
from autopilot.system.failpoints import failpoint
from autopilot.system.processes import ProcessIdentity, identify
from autopilot.taskfile import edit, parse
from autopilot.taskfile.ids import check_id

__all__ = ["FileStore"]

_MOST_FAULTS = 100


class FileStore(Store):
    """Tasks, leases and results of one root folder.

    Args:
        root: the ``.autopilot`` folder; made by the first write when it is missing.
        publish: puts events into the log.
        durability: ``full`` survives power cuts, ``process`` the death of processes only, without fsync.
        watch: False does without inotify.
    """

    def __init__(
        self,
        root: str,
        *,
        publish: Publish,
        clock: Clock | None = None,
        durability: str = "full",
        watch: bool = True,
    ) -> None:
        sync = durability != "process"
        self._layout = Layout(root, sync=sync)
        self._publish = publish
        self._clock = clock or SystemClock()
        self._sync = sync
        self._faults: list[str] = []
        self._files = MarkdownFiles(self._layout, sync=sync, kept=self._tell_kept)
        self._leases = LeaseFiles(self._layout, sync=sync, faults=self._note, kept=self._tell_kept)
        self._locks = StoreLocks(self._layout)
        self._eyes = Eyes(self._layout, watch=watch)
        self._scanner = Scanner(self._layout, self._files, self._leases, self._eyes, faults=self._note)
        self._projector = Projector(
            self._layout,
            self._files,
            self._leases,
            publish=publish,
            clock=self._clock,
            me=self._identity,
            faults=self._note,
        )
        self._me: ProcessIdentity | None = None

    def _note(self, fault: str) -> None:
        if fault not in self._faults:
            self._faults = [*self._faults[1 - _MOST_FAULTS :], fault]

    def _tell_kept(self, task_id: str, place: str, why: str) -> None:
        self._note(why)
        event = Event(
            id=f"evt-{secrets.token_hex(16)}",
            event_type="file.kept",
            timestamp=format_instant(self._clock.now()),
            trace_id=task_id,
            payload={"path": place, "why": why},
        )
        with contextlib.suppress(AutopilotError, OSError):
            self._publish([event])

    def faults(self) -> list[str]:
        """The last sentences about what could not be read or written, or had to be set aside, each told once."""
        faults, self._faults = self._faults, []
        return faults

    # ------------------------------------------------------------------ tasks

    def create(self, draft: TaskDraft, events: Sequence[EventDraft] = ()) -> Task:
        """Store a new task; see ``Store.create``."""
        check_id(draft.id)
        task = parse(draft.text, path=self._layout.task(draft.id), expected_id=draft.id)
        with self._locks.task(draft.id):
            if os.path.lexists(task.path):
                raise protocol.taken(draft.id)
            if (lease := self._settled(draft.id)) is not None:
                raise protocol.still_held(lease)
            old = self._leases.record(draft.id)
            record, stamped = protocol.creation_events(draft.id, old, events, self._clock)
            try:
                self._files.create(draft.id, draft.text)
                if old is not None:
                    self._leases.write_record(record)
                self._publish(stamped)
            except AlreadyExistsError:
                raise protocol.taken(draft.id) from None
            except Exception:
                with contextlib.suppress(OSError):
                    self._files.withdraw(draft.id, draft.text)
                raise
        return task

    def get(self, task_id: str) -> Task | InvalidTask:
        """Read one task freshly; see ``Store.get``."""
        if (misnamed := self._files.misnamed(task_id)) is not None:
            return misnamed
        self._layout.task(task_id)
        lease = self._leases.read(task_id)
        task = self._load(task_id)
        if lease is None and isinstance(task, Task) and task.status in (Status.CLAIMED, Status.IN_PROGRESS):
            # It may have been claimed between the two reads.
            lease = self._leases.read(task_id)
        return self._shown(task, lease)

    def tasks(self) -> Iterable[Task | InvalidTask]:
        """All tasks in the order of their ids, as ``get`` shows them."""
        held = set(self._leases.ids())
        for task_id in self._files.ids():
            try:
                task = self._files.load(task_id)
            except FileNotFoundError:
                continue
            yield self._shown(task, self._leases.read(task_id) if task_id in held else None)

    def ids(self) -> list[str]:
        """All ids, sorted, without reading the tasks."""
        return self._files.ids()

    def edit(self, task_id: str, values: Mapping[str, Any], *, digest: str = "") -> Task:
        """Set frontmatter keys; see ``Store.edit``."""

        def change(data: bytes) -> bytes:
            self._check_digest(task_id, data, digest)
            return edit(data, values)

        return self._rewrite(task_id, change)

    def replace_text(self, task_id: str, text: bytes, *, digest: str) -> Task:
        """Put a whole new text if the file still has ``digest``; see ``Store.replace_text``."""

        def change(data: bytes) -> bytes:
            self._check_digest(task_id, data, digest)
            return text

        return self._rewrite(task_id, change)

    def _rewrite(self, task_id: str, change: Any) -> Task:
        path = self._layout.task(task_id)

        def checked(data: bytes) -> bytes:
            new = change(data)
            parse(new, path=path, expected_id=task_id)
            return bytes(new)

        with self._locks.task(task_id):
            try:
                new = self._files.rewrite(task_id, checked, point="edit")
            except FileNotFoundError:
                raise protocol.missing(task_id) from None
            return self._view(parse(new, path=path, expected_id=task_id), self._leases.read(task_id))

    def _check_digest(self, task_id: str, data: bytes, digest: str) -> None:
        import hashlib

        if digest and hashlib.sha256(data).hexdigest() != digest:
            raise protocol.changed(task_id)

    def check_file(self, task_id: str) -> None:
        """Refuse what keeps a task from moving in its file; see ``Store.check_file``."""
        self._quiet(task_id)

    def _load(self, task_id: str) -> Task | InvalidTask:
        try:
            return self._files.load(task_id)
        except FileNotFoundError:
            raise protocol.missing(task_id) from None

    def _shown(self, task: Task | InvalidTask, lease: Lease | None) -> Task | InvalidTask:
        return task if isinstance(task, InvalidTask) else self._view(task, lease)

    def _view(self, task: Task, lease: Lease | None) -> Task:
        parked = lease is None and task.status is Status.PENDING and task.updated_at is not None
        return protocol.overlay(task, lease, self._leases.record(task.id) if parked else None)

    # ------------------------------------------------------------------ watching

    def changes(self) -> Changes:
        """What changed since this object's last call; everything on the first."""
        return self._scanner.changes()

    def wait(self, timeout: float) -> bool:
        """Block until something may have changed, at most ``timeout`` seconds; whether it did."""
        return self._eyes.wait(timeout)

    def notify(self) -> None:
        """Wake every ``wait`` on this root, in all processes. A full disk is no fault here."""
        with contextlib.suppress(OSError, AutopilotError):
            self._layout.prepare(self._layout.state)
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(self._layout.bell, flags, 0o600)
            try:
                os.write(fd, b"!")
            finally:
                os.close(fd)

    # ------------------------------------------------------------------ leases: reading

    def leases(self) -> list[Lease]:
        """All leases, sorted by task id; see ``Store.leases``."""
        return self._leases.all()

    def lease(self, task_id: str) -> Lease | None:
        """The lease of one task, None where nobody holds it."""
        if self._files.misnamed(task_id) is not None:
            return None
        self._layout.task(task_id)
        return self._leases.read_whole(task_id)

    def record(self, task_id: str) -> TaskRecord:
        """What is remembered of a task; see ``Store.record``."""
        path = self._layout.task(task_id)
        lease = self._leases.read(task_id)
        if lease is not None:
            return lease.record
        task = self._files.load(task_id) if os.path.lexists(path) else None
        return self._record_with(task_id, task)

    def _record_with(self, task_id: str, task: Task | InvalidTask | None) -> TaskRecord:
        kept = self._leases.record(task_id)
        return self._fresh_record(task_id, task) if kept is None else protocol.as_edited(kept, task)

    def _fresh_record(self, task_id: str, task: Task | InvalidTask | None) -> TaskRecord:
        attempt = max(task.attempt if isinstance(task, Task) else 0, self._leases.last_run(task_id))
        status = task.status if isinstance(task, Task) else Status.PENDING
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
        self._layout.task(task_id)
        with contextlib.ExitStack() as stripe:
            with self._locks.claims():
                stripe.enter_context(self._locks.task(task_id))
                failpoint("claim.locked")
                task, data, born = self._claimable(task_id, digest)
                protocol.check_slots(self._leases.all(beats=False), executor, limits)
                record = self._record_with(task_id, task)
                lease = protocol.claimed(
                    record,
                    token=max(record.token, task.attempt, self._leases.last_run(task_id)) + 1,
                    executor=executor,
                    owner=owner,
                    ttl_s=ttl_s,
                    events=events,
                    clock=self._clock,
                )
                with self._undone_if_refused(task_id):
                    self._leases.write(lease, "claim.lease")
            with self._undone_if_refused(task_id):
                self._publish(lease.outbox)
            failpoint("claim.told")
            self._projector.write(lease, "claim.md", sync_name=False, known=(data, task), born=born)
        return attrs.evolve(lease, outbox=())

    @contextlib.contextmanager
    def _undone_if_refused(self, task_id: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            with contextlib.suppress(AutopilotError, OSError):
                self._leases.undo_claim(task_id)
            raise

    def _claimable(self, task_id: str, digest: str) -> tuple[Task, bytes, datetime | None]:
        lease = self._settled(task_id)
        text, task = self._quiet(task_id)
        protocol.check_claimable(task, lease, digest)
        born = None if task.created_at else datetime.fromtimestamp(text.status.st_mtime, UTC)
        return task, text.data, born

    def _quiet(self, task_id: str) -> tuple[Text, Task]:
        try:
            text = self._files.quiet(task_id)
        except FileNotFoundError:
            raise protocol.missing(task_id) from None
        return text, parse(text.data, path=self._layout.task(task_id), expected_id=task_id)

    def _settled(self, task_id: str) -> Lease | None:
        """The task's lease, after whatever a crash left of it has been finished."""
        if not self._leases.present(task_id):
            return None
        self._projector.redo(task_id)
        return self._leases.read(task_id)

    def start(
        self,
        lease: Lease,
        *,
        owner: ProcessIdentity,
        guardian: ProcessIdentity | None = None,
        events: Sequence[EventDraft] = (),
    ) -> Lease:
        """Make the runner the owner; see ``Store.start``."""
        task_id = lease.task_id
        with self._locks.task(task_id):
            begun = protocol.started(
                self._leases.read(task_id), lease, owner=owner, guardian=guardian, events=events, clock=self._clock
            )
            self._leases.write_beat(begun, self._clock.monotonic(), 0)
            self._leases.write(begun, "start.lease")
            self._projector.tell_started(begun)
        return attrs.evolve(begun, outbox=())

    def renew(self, lease: Lease) -> LeaseSignal:
        """A sign of life by the owner; see ``Store.renew``. Takes no lock: each token has its own beat file."""
        held = protocol.check_current(self._leases.read(lease.task_id), lease)
        last = self._leases.beat(held)
        published = last.published if last is not None else 0
        self._leases.write_beat(held, self._clock.monotonic(), published)
        if held.state is LeaseState.STARTED and published < held.record.seq:
            self._projector.tell_started(held)
        return LeaseSignal(cancel=self._leases.cancel(held.task_id, held.token))

    def report(self, lease: Lease, result: AttemptResult) -> None:
        """Record what the attempt came to; see ``Store.report``."""
        held = self._leases.read(lease.task_id)
        if held is None or held.token != lease.token or not protocol.holds(held):
            raise LeaseLostError(f"attempt {lease.token} of task {lease.task_id} does not hold it any more")
        write_result(self._layout, result, token=lease.token, task_id=lease.task_id, sync=self._sync)
        self.notify()

    def result(self, lease: Lease) -> AttemptResult | None:
        """The report of this lease's token, if there is one."""
        return read_result(self._layout, lease.task_id, lease.token, self._tell_kept, sync=self._sync)

    def finish(self, lease: Lease, ending: Ending) -> Task | InvalidTask | None:
        """End a lease; see ``Store.finish``."""
        task_id = lease.task_id
        with self._locks.task(task_id):
            current = self._leases.read_whole(task_id)
            carried = self._projector.not_in_log(current) if current is not None else ()
            last = protocol.ended(current, lease, ending, carried=carried, clock=self._clock)
            self._leases.write(last, "finish.lease")
            return self._projector.ending(last, "finish.md")

    def move(self, task_id: str, ending: Ending, *, expected: Status) -> Task | InvalidTask | None:
        """Change the status of a task that nobody holds; see ``Store.move``."""
        with self._locks.task(task_id):
            lease = self._settled(task_id)
            task = self._load(task_id)
            if isinstance(task, InvalidTask):
                raise TaskFormatError(
                    task.message, hint=task.hint, path=task.path, line=task.line, column=task.column
                )
            protocol.check_movable(task, lease, ending.status, expected)
            record = self._record_with(task_id, task)
            last = protocol.moved(record, ending, owner=self._identity(), clock=self._clock)
            self._leases.write(last, "move.lease")
            return self._projector.ending(last, "move.md")

    def request_cancel(self, task_id: str, *, by: str, digest: str = "") -> bool:
        """Ask the runner of a held task to stop; whether the task was held. See ``Store.request_cancel``."""
        self._layout.task(task_id)
        with self._locks.task(task_id):
            if digest and self._load(task_id).digest != digest:
                raise protocol.changed(task_id)
            lease = self._leases.read(task_id)
            if lease is None or not protocol.holds(lease):
                return False
            if self._leases.cancel(task_id, lease.token) is None:
                self._leases.write_cancel(task_id, lease.token, by)
        self.notify()
        return True

    # ------------------------------------------------------------------ projections

    def project(self) -> int:
        """Redo the projections of every commit that a crash cut off; how many there were."""
        done = 0
        held = self._leases.ids()
        self._projector.forget_all_but(held)
        for task_id in held:
            with self._locks.task_if_free(task_id) as free:
                done += free and self._projector.redo(task_id)
        for name, task_id in self._leases.leftovers().items():
            with self._locks.task_if_free(task_id) as free:
                if free and not self._leases.present(task_id):
                    self._leases.sweep(name)
        self._scanner.clear_leftovers()
        return done

    def _identity(self) -> ProcessIdentity:
        if self._me is None or self._me.pid != os.getpid():
            self._me = identify()
        return self._me

    def close(self) -> None:
        """Give back file descriptors; leave a copy of the summaries for the next start."""
        self._scanner.save()
        self._eyes.close()
        self._locks.close()
