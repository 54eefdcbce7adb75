"""Watched folders: inotify through ctypes on Linux; elsewhere there is no watcher and callers poll.

A watcher tells which *names* of a folder were touched; what happened to them is for the caller to look up, so a
lost, doubled or early notice can do no harm.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, NamedTuple

from autopilot.system.readiness import wait_ready

__all__ = ["Notice", "Watcher", "WATCH_NAMES", "WATCH_WRITES", "open_watcher"]

_IN_ATTRIB, _IN_CLOSE_WRITE, _IN_MOVED_FROM, _IN_MOVED_TO = 0x4, 0x8, 0x40, 0x80
_IN_CREATE, _IN_DELETE, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_IN_UNMOUNT, _IN_Q_OVERFLOW, _IN_IGNORED = 0x2000, 0x4000, 0x8000
_IN_ONLYDIR, _IN_DONT_FOLLOW = 0x01000000, 0x02000000
_GONE = _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_UNMOUNT | _IN_IGNORED

WATCH_NAMES = _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE
"""Names that appear, disappear or come to mean another file."""

WATCH_WRITES = WATCH_NAMES | _IN_CLOSE_WRITE | _IN_ATTRIB
"""The same, and files that were written in place, once their writer closed them."""

_HEADER = struct.Struct("iIII")


class Notice(NamedTuple):
    """One thing that a watcher saw.

    Attributes:
        folder: the watched folder's path as it was given to ``add``; empty when ``lost``.
        name: the touched name in it, empty when the folder itself is meant.
        lost: notices were dropped, or the folder is gone: look at everything again.
    """

    folder: str
    name: str
    lost: bool


class Watcher:
    """An inotify instance. Not for sharing between threads or over a fork."""

    def __init__(self, library: Any, fd: int) -> None:
        self._library = library
        self._fd = fd
        self._folders: dict[int, str] = {}

    def add(self, folder: str, mask: int) -> bool:
        """Watch ``folder``; False when it is missing or the kernel's limits are reached."""
        flags = mask | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR | _IN_DONT_FOLLOW
        number = self._library.inotify_add_watch(self._fd, os.fsencode(folder), flags)
        if number < 0:
            return False
        self._folders[number] = folder
        return True

    def watched(self) -> frozenset[str]:
        """The folders that are being watched now."""
        return frozenset(self._folders.values())

    def wait(self, timeout: float) -> bool:
        """Block until there is something to ``read``, at most ``timeout`` seconds; whether there is."""
        return bool(wait_ready([self._fd], timeout=timeout)[0])

    def read(self) -> list[Notice]:
        """Everything seen so far, without blocking."""
        notices: list[Notice] = []
        while True:
            try:
                data = os.read(self._fd, 65536)
            except BlockingIOError:
                return notices
            notices.extend(self._decode(data))

    def _decode(self, data: bytes) -> list[Notice]:
        notices = []
        place = 0
        while place < len(data):
            number, mask, _, length = _HEADER.unpack_from(data, place)
            name = data[place + _HEADER.size : place + _HEADER.size + length].rstrip(b"\0")
            place += _HEADER.size + length
            if mask & _IN_Q_OVERFLOW:
                notices.append(Notice("", "", True))
            elif mask & _GONE:
                self._forget(number, mask, notices)
            elif number in self._folders:
                notices.append(Notice(self._folders[number], os.fsdecode(name), False))
        return notices

    def _forget(self, number: int, mask: int, notices: list[Notice]) -> None:
        folder = self._folders.pop(number, None)
        if folder is not None:
            notices.append(Notice(folder, "", True))
            if not mask & _IN_IGNORED:
                self._library.inotify_rm_watch(self._fd, number)

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def open_watcher() -> Watcher | None:
    """A watcher, or None where the system has none to give."""
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        library = ctypes.CDLL(None, use_errno=True)
        fd = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, AttributeError):
        return None
    return Watcher(library, fd) if fd >= 0 else None
