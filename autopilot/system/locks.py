"""flock on files that are never deleted: the one kind of lock that a crash cannot leave behind."""

from __future__ import annotations

import os
import time

from autopilot.errors import BusyError
from autopilot.system.durable import ensure_folder, storage_error

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing may break at import time
    fcntl = None  # type: ignore[assignment]

__all__ = ["PATIENCE_S", "FileLock"]

PATIENCE_S = 10.0
"""Who holds a lock of a root for so long has been stopped: nobody waits for it without a word."""


class FileLock:
    """An exclusive lock between processes and threads, held for the length of a ``with``.

    The file is opened once and kept open: a lock and unlock then costs about 2 microseconds. Each object is
    one holder, so two objects on one path exclude each other, also within a process; one object is not
    re-entrant and not to be shared by threads. After a fork the child must make its own.

    Args:
        path: the lock file; made when missing, never deleted. Where a person deletes it all the same, the next
            to lock it makes it anew; only who holds it at that moment is not seen.
        timeout: seconds to wait for the lock; ``None`` waits for ever.
    """

    def __init__(self, path: str, *, timeout: float | None = None) -> None:
        self._fd = -1
        self._path = path
        self._timeout = timeout

    def __call__(self) -> FileLock:
        """For ``with lock():``, which holds the lock.

        Raises:
            BusyError: the timeout ran out.
            StorageError: the lock file cannot be made, or its file system gives no locks.
        """
        return self

    def __enter__(self) -> None:
        self._acquire(self._open())
        while self._was_deleted():
            self.release()
            self._acquire(self._open())

    def __exit__(self, *fault: object) -> None:
        if self._fd >= 0:  # else it was released on the way
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def try_acquire(self) -> bool:
        """Take the lock if it is free; the caller must ``release``. For locks held for a process's life."""
        while True:
            try:
                self._flock(self._open(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if not self._was_deleted():
                return True
            self.release()

    def release(self) -> None:
        """Give the lock back and close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        # Whoever drops a lock without releasing it must not keep a descriptor for the life of the process.
        self.release()

    def _open(self) -> int:
        if self._fd < 0:
            try:
                ensure_folder(os.path.dirname(self._path))
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            except OSError as fault:
                raise storage_error(fault, self._path) from fault
        return self._fd

    def _was_deleted(self) -> bool:
        # A lock on a file without a name excludes nobody who comes later.
        return os.fstat(self._fd).st_nlink == 0

    def _flock(self, fd: int, operation: int) -> None:
        try:
            fcntl.flock(fd, operation)
        except BlockingIOError:
            raise
        except OSError as fault:
            raise storage_error(fault, self._path) from fault

    def _acquire(self, fd: int) -> None:
        if self._timeout is None:
            self._flock(fd, fcntl.LOCK_EX)
            return
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                self._flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise BusyError(
                        f"{self._path} is locked by another process for more than {self._timeout:g} s",
                        hint="run the same command again; `autopilotctl doctor` shows who holds locks",
                    ) from None
                time.sleep(0.005)
