"""Reading forwards, from a cursor to the present end, over rotations and past pruned segments, without a lock."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from datetime import datetime

from autopilot.errors import UsageError
from autopilot.events.filters import Filter
from autopilot.events.record import Record
from autopilot.events.segments import (
    closed_numbers,
    closed_path,
    line_start,
    newest_path,
    number_of,
    open_reading,
    open_segment,
    origin,
    read_lines,
)
from autopilot.system.clock import format_instant

__all__ = ["Reader", "cursor_since", "end_cursor", "follow", "parse_cursor"]

_CURSOR = re.compile(r"([0-9]{1,18}):([0-9]{1,18})")
_REMEMBERED = 256
_HEAD_BYTES = 1024
"""Enough of a line to tell it from any other: its id is in front."""


def parse_cursor(text: str) -> tuple[int, int]:
    """A cursor's segment number and offset.

    Raises:
        UsageError: it is no cursor.
    """
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no cursor", hint="use a cursor as an earlier read of this log gave it")
    return int(found[1]), int(found[2])


def end_cursor(folder: str) -> str:
    """The cursor after the last whole line of the log."""
    fd = open_reading(newest_path(folder))
    number = number_of(fd, closed_numbers(folder))
    if fd is None:
        return f"{number}:0"
    try:
        return f"{number}:{line_start(fd, os.fstat(fd).st_size)}"
    finally:
        os.close(fd)


def cursor_since(folder: str, since: datetime) -> str | None:
    """Where to begin reading for events of ``since`` or later: a segment whose first line says that everything
    before it is earlier; None for the start of the log."""
    wanted = format_instant(since)
    newest = open_reading(newest_path(folder))
    closed = closed_numbers(folder)
    last = number_of(newest, closed)
    for number in [last, *(number for number in reversed(closed) if number < last)]:
        fd = newest if number == last else open_reading(closed_path(folder, number))
        if fd is not None and _begins_after(fd, wanted):
            return f"{number}:0"
    return None


def _begins_after(fd: int, wanted: str) -> bool:
    try:
        before = origin(fd)
    finally:
        os.close(fd)
    return before is not None and before.latest < wanted


class Reader:
    """Walks the log; ``records`` goes to the present end and may be called again later for what is new.

    Args:
        cursor: where to begin; the start of the log by default. A cursor into a pruned segment begins at the
            first one that is left, one into a log that was begun anew at its start: an event may come twice
            then, none is left out.
    """

    def __init__(self, folder: str, cursor: str | None = None) -> None:
        self._folder = folder
        self._number, self._offset = parse_cursor(cursor) if cursor else (0, 0)
        self._fd = -1
        self._seen: deque[tuple[int, int, bytes]] = deque(maxlen=_REMEMBERED)

    @property
    def cursor(self) -> str:
        """Where the next call of ``records`` begins."""
        return f"{self._number}:{self._offset}"

    def records(self) -> Iterator[Record]:
        """Every whole line up to the end of the log.

        Raises:
            StorageError: a segment is a symbolic link, or may not be read.
        """
        while self._open():
            yield from self._drain()
            if self._is_newest():
                return
            # It was rotated away: what was written between our last look and the renaming is still to come.
            yield from self._drain()
            self.close()
            self._begin(self._number + 1)

    def close(self) -> None:
        """Give the descriptor back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> bool:
        if self._fd >= 0:
            return True
        found = open_segment(self._folder, self._number)
        if found is None:
            return False
        number, self._fd = found
        if number != self._number:
            self._begin(number)
        return True

    def _begin(self, number: int) -> None:
        self._number, self._offset = number, 0
        self._seen.clear()

    def _is_newest(self) -> bool:
        try:
            return os.path.samestat(os.lstat(newest_path(self._folder)), os.fstat(self._fd))
        except FileNotFoundError:
            return False

    def _drain(self) -> Iterator[Record]:
        size = os.fstat(self._fd).st_size
        self._step_back(size)
        if size == self._offset:
            return
        # No further than the last newline of this instant: a torn line behind it may be healed between two reads.
        stop = max(self._offset, line_start(self._fd, size))
        for line, end in read_lines(self._fd, self._offset, stop):
            self._seen.append((self._offset, end, line[:_HEAD_BYTES]))
            self._offset = end
            yield Record(line, self._number, end)

    def _step_back(self, size: int) -> None:
        # A failed append is cut off again, perhaps after we saw it, and other lines may have taken its place.
        whole = len(self._seen) < _REMEMBERED
        while self._seen:
            start, end, head = self._seen[-1]
            if end <= size and os.pread(self._fd, len(head), start) == head:
                return
            self._seen.pop()
            self._offset = start if self._seen or whole else 0
        # A cursor of somebody who had the same happen to it: an offset inside a line begins that line anew.
        if size != self._offset:
            self._offset = line_start(self._fd, min(self._offset, size))


def follow(
    reader: Reader,
    wanted: Filter,
    *,
    stop: Callable[[], bool],
    wait: Callable[[float], object],
    poll_s: float,
) -> Iterator[Record]:
    """What the reader finds, and then what is appended, until ``stop`` says so.

    Args:
        stop: asked after each look at the end of the log.
        wait: blocks for at most the given seconds; it may return earlier, when something may have changed.
    """
    try:
        while True:
            yield from (record for record in reader.records() if wanted.wants(record))
            if stop():
                return
            wait(poll_s)
    finally:
        reader.close()
