"""Reading backwards from the end: the last lines of a big log cost what they are, not what the log is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

from autopilot.events.filters import Filter
from autopilot.events.record import Record
from autopilot.events.segments import (
    closed_numbers,
    closed_path,
    line_start,
    newest_path,
    number_of,
    open_reading,
    origin,
)

__all__ = ["backwards", "tail"]

_CHUNK = 64 * 1024


def tail(folder: str, count: int, wanted: Filter) -> list[Record]:
    """The last ``count`` wanted records, oldest first."""
    matching = (record for record in backwards(folder, since=wanted.since) if wanted.wants(record))
    return list(islice(matching, max(0, count)))[::-1]


def backwards(folder: str, *, since: str = "") -> Iterator[Record]:
    """Every whole line from the last to the first.

    Args:
        since: a timestamp; segments that hold nothing as late as this are not read.

    Raises:
        StorageError: a segment is a symbolic link, or may not be read.
    """
    newest = open_reading(newest_path(folder))
    closed = closed_numbers(folder)
    last = number_of(newest, closed)
    segments = [(last, newest), *((number, None) for number in reversed(closed) if number < last)]
    for number, opened in segments:
        fd = open_reading(closed_path(folder, number)) if opened is None else opened
        if fd is None:
            continue
        try:
            yield from _lines_backwards(fd, number)
            if since and _all_earlier(fd, since):
                return
        finally:
            os.close(fd)


def _all_earlier(fd: int, since: str) -> bool:
    # The first line tells the latest timestamp of everything before it.
    before = origin(fd)
    return before is not None and before.latest < since


def _lines_backwards(fd: int, number: int) -> Iterator[Record]:
    # `parts` holds, last piece first, the end of the line that reaches up to `end`; the pieces join when its start
    # is read, so that a line of any length costs what it is long.
    position = end = line_start(fd, os.fstat(fd).st_size)
    parts: list[bytes] = []
    chunk = _CHUNK
    while position > 0:
        start = max(0, position - chunk)
        data = os.pread(fd, position - start, start)
        position = start
        first = data.find(b"\n")
        if start > 0 and (first < 0 or (first == len(data) - 1 and not parts)):
            parts.append(data)
            chunk *= 2
            continue
        data += b"".join(reversed(parts))
        parts, chunk = [data[: first + 1]], _CHUNK
        whole = data if start == 0 else data[first + 1 :]
        for line in reversed(whole[:-1].split(b"\n")):
            yield Record(line, number, end)
            end -= len(line) + 1
