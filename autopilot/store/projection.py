"""From the lease to what people and readers see: the Markdown's status and the event log.

Both follow the commit and can be redone by anybody at any time. What cannot be written now (a file that is open
in an editor, a full disk) is tried again by the next ``Store.project``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from autopilot.errors import AutopilotError, UsageError
from autopilot.models import Event, InvalidTask, Lease, LeaseState, Task
from autopilot.store import protocol
from autopilot.store.contract import Publish
from autopilot.store.layout import Layout
from autopilot.store.leasefiles import LeaseFiles
from autopilot.store.markdown import MarkdownFiles
from autopilot.system.clock import Clock
from autopilot.system.failpoints import failpoint
from autopilot.system.processes import ProcessIdentity, is_alive
from autopilot.taskfile import parse

__all__ = ["Projector"]

_AGAIN = "project.md"
"""The failpoint of a projection that somebody may have done already."""


class Projector:
    """Redoes, for one store object. Its caller holds the task's lock.

    Args:
        me: this process.
        faults: called with a sentence for each thing that has to wait.
    """

    def __init__(
        self,
        layout: Layout,
        files: MarkdownFiles,
        leases: LeaseFiles,
        *,
        publish: Publish,
        clock: Clock,
        me: Callable[[], ProcessIdentity],
        faults: Callable[[str], None],
    ) -> None:
        self._layout = layout
        self._files = files
        self._leases = leases
        self._publish = publish
        self._clock = clock
        self._me = me
        self._faults = faults
        self._redone: set[tuple[str, int, int]] = set()

    def forget_all_but(self, task_ids: Collection[str]) -> None:
        """Drop what is remembered of leases that are gone."""
        self._redone = {key for key in self._redone if key[0] in task_ids}

    def redo(self, task_id: str) -> bool:
        """Finish what a crash left of this task; whether there was something and it is done now."""
        lease = self._leases.read(task_id)
        if lease is None:
            return self._leases.set_aside(task_id)
        if lease.state is not LeaseState.ENDED:
            return self._held(lease)
        self.ending(lease, _AGAIN)
        return not self._leases.present(task_id)

    def ending(self, lease: Lease, point: str) -> Task | InvalidTask | None:
        """Project a committed end and let the lease become the task's record; the task as it then reads."""
        shown, written = self.markdown(lease, point, sync_name=True)
        told = self._tell(lease.task_id, lease.outbox)
        failpoint("ending.told")
        with contextlib.suppress(AutopilotError, OSError):
            if written and told:
                self._leases.retire(lease.task_id, lease.token)
            elif told and lease.outbox:
                # The file may stay unreadable for days; its events are not to be told on every tick.
                self._leases.write_told(lease)
        return shown

    def _held(self, lease: Lease) -> bool:
        # A live owner projects its own steps; a dead one is taken back soon, and the trail should say why.
        key = (lease.task_id, lease.token, lease.record.seq)
        if key in self._redone or is_alive(lease.owner) is not False:
            return False
        _, written = self.write(lease, _AGAIN, sync_name=False)
        if not (self._tell(lease.task_id, self.not_in_log(lease)) and written):
            return False
        self._redone.add(key)
        return True

    # ---------------------------------------------------------------- events

    def not_in_log(self, lease: Lease) -> tuple[Event, ...]:
        """The events of a lease that may not be in the log."""
        if lease.state is LeaseState.CLAIMED:
            # Who claims publishes before it returns: if that was us, they are there.
            return () if lease.owner == self._me() else lease.outbox
        beat = self._leases.beat(lease)
        return () if beat is not None and beat.published >= lease.record.seq else lease.outbox

    def tell_started(self, lease: Lease) -> None:
        """Publish the events of a start. The attempt goes on when the log refuses: they stay in the lease and are
        tried again with each beat."""
        if self._tell(lease.task_id, lease.outbox):
            self._leases.write_beat(lease, self._clock.monotonic(), lease.record.seq)

    def _tell(self, task_id: str, events: Sequence[Event]) -> bool:
        try:
            if events:
                self._publish(events)
            return True
        except UsageError as fault:
            # The log will never take these; keeping them would keep the task from ever moving again.
            self._faults(f"events of {task_id} were refused by the log: {fault}")
            return True
        except (AutopilotError, OSError) as fault:
            self._faults(f"events of {task_id} wait in its lease: {fault}")
            return False

    # ---------------------------------------------------------------- Markdown

    def markdown(self, lease: Lease, point: str, *, sync_name: bool) -> tuple[Task | InvalidTask | None, bool]:
        """Write a lease's state into its file.

        Returns:
            The task as it then reads (None when its file is gone), and whether there is nothing left to do.
        """
        new, written = self.write(lease, point, sync_name=sync_name)
        if new is None:
            return (None, True) if written else (self._as_it_is(lease), False)
        return protocol.overlay(self._parse(lease.task_id, new), lease), True

    def write(
        self,
        lease: Lease,
        point: str,
        *,
        sync_name: bool,
        known: tuple[bytes, Task] | None = None,
        born: datetime | None = None,
    ) -> tuple[bytes | None, bool]:
        """The same, without reading what was written.

        Args:
            known: the file's bytes and task, if they were just read.
            born: written as ``created_at``: for a file that does not say it, before this write changes its time.

        Returns:
            The new bytes (None when there is no file, or it could not be written), and whether nothing is left to
            do.
        """

        def change(data: bytes) -> bytes:
            task = known[1] if known is not None and known[0] == data else self._parse(lease.task_id, data)
            values = protocol.markdown_values(lease, task, again=point == _AGAIN)
            if values and born is not None:
                values["created_at"] = born
            return self._projected(lease.task_id, data, values) if values else data

        try:
            return self._files.rewrite(lease.task_id, change, point=point, sync_name=sync_name), True
        except FileNotFoundError:
            return None, True
        except (AutopilotError, OSError) as fault:
            self._faults(f"the status of {lease.task_id} could not be written into its file yet: {fault}")
            return None, False

    def _projected(self, task_id: str, data: bytes, values: Mapping[str, Any]) -> bytes:
        new, left_out = protocol.projected(data, values)
        if left_out:
            self._faults(f"the result of {task_id} is told by the log only, its file cannot hold it: {left_out}")
        return new

    def _parse(self, task_id: str, data: bytes) -> Task:
        return parse(data, path=self._layout.task(task_id), expected_id=task_id)

    def _as_it_is(self, lease: Lease) -> Task | InvalidTask | None:
        try:
            task = self._files.load(lease.task_id)
        except FileNotFoundError:
            return None
        return task if isinstance(task, InvalidTask) else protocol.overlay(task, lease)
