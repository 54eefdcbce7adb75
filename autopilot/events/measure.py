"""Finding out how far the log goes from the segments themselves: after a crash, or without a head file."""

from __future__ import annotations

import hashlib
import os

import attrs

from autopilot.events.head import Tail
from autopilot.events.record import parse_line, summary
from autopilot.events.segments import closed_path, line_start, open_reading, origin, read_lines

__all__ = ["beginning", "last_event_end", "measure", "tail_of"]


def last_event_end(fd: int, size: int) -> int:
    """The offset after the last line that is an event; 0 where there is none.

    A power cut can leave zeros or other garbage, with or without newlines, where the last writes were.
    """
    end = line_start(fd, size)
    while end > 0:
        start = line_start(fd, end - 1)
        if parse_line(os.pread(fd, end - 1 - start, start)) is not None:
            return end
        end = start
    return 0


def measure(fd: int, before: Tail, end: int) -> Tail:
    """Walk the lines of a segment from where ``before`` stands up to the offset ``end``."""
    if before.size == end:
        return before
    events, latest, last = before.events, before.latest, b""
    for line, _ in read_lines(fd, before.size, end):
        events += 1
        last = line
        head = summary(line)
        if head is not None and head.timestamp > latest:
            latest = head.timestamp
    return Tail(before.number, end, events, hashlib.sha256(last).hexdigest(), latest)


def beginning(folder: str, fd: int, number: int) -> Tail:
    """Where the log stood before a segment: as its first line says, or else as the segment before it does."""
    said = origin(fd)
    return said if said is not None and said.number == number else tail_of(folder, number - 1)


def tail_of(folder: str, number: int) -> Tail:
    """Where the log stood at the end of closed segment ``number``, as the start of the next one."""
    fd = open_reading(closed_path(folder, number))
    if fd is None:
        return Tail(number=number + 1)
    try:
        said = origin(fd) or Tail()
        found = measure(fd, said, line_start(fd, os.fstat(fd).st_size))
        return attrs.evolve(found, number=number + 1, size=0)
    finally:
        os.close(fd)
