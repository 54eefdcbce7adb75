"""The files of the log: closed segments by number, and the newest, which alone grows.

``events.ndjson`` is the newest; when it is full it is renamed to ``events-<number>.ndjson``, and the next begins
with a ``log.rotated`` event that tells its number. Numbers start at 1 and have no gaps but at the front.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import NoReturn

from autopilot.errors import StorageError
from autopilot.events.head import GENESIS, Tail
from autopilot.events.record import parse_line
from autopilot.system.durable import storage_error

__all__ = [
    "NEWEST",
    "closed_numbers",
    "closed_path",
    "line_start",
    "newest_path",
    "number_of",
    "open_reading",
    "open_segment",
    "stamp",
    "origin",
    "raise_storage",
    "read_lines",
    "refuse_link",
]

NEWEST = "events.ndjson"
_CLOSED = re.compile(r"events-(\d{8}|[1-9]\d{8,})\.ndjson", re.ASCII)
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_CHUNK = 256 * 1024
_NEAR = 4 * 1024


def newest_path(folder: str) -> str:
    """The segment that grows."""
    return os.path.join(folder, NEWEST)


def closed_path(folder: str, number: int) -> str:
    """The file of a closed segment."""
    return os.path.join(folder, f"events-{number:08d}.ndjson")


def closed_numbers(folder: str) -> list[int]:
    """The numbers of the closed segments, ascending; empty where there is no folder."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(found[1]) for found in map(_CLOSED.fullmatch, names) if found)


def raise_storage(fault: OSError, path: str, verb: str = "write") -> NoReturn:
    """Raise a StorageError for any fault of the operating system about ``path``."""
    found = storage_error(fault, path, verb)
    if isinstance(found, StorageError):
        raise found from fault
    raise StorageError(f"cannot {verb} {path}: {fault.strerror or fault}") from fault


def refuse_link(folder: str) -> None:
    """Refuse a log folder that is a symbolic link, which could lead writes to another project's log.

    Raises:
        StorageError: it is one.
    """
    try:
        is_link = stat.S_ISLNK(os.lstat(folder).st_mode)
    except OSError:
        return
    if is_link:
        raise StorageError(
            f"{folder} is a symbolic link", hint="links inside the root are refused; replace it by a real folder"
        )


def open_reading(path: str) -> int | None:
    """A descriptor for reading, or None where the file is not there.

    Raises:
        StorageError: it is a symbolic link, or may not be read.
    """
    try:
        return os.open(path, _READ)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise_storage(fault, path, "read")


def origin(fd: int) -> Tail | None:
    """Where the log stood before a segment's first line, as that line says; None where it does not say.

    The first segment of all begins with an event whose ``prev`` is 64 zeros, every other with ``log.rotated``.
    """
    value = parse_line(_first_line(fd))
    if value is None:
        return None
    if value["event_type"] != "log.rotated":
        return Tail() if value.get("prev") == GENESIS else None
    said = value["payload"]
    try:
        before = Tail(int(said["segment"]), 0, int(said["events"]), str(said["head"]), str(said["latest"]))
    except (KeyError, TypeError, ValueError):
        return None
    return before if before.number > 1 and before.events >= 0 else None


def stamp(fd: int) -> str | None:
    """The timestamp of a segment's first line, None where that is no event."""
    value = parse_line(_first_line(fd))
    return None if value is None else str(value["timestamp"])


def _first_line(fd: int) -> bytes:
    line, newline, _ = os.pread(fd, _NEAR, 0).partition(b"\n")
    return line if newline else next(read_lines(fd, 0), (b"", 0))[0]


def number_of(fd: int | None, closed: list[int]) -> int:
    """The number of the newest segment, from its first line or else from the closed ones (listed after it was
    opened, so that a rotation in between is seen)."""
    said = origin(fd) if fd is not None else None
    return said.number if said else (closed[-1] + 1 if closed else 1)


def open_segment(folder: str, wanted: int) -> tuple[int, int] | None:
    """Open the segment of this number, or the next one that is still there: ``(number, descriptor)``.

    A number beyond the newest means that the log was begun anew; then the first one is opened.

    Raises:
        StorageError: a segment is a symbolic link, or may not be read.
    """
    while True:
        newest = open_reading(newest_path(folder))
        closed = closed_numbers(folder)
        last = number_of(newest, closed)
        older = [number for number in closed if number < last and (number >= wanted or wanted > last)]
        if not older:
            return None if newest is None else (last, newest)
        if newest is not None:
            os.close(newest)
        fd = open_reading(closed_path(folder, older[0]))
        if fd is not None:
            return older[0], fd


def read_lines(fd: int, offset: int, stop: int | None = None) -> Iterator[tuple[bytes, int]]:
    """The whole lines from ``offset`` on: ``(line without newline, offset after it)``. A last line without a
    newline is not there yet and is left out.

    Args:
        stop: read no further than this offset; to the end of the file by default. Who reads without the lock stops
            at the end of a line: what is behind the last one may be something else at the next read.
    """
    rest = b""
    position, chunk = offset, _CHUNK
    while True:
        data = os.pread(fd, chunk if stop is None else min(chunk, stop - position), position)
        if not data:
            return
        position += len(data)
        lines = (rest + data).split(b"\n")
        rest = lines.pop()
        # One line longer than the chunk: read more at once, so that joining stays linear.
        chunk = _CHUNK if lines else chunk * 2
        for line in lines:
            offset += len(line) + 1
            yield line, offset


def line_start(fd: int, offset: int) -> int:
    """The start of the line that ``offset`` is in: after the last newline before it, 0 where there is none."""
    chunk = _NEAR
    while offset > 0:
        start = max(0, offset - chunk)
        found = os.pread(fd, offset - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        offset, chunk = start, _CHUNK
    return 0
