"""``dispatch run``: tick for ever, woken by changes and by alarms, undeterred by a full disk or any other lack."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from autopilot.dispatcher.ballast import Ballast
from autopilot.dispatcher.hold import HoldMode
from autopilot.errors import AutopilotError, BusyError, StorageError
from autopilot.models import EventDraft
from autopilot.system.processes import host_id
from autopilot.system.told import UNEXPECTED, as_ours

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control
    from autopilot.dispatcher.reports import TickReport
    from autopilot.dispatcher.tick import Dispatcher

__all__ = ["Loop"]

_DISK_AGAIN_S = 1.0
"""The first pause after a refusal of the disk; it doubles up to ``dispatcher.poll_s``."""

_SHORTEST_WAIT_S = 0.01
_LOOK_UP_S = 0.25
_PRUNE_EVERY_S = 3600.0


@attrs.define
class Trouble:
    """The disk, or another resource, refuses. ``message``: what was said of it last; ``told``: the log knows."""

    since: float
    pause_s: float
    message: str = ""
    told: bool = False


class Loop:
    """Ticks one dispatcher until it is told to stop, or the root is drained."""

    def __init__(self, dispatcher: Dispatcher, control: Control) -> None:
        self._dispatcher = dispatcher
        self._control = control
        self._ballast = Ballast(control.root.state)
        self._trouble: Trouble | None = None
        self._pruned = control.clock.monotonic()

    def run(self, stop: Callable[[], bool], on_tick: Callable[[TickReport], None] | None) -> None:
        """See ``Dispatcher.run``."""
        told = {"pid": os.getpid(), "host": host_id(), "max_active": self._dispatcher.max_active}
        self._tell("dispatcher.started", told)
        reason = "stopped"
        while reason == "stopped" and not stop():
            try:
                reason = self._round(stop, on_tick) or reason
            except (BusyError, OSError, MemoryError) as fault:
                self._passing(fault)
                time.sleep(_DISK_AGAIN_S)
        self._tell("dispatcher.stopped", {"pid": os.getpid(), "reason": reason})

    def _round(self, stop: Callable[[], bool], on_tick: Callable[[TickReport], None] | None) -> str:
        """One tick and the wait for the next; why it is the last one, if it is."""
        report = self.once()
        if on_tick:
            on_tick(report)
        if self._trouble is not None:
            self._sit_out(self._trouble, stop)
        elif self._drained():
            return "drained"
        elif self._dispatcher.waiting:
            self._control.store.wait(self._pause())
        return ""

    def once(self) -> TickReport:
        """One tick and what goes with it, without the waiting."""
        report = self._tick()
        self._dispatcher.forget_started()
        self._prune()
        return report

    def _tick(self) -> TickReport:
        from autopilot.dispatcher.reports import TickReport

        report, fault = TickReport(), self._no_room()
        try:
            report = self._dispatcher.tick(start=fault is None)
        except (StorageError, BusyError, OSError, MemoryError) as refused:
            fault = self._passing(refused)
        if fault is None:
            self._recovered()
            return report
        return attrs.evolve(report, notes=(*report.notes, *self._refused(fault)))

    def _no_room(self) -> AutopilotError | None:
        """Why there can be no ballast: then there is no room to start anything, and what runs is looked after."""
        try:
            self._ballast.take_in()
        except (StorageError, OSError) as fault:
            return self._passing(fault)
        return None

    def _passing(self, fault: AutopilotError | OSError | MemoryError) -> AutopilotError:
        """The fault, if it is one that passes; any other is raised."""
        told = as_ours(fault, self._control.root.folder)
        if told.code == UNEXPECTED:
            raise fault
        return told

    def _refused(self, fault: AutopilotError) -> tuple[str, ...]:
        """Says so in the log, once, and as a note, when it is another refusal than before."""
        if self._trouble is None:
            self._trouble = Trouble(since=self._control.clock.monotonic(), pause_s=_DISK_AGAIN_S)
            if isinstance(fault, StorageError):
                self._ballast.drop()
        trouble = self._trouble
        if not trouble.told:
            trouble.told = self._tell("storage.failed", {"message": fault.message, "hint": fault.hint})
        if fault.message == trouble.message:
            return ()
        trouble.message = fault.message
        what = "the disk" if isinstance(fault, StorageError) else "it"
        return (f"{fault.message}; waiting for {what}" + (f" ({fault.hint})" if fault.hint else ""),)

    def _recovered(self) -> None:
        if self._trouble is not None:
            seconds = round(self._control.clock.monotonic() - self._trouble.since, 3)
            self._trouble = None
            self._tell("storage.recovered", {"seconds": seconds})

    def _sit_out(self, trouble: Trouble, stop: Callable[[], bool]) -> None:
        # Not woken by changes: what was refused has changed files, too, and would be tried again at once.
        pause = min(trouble.pause_s, self._control.settings.dispatcher.poll_s)
        trouble.pause_s *= 2
        until = time.monotonic() + pause
        while not stop() and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_UP_S))

    def _tell(self, event_type: str, payload: dict[str, object]) -> bool:
        with contextlib.suppress(AutopilotError, OSError, MemoryError):
            self._control.append([EventDraft(event_type=event_type, payload=payload)])
            return True
        return False

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
