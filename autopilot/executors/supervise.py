"""A running program: pump what it prints, notice its end by the process and not by end of file, and see to it that
it goes when it has said its last word."""

from __future__ import annotations

import os
import selectors
import signal
import threading
from types import FrameType
from typing import Any, Protocol

import attrs

from autopilot.executors.spawn import Program
from autopilot.models import Limits
from autopilot.system.clock import Clock

__all__ = ["Exit", "Listener", "StopRequest", "supervise"]

READ_BYTES = 256 * 1024
DRAIN_S = 0.2
"""How long the pipes are read after the program's end where a background child still holds them."""

_STOP_SHARE = 0.8  # of the grace: the rest is for judging and reporting before SIGKILL comes
_KILL_AFTER_S = 5.0
_POLL_S = 0.05


@attrs.frozen(kw_only=True)
class Exit:
    """How a program ended.

    Attributes:
        code: negative for a signal.
        lingered: it had said its last word and did not go; it was ended after ``limits.linger_s``.
        stopped: somebody asked this attempt to stop (SIGTERM or SIGINT).
    """

    code: int
    duration_s: float
    lingered: bool = False
    stopped: bool = False


class Listener(Protocol):
    """Who hears what a program prints."""

    @property
    def final(self) -> bool:
        """The program has said its last word."""
        ...

    def output(self, stream: str, data: bytes) -> None:
        """``data`` was printed on ``stdout`` or ``stderr``."""
        ...

    def tick(self) -> float | None:
        """Called between pieces of output; in how many seconds at the latest to call again, None for no need."""
        ...


class StopRequest:
    """Turns SIGTERM and SIGINT into a flag and a readable descriptor, for the length of a ``with``.

    The runner signals the whole tree, so the program hears it too and may say its last words, which are then
    still heard. Signals can only be caught in the main thread; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self.fd = -1
        self._wake = -1
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self.fd, self._wake = os.pipe()
            os.set_blocking(self._wake, False)
            self._before = {
                number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)
            }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            # None: a handler that was not set by Python, which only an embedding program has.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        for fd in (self.fd, self._wake):
            if fd >= 0:
                os.close(fd)
        self.fd = self._wake = -1

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
        try:
            os.write(self._wake, b"!")
        except OSError:
            pass


def supervise(
    program: Program,
    listener: Listener,
    *,
    limits: Limits,
    clock: Clock,
    stop: StopRequest | None = None,
    whole_group: bool = False,
) -> Exit:
    """Pump the program's output into ``listener`` until the program ends, and close its descriptors.

    What else lives of its process tree is not waited for: that is the runner's.

    Args:
        whole_group: kill what is left of the program's process group when the program has ended.
    """
    watch = _Watch(program, listener, limits, clock, stop or StopRequest())
    try:
        return watch.run(whole_group=whole_group)
    finally:
        watch.close()


class _Watch:
    def __init__(
        self, program: Program, listener: Listener, limits: Limits, clock: Clock, stop: StopRequest
    ) -> None:
        self._program = program
        self._listener = listener
        self._limits = limits
        self._clock = clock
        self._stop = stop
        self._begun = clock.monotonic()
        self._term_at: float | None = None
        self._kill_at: float | None = None
        self._stopped = False
        self._lingered = False
        self._selector = selectors.DefaultSelector()
        for name, fd in (("stdout", program.stdout), ("stderr", program.stderr)):
            self._selector.register(fd, selectors.EVENT_READ, name)
        self._wakers = {fd for fd in (program.pidfd, self._stop.fd) if fd >= 0}
        for fd in self._wakers:
            self._selector.register(fd, selectors.EVENT_READ)

    def run(self, *, whole_group: bool) -> Exit:
        """Until the program ends."""
        while not self._program.ended():
            self._pump(self._patience())
            self._enforce()
        if whole_group:
            self._program.signal_group(signal.SIGKILL)
        self._drain()
        return Exit(
            code=self._program.wait(),
            duration_s=self._clock.monotonic() - self._begun,
            lingered=self._lingered,
            stopped=self._stopped,
        )

    def _pump(self, timeout: float | None) -> None:
        """Read what there is, once from each pipe."""
        for key, _ in self._selector.select(timeout):
            if key.data is not None:
                self._read(key.fd, key.data)
            elif key.fd == self._stop.fd:
                self._wakers.discard(key.fd)
                self._selector.unregister(key.fd)

    def _read(self, fd: int, name: str) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            self._listener.output(name, data)
        else:
            self._selector.unregister(fd)

    def _patience(self) -> float | None:
        """How long the selector may sleep."""
        now = self._clock.monotonic()
        wishes = [self._listener.tick(), None if self._program.pidfd >= 0 else _POLL_S]
        wishes += [at - now for at in (self._term_at, self._kill_at) if at is not None]
        times = [wish for wish in wishes if wish is not None]
        return max(0.0, min(times)) if times else None

    def _enforce(self) -> None:
        now = self._clock.monotonic()
        if self._stop.requested and not self._stopped:
            self._stopped = True
            self._kill_at = now + _STOP_SHARE * self._limits.grace_s
        if self._listener.final and self._term_at is None and self._kill_at is None:
            self._term_at = now + self._limits.linger_s
        if self._term_at is not None and now >= self._term_at:
            self._end_lingering(now)
        if self._kill_at is not None and now >= self._kill_at:
            self._program.signal_group(signal.SIGKILL)
            self._kill_at = now + _KILL_AFTER_S

    def _end_lingering(self, now: float) -> None:
        self._lingered = True
        self._term_at = None
        self._program.signal_group(signal.SIGTERM)
        self._kill_at = now + min(self._limits.grace_s, _KILL_AFTER_S)

    def _drain(self) -> None:
        for fd in self._wakers:
            self._selector.unregister(fd)
        deadline = self._clock.monotonic() + DRAIN_S
        while self._selector.get_map() and (left := deadline - self._clock.monotonic()) > 0:
            self._pump(left)

    def close(self) -> None:
        """Give back the descriptors."""
        self._selector.close()
        self._program.close()
