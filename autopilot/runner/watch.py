"""Watch one child of the runner until it ends or may not go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import attrs

from autopilot.runner.keeper import Keeper
from autopilot.runner.notes import note
from autopilot.runner.wakeup import Wakeup
from autopilot.system.clock import Clock
from autopilot.system.readiness import wait_ready
from autopilot.system.tree import kill_tree

__all__ = ["Child", "End", "Stream", "Watcher"]

_LONGEST_WAIT_S = 1.0
_AWAY_S = 5.0
"""Who comes back from a wait this much too late was stopped meanwhile, and perhaps the whole machine with it."""


class Stream(Protocol):
    """Something a child writes into."""

    fd: int

    def pump(self) -> bool:
        """Take in what is there, without blocking; whether more may come."""
        ...


class End(StrEnum):
    """Why watching ended."""

    EXITED = "exited"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    LINGERED = "lingered"
    CANCELLED = "cancelled"
    TERMINATED = "terminated"


@attrs.define(kw_only=True)
class Child:
    """A child to watch.

    Attributes:
        deadline_s: seconds it may take.
        idle_s: seconds it may be silent, 0 for ever.
        linger_s: seconds it may go on after its last word.
        heard, settled: CLOCK_MONOTONIC seconds of its last sign of life, and of its last word (None before).
        exit_code: once it has ended; negative for a signal.
    """

    pid: int
    streams: Sequence[Stream]
    deadline_s: float
    idle_s: float = 0.0
    linger_s: float = 30.0
    heard: Callable[[], float] = lambda: 0.0
    settled: Callable[[], float | None] = lambda: None
    exit_code: int | None = None


class Watcher:
    """Watches children one after the other, and ends what they leave behind."""

    def __init__(self, keeper: Keeper, wakeup: Wakeup, clock: Clock) -> None:
        self._keeper = keeper
        self._wakeup = wakeup
        self._clock = clock
        self._open: list[Stream] = []
        self._began = self._awake = 0.0

    def watch(self, child: Child) -> End:
        """Wait for the child's end, take in what it says, keep the lease alive. The child is not charged for time
        in which this process was stopped.

        Raises:
            LeaseLostError: the task is somebody else's now.
        """
        self._began = self._awake = self._clock.monotonic()
        self._open = list(child.streams)
        while True:
            self._wait(child)
            self._pump()
            self._keeper.beat()
            if self._reap(child):
                return End.EXITED
            end = self._why_end(child)
            if end is not None:
                return end

    def clear(self, child: Child, grace_s: float) -> int:
        """End every process of the attempt; how many there were. Comes back only when none is left.

        Raises:
            LeaseLostError: the task is somebody else's now.
        """
        killed = 0
        told: list[int] = []
        while True:
            report = kill_tree(grace_s=grace_s, clock=self._clock, while_waiting=self._meanwhile)
            killed += report.killed
            if child.exit_code is None:
                child.exit_code = report.exit_codes.get(child.pid)
            if not report.survivors:
                break
            if report.survivors != told:
                told = report.survivors
                note(f"not dead after SIGKILL, so the report waits: {told}")
            grace_s = 0.0
        self._drain()
        return killed

    def _wait(self, child: Child) -> None:
        now = self._clock.monotonic()
        fds = [self._wakeup.fd, *(stream.fd for stream in self._open)]
        left = min(seconds for _, seconds in self._limits(child, now))
        pause = max(0.0, min(_LONGEST_WAIT_S, self._keeper.pause(), left))
        wait_ready(fds, timeout=pause)
        self._wakeup.drain()
        self._forgive(self._clock.monotonic() - now - pause)

    def _limits(self, child: Child, now: float) -> list[tuple[End, float]]:
        """Each limit with the seconds that are left of it; after its last word no other counts."""
        settled = child.settled()
        if settled is not None:
            return [(End.LINGERED, child.linger_s - (now - max(settled, self._awake)))]
        limits = [(End.TIMED_OUT, child.deadline_s - (now - self._began))]
        if child.idle_s:
            limits.append((End.STALLED, child.idle_s - (now - max(child.heard(), self._awake))))
        return limits

    def _forgive(self, late_s: float) -> None:
        if late_s > _AWAY_S:
            self._began += late_s
            self._awake = self._clock.monotonic()

    def _pump(self) -> None:
        # All are asked, not just those that select named: asking costs little, and none blocks.
        self._open = [stream for stream in self._open if stream.pump()]

    def _drain(self) -> None:
        # Every writer is dead, but not every byte may have been read.
        while self._open and wait_ready((stream.fd for stream in self._open), timeout=0)[0]:
            self._pump()

    def _meanwhile(self) -> None:
        self._pump()
        self._keeper.beat()

    def _reap(self, child: Child) -> bool:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return child.exit_code is not None
            if pid == child.pid:
                child.exit_code = os.waitstatus_to_exitcode(status)
            if pid == 0:
                return child.exit_code is not None

    def _why_end(self, child: Child) -> End | None:
        if self._keeper.cancelled_by is not None:
            return End.CANCELLED
        if self._wakeup.terminated:
            return End.TERMINATED
        limits = self._limits(child, self._clock.monotonic())
        return next((end for end, seconds in limits if seconds <= 0), None)
