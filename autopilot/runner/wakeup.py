"""Be woken by the death of a child while waiting in ``select``."""

from __future__ import annotations

import os
import signal
from types import FrameType

__all__ = ["Wakeup"]


class Wakeup:
    """A descriptor that is readable after SIGCHLD, or SIGTERM. One per process, in the main thread.

    Args:
        heed_term: SIGTERM and SIGINT do not end the process; they are remembered in ``terminated``.
    """

    def __init__(self, *, heed_term: bool = False) -> None:
        self.terminated = False
        self.fd, self._write = os.pipe()
        for fd in (self.fd, self._write):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        if heed_term:
            signal.signal(signal.SIGTERM, self._terminate)
            signal.signal(signal.SIGINT, self._terminate)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True

    def drain(self) -> None:
        """Take note: not readable again before the next signal."""
        try:
            while os.read(self.fd, 512):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Give everything back; a forked child calls it before it goes its own way."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.close(self.fd)
        os.close(self._write)
