"""Space that is kept for the moment when the disk is full, so that the log can say so.

``dispatch run`` sets it aside when it begins, and drops it when the disk refuses a write: what is then free is
enough for the event, and for adopting what ends meanwhile. It cannot be set aside anew until there is room, and
nothing is started until then: a claim never takes the last bytes that running attempts need for their results.
"""

from __future__ import annotations

import contextlib
import errno
import os

from autopilot.system.durable import ensure_folder, remove_file, storage_error
from autopilot.system.failpoints import write_all

__all__ = ["Ballast"]

_MOST_BYTES = 1024 * 1024
_SHARE = 32
"""On a disk smaller than that many times the ballast, it is this part of the disk."""


class Ballast:
    """The ballast of one root, shared by its dispatchers.

    Args:
        folder: ``.autopilot/state``.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._path = os.path.join(folder, "ballast")

    def take_in(self) -> None:
        """Have it there, unless this process may write no file of that size.

        Raises:
            StorageError: there is no room for it.
        """
        if os.path.exists(self._path):
            return
        try:
            ensure_folder(self._folder)  # somebody may have cleared it away meanwhile
            self._fill(self._size())
        except OSError as fault:
            if fault.errno != errno.EFBIG:
                raise storage_error(fault, self._path) from fault

    def drop(self) -> None:
        """Give its space to whoever needs it."""
        try:
            remove_file(self._path)
        except OSError:
            pass

    def _size(self) -> int:
        disk = os.statvfs(self._folder)
        return min(_MOST_BYTES, disk.f_blocks * disk.f_frsize // _SHARE)

    def _fill(self, size: int) -> None:
        # One name for all: zeros are zeros, whoever writes them, and what a killed one left is filled up.
        new = f"{self._path}.tmp"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, bytes(size), "ballast.write")
            with contextlib.suppress(FileNotFoundError):
                os.rename(new, self._path)
        except BaseException:
            remove_file(new)
            raise
        finally:
            os.close(fd)
