"""Swap two names in one step, and tell whether somebody is writing a file at this moment.

Both exist to keep people's saves: after a swap the file that was replaced still lies there to be looked at.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import signal
import sys
from typing import Any

try:
    import fcntl
except ImportError:  # not a POSIX system: nothing may break at import time
    fcntl = None  # type: ignore[assignment]

__all__ = ["being_written", "exchange"]

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP}


@functools.cache
def _renameat2() -> Any:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)


def exchange(one: str, other: str) -> bool:
    """Swap two existing files of one file system atomically (Linux ``renameat2`` with RENAME_EXCHANGE).

    Returns:
        False where system or file system cannot do it; nothing has happened then.

    Raises:
        OSError: as ``rename`` does; FileNotFoundError when one of them is missing.
    """
    call = _renameat2()
    if call is None:
        return False
    if call(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), one, None, other)


def being_written(fd: int) -> bool:
    """Whether any process has the file of ``fd`` (opened for reading only) open for writing.

    Asks for a read lease (``fcntl`` F_SETLEASE) and gives it back: the kernel refuses one while there is a
    writer. False where that cannot be asked: other systems, files of another user, file systems without leases.
    """
    if fcntl is None or not hasattr(fcntl, "F_SETLEASE"):
        return False
    try:
        # A writer that comes in these microseconds makes the kernel send a signal; the default one, SIGIO,
        # would end this process, SIGURG is ignored by default.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as fault:
        return fault.errno == errno.EAGAIN
    return False
