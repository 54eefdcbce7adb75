"""``dispatch run``: tick for ever, woken by changes and by alarms, undeterred by a full disk."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from autopilot.dispatcher.hold import HoldMode
from autopilot.errors import StorageError
from autopilot.models import EventDraft
from autopilot.system.durable import storage_error
from autopilot.system.processes import host_id

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control
    from autopilot.dispatcher.tick import Dispatcher, TickReport

__all__ = ["Loop"]

_DISK_AGAIN_S = 1.0
_SHORTEST_WAIT_S = 0.01
_PRUNE_EVERY_S = 3600.0


class Loop:
    """Ticks one dispatcher until it is told to stop, or the root is drained."""

    def __init__(self, dispatcher: Dispatcher, control: Control) -> None:
        self._dispatcher = dispatcher
        self._control = control
        self._disk_fault = ""
        self._pruned = control.clock.monotonic()

    def run(self, stop: Callable[[], bool], on_tick: Callable[[TickReport], None] | None) -> None:
        """See ``Dispatcher.run``."""
        told = {"pid": os.getpid(), "host": host_id(), "max_active": self._dispatcher.max_active}
        self._tell("dispatcher.started", told)
        reason = "stopped"
        while not stop():
            report = self.once()
            if on_tick:
                on_tick(report)
            if self._drained():
                reason = "drained"
                break
            if self._dispatcher.waiting:
                self._control.store.wait(self._pause())
        self._tell("dispatcher.stopped", {"pid": os.getpid(), "reason": reason})

    def once(self) -> TickReport:
        """One tick and what goes with it, without the waiting."""
        report = self._tick()
        self._dispatcher.forget_started()
        self._prune()
        return report

    def _tick(self) -> TickReport:
        from autopilot.dispatcher.tick import TickReport

        try:
            report = self._dispatcher.tick()
        except (StorageError, OSError) as problem:
            fault = self._refusal(problem)
            fresh = fault.message != self._disk_fault
            self._disk_fault = fault.message
            time.sleep(_DISK_AGAIN_S)
            note = f"{fault.message}; waiting for the disk" + (f" ({fault.hint})" if fault.hint else "")
            return TickReport(notes=(note,) if fresh else ())
        if self._disk_fault:
            self._disk_fault = ""
            self._tell("storage.recovered", {})
        return report

    def _refusal(self, problem: StorageError | OSError) -> StorageError:
        if isinstance(problem, OSError):
            problem = storage_error(problem, str(problem.filename or self._control.root.folder))
        if isinstance(problem, OSError):
            raise problem
        return problem

    def _tell(self, event_type: str, payload: dict[str, object]) -> None:
        with contextlib.suppress(StorageError):
            self._control.append([EventDraft(event_type=event_type, payload=payload)])

    def _drained(self) -> bool:
        hold = self._control.hold()
        return hold is not None and hold.mode is HoldMode.DRAINING and self._dispatcher.idle

    def _pause(self) -> float:
        most = self._control.settings.dispatcher.poll_s
        alarm = self._dispatcher.next_alarm()
        if alarm is None:
            return most
        return max(_SHORTEST_WAIT_S, min(most, alarm - self._control.clock.now().timestamp()))

    def _prune(self) -> None:
        days = self._control.settings.events.retention_days
        now = self._control.clock.monotonic()
        if not days or now - self._pruned < _PRUNE_EVERY_S:
            return
        self._pruned = now
        with contextlib.suppress(StorageError):
            self._control.log.gc(older_than_days=days)
