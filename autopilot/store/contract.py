"""What every store owes: tasks that are never lost or overwritten, and leases that are never held twice.

The file store is the default; a plugin supplies others through ``autopilot_store``. The reusable suite
``autopilot.testing.stores.StoreContract`` is the judge: a store that passes it can be used.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from autopilot.models import (
    AttemptResult,
    Ending,
    Event,
    EventDraft,
    InvalidTask,
    Lease,
    LeaseSignal,
    Priority,
    Status,
    Task,
    TaskDraft,
    TaskRecord,
)
from autopilot.system.processes import ProcessIdentity

__all__ = ["Changes", "Publish", "SlotLimits", "Store", "TaskSummary"]

Publish = Callable[[Sequence[Event]], None]
"""Puts events into the log; returning means that they are there (repeats of an id are allowed)."""


@attrs.frozen(kw_only=True)
class TaskSummary:
    """What the dispatcher keeps of each task in memory: small, because there may be 100,000 of them.

    Attributes:
        status: as the lease or else the file tells it.
        written: the status that stands in the file; differs from ``status`` while a lease lives, and tells of a
            person's edit (``cancelled`` written into the file of a running task is a cancel request).
        created: epoch seconds, from ``created_at`` or else the file's first known time.
        not_before: epoch seconds, 0 for now.
        attempt: the last attempt's number.
        saved: epoch seconds at which the file of a held task was last written, 0 for one that nobody holds.
    """

    id: str
    status: Status
    priority: Priority
    created: float
    not_before: float = 0.0
    attempt: int = 0
    depends_on: tuple[str, ...] = ()
    digest: str = ""
    written: Status | None = None
    saved: float = 0.0


@attrs.frozen(kw_only=True)
class Changes:
    """What is new since the last ``Store.changes`` call of this object.

    Attributes:
        tasks: tasks that appeared or changed.
        invalid: files that appeared or changed and cannot be read as tasks.
        removed: ids of files, valid or not, that are gone.
    """

    tasks: tuple[TaskSummary, ...] = ()
    invalid: tuple[InvalidTask, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tasks or self.invalid or self.removed)


@attrs.frozen(kw_only=True)
class SlotLimits:
    """How many attempts may run at once, over all dispatchers of the root.

    Attributes:
        total: of the whole root.
        executor: of the executor that is being claimed for; None for no limit of its own.
    """

    total: int
    executor: int | None = None


class Store(abc.ABC):
    """Tasks, leases and results of one root. Objects are cheap; several on one root, in several processes,
    are the normal case. One object is used by one thread.

    Every state change has **one commit point**; the Markdown's status and the event log are projections of it
    that ``project`` can redo, by whoever comes next, after a crash at any instant.
    """

    # ------------------------------------------------------------------ tasks

    @abc.abstractmethod
    def create(self, draft: TaskDraft, events: Sequence[EventDraft] = ()) -> Task:
        """Store a new task; return it as it reads back.

        Raises:
            AlreadyExistsError: the id is taken, also by a racing creator (exactly one wins) or by an attempt of
                an earlier task that has not ended.
            TaskFormatError: the text is no valid task.
            StorageError: the disk refuses; nothing is left behind.
        """

    @abc.abstractmethod
    def get(self, task_id: str) -> Task | InvalidTask:
        """Read one task freshly, its ``status``, ``attempt``, ``not_before`` and ``result`` as the lease and
        record tell them.

        Raises:
            NotFoundError: there is none of this id.
        """

    @abc.abstractmethod
    def tasks(self) -> Iterable[Task | InvalidTask]:
        """All tasks in the order of their ids, as ``get`` shows them."""

    @abc.abstractmethod
    def ids(self) -> list[str]:
        """All ids, sorted, without reading the tasks (names of invalid files included)."""

    @abc.abstractmethod
    def edit(self, task_id: str, values: Mapping[str, Any], *, digest: str = "") -> Task:
        """Set frontmatter keys (None removes one); every other byte of the file stays.

        Raises:
            NotFoundError, TaskFormatError, StorageError.
            BusyError: ``digest`` is given and the file changed since.
        """

    @abc.abstractmethod
    def replace_text(self, task_id: str, text: bytes, *, digest: str) -> Task:
        """Put a whole new text (a person's edit in $EDITOR) if the file still has ``digest``.

        Raises:
            NotFoundError, TaskFormatError, StorageError.
            BusyError: the file changed since.
        """

    def check_file(self, task_id: str) -> None:  # noqa: B027 - a store without files has nothing to refuse
        """Refuse what keeps this task from being claimed, or its end from being written, in its file.

        Raises:
            BusyError: somebody has it open for writing.
            NotFoundError, StorageError, TaskFormatError: as it was read.
        """

    def faults(self) -> list[str]:
        """What could not be read or written since the last call, in sentences for people, each told once."""
        return []

    # ------------------------------------------------------------------ watching

    @abc.abstractmethod
    def changes(self) -> Changes:
        """What changed since this object's last call; everything on the first. Costs what changed."""

    @abc.abstractmethod
    def wait(self, timeout: float) -> bool:
        """Block until something may have changed, at most ``timeout`` seconds; whether it did."""

    @abc.abstractmethod
    def notify(self) -> None:
        """Wake every ``wait`` on this root, in all processes."""

    # ------------------------------------------------------------------ leases

    @abc.abstractmethod
    def leases(self) -> list[Lease]:
        """All leases: held ones, and ended ones whose projection is not finished. Sorted by task id."""

    @abc.abstractmethod
    def lease(self, task_id: str) -> Lease | None:
        """The lease of one task, None where nobody holds it."""

    @abc.abstractmethod
    def record(self, task_id: str) -> TaskRecord:
        """What is remembered of a task; a fresh record (with the Markdown's attempt number as token) for one
        that never ran. Where a person set a done, cancelled or blocked task back to ``pending`` in its file, the
        counters (used, lost, unavailable, failed_on, parking, reason) begin anew and the token stays; ``claim``
        then starts from that record too."""

    @abc.abstractmethod
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
        """Take a pending task, in one atomic commit; the token grows by one. The Markdown then says
        ``claimed`` and the events are in the log.

        Args:
            digest: refuse if the file is not the one that was judged; empty for no such check.

        Raises:
            BusyError: somebody holds it, it is not pending any more, the file changed, or no slot is free
                (``code``: ``held``, ``not_pending``, ``changed``, ``no_slot``); somebody is writing the file, or
                the last end could not be written into it yet (``busy``).
            NotFoundError: the file is gone.
            TaskFormatError: it cannot be read as a task any more.
            StorageError: the disk refuses, also for the events: then the claim is undone before it returns.
        """

    @abc.abstractmethod
    def start(
        self,
        lease: Lease,
        *,
        owner: ProcessIdentity,
        guardian: ProcessIdentity | None = None,
        events: Sequence[EventDraft] = (),
    ) -> Lease:
        """Make the runner the owner, durably; only then may it start the executor.

        Raises:
            LeaseLostError: the token is old, or the lease was started already.
        """

    @abc.abstractmethod
    def renew(self, lease: Lease) -> LeaseSignal:
        """A sign of life by the owner. Needs no new disk blocks.

        Raises:
            LeaseLostError: the token is old or the lease is gone: stop working.
        """

    @abc.abstractmethod
    def report(self, lease: Lease, result: AttemptResult) -> None:
        """Record what the attempt came to, durably, for the next tick to adopt. Once a token: a second report
        is ignored.

        Raises:
            LeaseLostError: the token is old.
        """

    @abc.abstractmethod
    def result(self, lease: Lease) -> AttemptResult | None:
        """The report of this lease's token, if there is one."""

    @abc.abstractmethod
    def finish(self, lease: Lease, ending: Ending) -> Task | InvalidTask | None:
        """End a lease: done, blocked, cancelled, or pending again (release, retry, parking).

        Args:
            lease: as it was read last: who judged a claim must not end the attempt that its runner has started
                meanwhile, so state and owner must be the stored ones, too; and who asked for a cancel meanwhile
                was told yes, so the cancel must be the stored one.

        Raises:
            LeaseLostError: the token is old (``lease.stale`` is the caller's event to log), or the lease is in
                other hands, or asked to be cancelled, by now (``code``: ``lease_changed``).
            TransitionError: the state machine does not know it.
        """

    @abc.abstractmethod
    def move(self, task_id: str, ending: Ending, *, expected: Status) -> Task | InvalidTask | None:
        """Change the status of a task that nobody holds (block, cancel, retry, wake, repair).

        Raises:
            BusyError: it is held, its status is not ``expected`` any more, or it has had another attempt since the
                record of the ending was read.
            NotFoundError, TransitionError.
        """

    @abc.abstractmethod
    def request_cancel(self, task_id: str, *, by: str, digest: str = "") -> bool:
        """Ask the runner of a held task to stop; whether the task was held. Repeats are harmless.

        Args:
            digest: of the task file's text that asks for it; it must still be that text.

        Raises:
            BusyError: the text is another one (``code``: ``changed``).
            NotFoundError: a digest is given, and there is no file.
        """

    @abc.abstractmethod
    def project(self) -> int:
        """Redo the projections of every commit that a crash cut off; how many there were."""

    @abc.abstractmethod
    def close(self) -> None:
        """Give back file descriptors."""
