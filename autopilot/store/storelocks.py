"""The locks of one root: one for claims, and stripes for the changes of single tasks.

Order, so that nobody waits in a circle: claims, then a stripe, then the event log's own lock.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from autopilot.errors import BusyError
from autopilot.store.layout import Layout
from autopilot.system.locks import PATIENCE_S, FileLock

__all__ = ["STRIPES", "StoreLocks"]

STRIPES = 64
"""Changes of different tasks seldom share a lock, and the number of lock files stays small."""


class StoreLocks:
    """Opened when first used, kept open until ``close``."""

    def __init__(self, layout: Layout, *, patience_s: float = PATIENCE_S) -> None:
        self._layout = layout
        self._patience_s = patience_s
        self._locks: dict[str, FileLock] = {}
        self._pid = os.getpid()

    @contextmanager
    def claims(self) -> Iterator[None]:
        """Nobody else claims meanwhile.

        Raises:
            BusyError: another process holds it for too long (it may be stopped).
        """
        with self._lock("claim")():
            yield

    @contextmanager
    def task(self, task_id: str) -> Iterator[None]:
        """Nobody else changes this task's lease or record meanwhile.

        Raises:
            BusyError: another process holds it for too long (it may be stopped).
        """
        with self._lock(_stripe(task_id))():
            yield

    @contextmanager
    def task_if_free(self, task_id: str) -> Iterator[bool]:
        """The same without waiting; whether it was free."""
        lock = FileLock(f"{self._layout.locks}/{_stripe(task_id)}", timeout=0.0)
        try:
            with lock():
                yield True
        except BusyError:
            yield False
        finally:
            lock.release()

    def _lock(self, name: str) -> FileLock:
        if self._pid != os.getpid():
            # A forked child's descriptors are its parent's: a lock on them would exclude nobody.
            self.close()
            self._pid = os.getpid()
        lock = self._locks.get(name)
        if lock is None:
            # Only the folder above is made durable: what is locked outlives no power cut.
            self._layout.prepare(self._layout.state)
            self._layout.refuse_links(self._layout.locks)
            lock = self._locks[name] = FileLock(f"{self._layout.locks}/{name}", timeout=self._patience_s)
        return lock

    def close(self) -> None:
        """Give all descriptors back."""
        for lock in self._locks.values():
            lock.release()
        self._locks.clear()


def _stripe(task_id: str) -> str:
    return f"task-{zlib.crc32(os.fsencode(task_id)) % STRIPES:02x}"
