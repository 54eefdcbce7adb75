"""Keeps a lease alive while its attempt works, and hears what the dispatcher has to say."""

from __future__ import annotations

import time
from collections.abc import Callable

from autopilot.errors import StorageError
from autopilot.models import AttemptResult, EventDraft, Lease
from autopilot.runner.notes import note
from autopilot.store.contract import Store
from autopilot.system.clock import Clock

__all__ = ["Keeper"]

_LONGEST_S = 1.0
_RETRY_S = 1.0


class Keeper:
    """The owner's side of one lease.

    Args:
        beat_s: seconds between signs of life; a second at most, because each of them also asks for cancels.
        sleep: how to wait between two tries to report.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        *,
        clock: Clock,
        beat_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.lease = lease
        self.cancelled_by: str | None = None
        self._store = store
        self._clock = clock
        self._period = min(beat_s, _LONGEST_S)
        self._due = clock.monotonic() + self._period
        self._faults = 0
        self._sleep = sleep

    def pause(self) -> float:
        """Seconds until the next beat is due."""
        return max(0.0, self._due - self._clock.monotonic())

    def beat(self) -> None:
        """Renew the lease if it is time to.

        A disk that refuses is no reason to stop the work: the next beat may get through, and if none does, the
        lease runs out and a dispatcher ends this attempt.

        Raises:
            LeaseLostError: somebody else has the task now: stop everything.
        """
        if self._clock.monotonic() < self._due:
            return
        self._due = self._clock.monotonic() + self._period
        try:
            signal = self._store.renew(self.lease)
        except (StorageError, OSError) as fault:
            self._say_once(f"beat: {fault}")
            return
        self._faults = 0
        self.cancelled_by = signal.cancel or self.cancelled_by

    def report(self, result: AttemptResult) -> None:
        """Record the result, as soon as the disk allows; the lease stays alive while it does not.

        Raises:
            LeaseLostError: the task went on without us.
        """
        while True:
            try:
                self._store.report(self.lease, result)
                break
            except (StorageError, OSError) as fault:
                self._say_once(f"report: {fault}")
            self._sleep(_RETRY_S)
            self.beat()
        self._store.notify()

    def _say_once(self, line: str) -> None:
        self._faults += 1
        if self._faults == 1:
            note(f"{self.lease.task_id}.{self.lease.token}: {line}")

    def stale(self, what: str) -> EventDraft:
        """The fact that ``what`` came too late and was refused."""
        current = self._store.record(self.lease.task_id).token
        payload = {"attempt": self.lease.token, "current": current, "what": what}
        return EventDraft(event_type="lease.stale", payload=payload)
