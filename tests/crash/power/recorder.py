"""Writes down what the program does to the files below one folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from autopilot.store import markdown
from autopilot.system.exchange import exchange as real_exchange
from tests.crash.power.platter import FOLDER, Bytes, File, Names, Sync

__all__ = ["Recorder"]

_WATCHED = (
    "close",
    "fsync",
    "ftruncate",
    "link",
    "lseek",
    "mkdir",
    "open",
    "pwrite",
    "rename",
    "replace",
    "unlink",
    "write",
)
_REAL = {name: getattr(os, name) for name in _WATCHED}


class Recorder:
    """Lets operations through, and notes them in ``ops``.

    Args:
        base: the folder.
        without: the number of the one fsync (counted from ``count_from_here``) that is not noted, as if the
            program had forgotten it.
    """

    def __init__(self, base: str, *, without: int | None = None) -> None:
        self.base = base
        self.ops: list[Names | Bytes | Sync] = []
        self.syncs: list[str] = []
        self.on_op: Callable[[], None] = lambda: None
        self._without = without
        self._names: dict[str, Any] = {base: FOLDER}
        self._fds: dict[int, Any] = {}
        self._at: dict[int, int] = {}
        self._appends: set[int] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Stand between the program and the disk."""
        with (
            mock.patch.multiple(os, **{name: getattr(self, name) for name in _WATCHED}),
            mock.patch.object(markdown, "exchange", self.exchange),
        ):
            yield

    def count_from_here(self) -> None:
        """Fsyncs are numbered from now on."""
        self.syncs.clear()

    def _note(self, op: Names | Bytes | Sync) -> None:
        self.ops.append(op)
        self.on_op()

    def _names_change(self, what: str, after: dict[str, Any]) -> None:
        self._names.update(after)
        self._note(Names(what, after))

    # What the program calls instead of the functions of ``os``.

    def open(self, path: Any, flags: int, mode: int = 0o777, **more: Any) -> int:
        fd = _REAL["open"](path, flags, mode, **more)
        self._fds.pop(fd, None)
        if not isinstance(path, str) or not (path == self.base or path.startswith(self.base + "/")):
            return fd
        assert not flags & os.O_TRUNC, f"the recorder knows nothing of O_TRUNC: {path}"
        new = self._names.get(path) is None
        what = File() if new else self._names[path]
        self._fds[fd] = path if what is FOLDER else what
        self._at[fd] = 0
        (self._appends.add if flags & os.O_APPEND else self._appends.discard)(fd)
        if new:
            self._names_change("create", {path: what})
        return fd

    def close(self, fd: int) -> None:
        self._fds.pop(fd, None)
        _REAL["close"](fd)

    def write(self, fd: int, data: Any) -> int:
        file = self._fds.get(fd)
        if file is None:
            return int(_REAL["write"](fd, data))
        at = os.fstat(fd).st_size if fd in self._appends else self._at[fd]
        count = int(_REAL["write"](fd, data))
        self._at[fd] = at + count
        self._note(Bytes(file, at, bytes(data[:count])))
        return count

    def pwrite(self, fd: int, data: bytes, at: int) -> int:
        count = int(_REAL["pwrite"](fd, data, at))
        if fd in self._fds:
            self._note(Bytes(self._fds[fd], at, bytes(data[:count])))
        return count

    def lseek(self, fd: int, position: int, how: int) -> int:
        self._at[fd] = int(_REAL["lseek"](fd, position, how))
        return self._at[fd]

    def ftruncate(self, fd: int, size: int) -> None:
        _REAL["ftruncate"](fd, size)
        if fd in self._fds:
            self._note(Bytes(self._fds[fd], size, None))

    def fsync(self, fd: int) -> None:
        what = self._fds.get(fd)
        if what is None:
            return
        self.syncs.append(self._told(what))
        if len(self.syncs) - 1 == self._without:
            self.on_op()
        else:
            self._note(Sync(what))

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        _REAL["mkdir"](path, mode)
        if path.startswith(self.base):
            self._names_change("mkdir", {path: FOLDER})

    def link(self, old: str, new: str) -> None:
        _REAL["link"](old, new)
        self._names_change("link", {new: self._names[old]})

    def unlink(self, path: str) -> None:
        _REAL["unlink"](path)
        if path.startswith(self.base):
            self._names_change("unlink", {path: None})

    def rename(self, old: str, new: str) -> None:
        _REAL["rename"](old, new)
        if old.startswith(self.base):
            self._names_change("rename", {old: None, new: self._names[old]})

    replace = rename

    def exchange(self, one: str, other: str) -> bool:
        done = real_exchange(one, other)
        if done:
            self._names_change("exchange", {one: self._names[other], other: self._names[one]})
        return done

    def _told(self, what: File | str) -> str:
        if isinstance(what, str):
            return f"folder {os.path.relpath(what, self.base)}"
        path = next((path for path, file in self._names.items() if file is what), "an unlinked file")
        return os.path.relpath(path, self.base)
