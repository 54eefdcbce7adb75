"""Appending: one writer at a time, every line chained to the one before, nothing torn left behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from autopilot.events.encode import Encoded, seal
from autopilot.events.head import HeadFile, Tail
from autopilot.events.heal import healed, keep_fragment, overwrite, read_fragment
from autopilot.events.measure import beginning, last_event_end, measure
from autopilot.events.rotate import (
    GcReport,
    Retention,
    close_newest,
    old_segments,
    pruned,
    remove_segments,
    rotated,
)
from autopilot.events.segments import (
    closed_numbers,
    closed_path,
    line_start,
    newest_path,
    number_of,
    raise_storage,
    refuse_link,
)
from autopilot.models import Event, EventDraft
from autopilot.system.clock import Clock
from autopilot.system.durable import ensure_folder, sync_folder
from autopilot.system.failpoints import failpoint, write_all
from autopilot.system.locks import FileLock

__all__ = ["Writer"]

T = TypeVar("T")

_FLAGS = os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class Writer:
    """The writing end of one process. Threads may share one; a child of fork must make its own.

    Between calls it remembers how far the log goes. Under the lock, if the newest segment is still the same file
    and has the same size, nobody else wrote; if the head file speaks of this size, somebody did, and left
    it whole. Only otherwise is the end of the segment read, and mended.

    Args:
        encode_own: makes the line of an event of the log's own (``log.rotated`` and the like).
        sync: fsync before an append returns.
    """

    def __init__(
        self,
        folder: str,
        lock: FileLock,
        *,
        encode_own: Callable[[EventDraft], Encoded],
        sync: bool,
        segment_bytes: int,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._path = newest_path(folder)
        self._lock = lock
        self._threads = threading.Lock()
        self._encode_own = encode_own
        self._sync = sync
        self._segment_bytes = segment_bytes
        self._clock = clock
        self._head = HeadFile(folder)
        self._fd = -1
        self._inode = -1
        self._tail: Tail | None = None
        self._own: list[Event] = []

    def append(self, lines: Sequence[Encoded]) -> tuple[list[Event], list[Event]]:
        """Append all lines or none: the events, and those that the log added of its own accord.

        Raises:
            StorageError: the disk refuses; no part of a line is left.
            BusyError: the lock's timeout ran out.
        """
        return self._locked(lambda: self._write(lines, self._ready()))

    def rotate(self) -> list[Event]:
        """Close the newest segment now, unless it is empty; the events that this logged.

        Raises: as ``append``.
        """
        return self._locked(self._rotate)[1]

    def collect(self, policy: Retention) -> tuple[GcReport, list[Event]]:
        """Remove old segments: first the event that names them is made durable, then they go.

        Raises: as ``append``.
        """
        return self._locked(lambda: self._collect(policy))

    def close(self) -> None:
        """Give the descriptors back."""
        self._lock.release()
        self._head.close()
        self._close_file()

    def _locked(self, work: Callable[[], T]) -> tuple[T, list[Event]]:
        with self._threads:
            self._own = []
            try:
                with self._lock():
                    return work(), self._own
            except OSError as fault:
                raise_storage(fault, self._path)

    def _rotate(self) -> None:
        tail = self._ready()
        self._write([], self._close_segment(tail) if tail.size else tail)

    def _collect(self, policy: Retention) -> GcReport:
        self._write([], self._ready())
        segments = old_segments(self._folder, policy, self._clock.now())
        if not segments:
            return GcReport()
        self._own += self._write([self._encode_own(pruned(segments, policy))], self._ready())
        return remove_segments(segments, sync=self._sync)

    # ------------------------------------------------------------------ how far the log goes

    def _ready(self) -> Tail:
        # Forgotten first: only a call that ends well leaves something to be remembered.
        tail, self._tail = self._tail, None
        known = self._known(tail) if tail else None
        tail = known or self._load()
        return self._close_segment(tail) if tail.size >= self._segment_bytes else tail

    def _known(self, tail: Tail) -> Tail | None:
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            return None
        if status.st_ino != self._inode:
            return None
        if status.st_size == tail.size:
            return tail
        recorded = self._head.read()
        return recorded if recorded and (recorded.number, recorded.size) == (tail.number, status.st_size) else None

    def _load(self) -> Tail:
        self._open()
        number = number_of(self._fd, closed_numbers(self._folder))
        recorded = self._head.read()
        end = last_event_end(self._fd, os.fstat(self._fd).st_size)
        if recorded and self._agrees(recorded, number, end):
            tail = measure(self._fd, recorded, end)
        else:
            tail = measure(self._fd, beginning(self._folder, self._fd, number), end)
        missing = max(0, recorded.events - tail.events) if recorded and recorded.number >= number else 0
        fragment = read_fragment(self._fd, end)
        return self._mend(tail, fragment, missing) if fragment or missing else tail

    def _agrees(self, recorded: Tail, number: int, end: int) -> bool:
        at = recorded.size
        return recorded.number == number and at <= end and line_start(self._fd, at) == at

    def _open(self) -> None:
        self._close_file()
        self._head.close()
        refuse_link(self._folder)
        ensure_folder(self._folder, sync=self._sync)
        try:
            self._fd = os.open(self._path, _FLAGS)
        except FileNotFoundError:
            self._fd = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            sync_folder(self._folder, sync=self._sync)
        self._inode = os.fstat(self._fd).st_ino

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = self._inode = -1

    def _mend(self, tail: Tail, fragment: bytes, missing: int) -> Tail:
        if fragment:
            keep_fragment(self._path, fragment, sync=self._sync)
        data, mended, events = self._chain([self._encode_own(healed(tail.number, fragment, missing))], tail)
        overwrite(self._path, tail.size, data)
        self._own += events
        return mended

    def _close_segment(self, tail: Tail) -> Tail:
        # Its last lines may be those of a writer that does not fsync, or died before it did.
        if self._sync:
            os.fsync(self._fd)
        after = close_newest(self._folder, tail)
        if after is not tail:
            self._open()
        return after

    # ------------------------------------------------------------------ writing

    def _write(self, lines: Sequence[Encoded], tail: Tail) -> list[Event]:
        data, after, events = self._chain(lines, tail)
        if data:
            self._put(data, tail)
            self._head.write(after)
        self._tail = after
        own = len(events) - len(lines)
        self._own += events[:own]
        return events[own:]

    def _chain(self, lines: Sequence[Encoded], tail: Tail) -> tuple[bytes, Tail, list[Event]]:
        if tail.size == 0 and tail.number > 1:
            previous = os.path.basename(closed_path(self._folder, tail.number - 1))
            lines = [self._encode_own(rotated(tail, previous)), *lines]
        pieces, events, digest, latest = [], [], tail.digest, tail.latest
        for encoded in lines:
            events.append(Event(**encoded.fields, prev=digest))
            piece, digest = seal(encoded, digest)
            pieces.append(piece)
            latest = max(latest, encoded.fields["timestamp"])
        data = b"".join(pieces)
        return data, Tail(tail.number, tail.size + len(data), tail.events + len(events), digest, latest), events

    def _put(self, data: bytes, tail: Tail) -> None:
        if tail.size == 0 and tail.number > 1:
            failpoint("log.rotate.first")
        try:
            write_all(self._fd, data, "log.append.write")
            failpoint("log.append.before_sync")
            if self._sync:
                os.fsync(self._fd)
            failpoint("log.append.synced")
        except OSError:
            self._cut_back(tail.size)
            raise

    def _cut_back(self, size: int) -> None:
        # Where even this fails, the rest of the line is a torn end, and the next append mends it.
        try:
            os.ftruncate(self._fd, size)
        except OSError:
            pass
