"""Judging the log: is every line there that was written, as it was written, in the order it was written?

The chain finds whatever was changed, removed, added or moved before the last line. A change of the last line
itself, and lines cut off the end, are found by the head file, which somebody who can write the log can change as
well; so whoever wants proof notes an ``Anchor`` in another place from time to time. Nothing finds a log that was
rewritten from some event after the last anchor to its end.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from typing import Any

import attrs

from autopilot.events.head import GENESIS, Anchor, HeadFile, Tail
from autopilot.events.record import parse_line
from autopilot.events.segments import (
    closed_numbers,
    closed_path,
    line_start,
    newest_path,
    number_of,
    open_reading,
    read_lines,
)

__all__ = ["Fault", "VerifyReport", "verify"]

_TEXT = ("id", "event_type", "timestamp", "source", "prev")
_MAX_FAULTS = 1000


@attrs.frozen
class Fault:
    """Something that an intact log does not have.

    Attributes:
        segment: the file's name.
        line: counted from 1; 0 where the fault is of the whole file.
        message: what is wrong, in a sentence.
    """

    segment: str
    line: int
    message: str


@attrs.frozen(kw_only=True)
class VerifyReport:
    """What ``verify`` found.

    Attributes:
        ok: there is no fault.
        segments: how many files were read.
        events: how many lines they hold.
        faults: at most 1,000.
        notes: what is in order and worth knowing: pruned segments, healed ends, a torn end to be healed.
        duplicates: events whose id occurred before; projections repeated after a crash, which readers drop.
        head: the anchor of the last event; None for an empty log.
    """

    ok: bool
    segments: int
    events: int
    faults: tuple[Fault, ...]
    notes: tuple[str, ...]
    duplicates: int
    head: Anchor | None


def verify(folder: str, anchor: Anchor | None = None) -> VerifyReport:
    """Walk the log in ``folder`` without a lock; what is appended meanwhile may be left out.

    Raises:
        StorageError: a segment may not be read.
    """
    while True:
        try:
            return _Verification(folder, anchor).run()
        except _PrunedError:
            continue


class _PrunedError(Exception):
    """A segment went while the ones before it were read: the log begins later now."""


class _Verification:
    def __init__(self, folder: str, anchor: Anchor | None) -> None:
        self._folder = folder
        self._anchor = anchor
        # Before the segments: what is appended in between is then beyond it, and not missing.
        head = HeadFile(folder)
        self._recorded = head.read()
        self._damaged = self._recorded is None and head.is_damaged()
        self._faults: list[Fault] = []
        self._notes: list[str] = []
        self._ids: array[int] = array("q")
        self._removed: list[dict[str, Any]] = []
        self._first: Tail | None = None
        self._lines = 0
        self._count = 0
        self._digest = GENESIS
        self._latest = ""
        self._name = ""
        self._line = 0
        self._seen_anchor = self._seen_head = False

    def run(self) -> VerifyReport:
        expected = 0
        files = 0
        for number, fd, newest in self._segments():
            files += 1
            path = newest_path(self._folder) if newest else closed_path(self._folder, number)
            self._name, self._line = os.path.basename(path), 0
            if expected and number != expected:
                self._fault(f"segment {number} follows on {expected - 1}: some are missing, or one is there twice")
            expected = number + 1
            self._segment(number, fd, newest)
        self._name, self._line = self._name or "events.ndjson", 0
        self._judge_start()
        self._judge_end()
        return self._report(files)

    def _segments(self) -> Iterator[tuple[int, int, bool]]:
        newest, closed = _look(self._folder)
        try:
            last = number_of(newest, closed)
            for number in closed:
                yield from self._closed_segment(number)
            if newest is not None:
                yield last, newest, True
        finally:
            if newest is not None:
                os.close(newest)

    def _closed_segment(self, number: int) -> Iterator[tuple[int, int, bool]]:
        fd = open_reading(closed_path(self._folder, number))
        if fd is None:
            raise _PrunedError
        try:
            yield number, fd, False
        finally:
            os.close(fd)

    def _segment(self, number: int, fd: int, newest: bool) -> None:
        size = os.fstat(fd).st_size
        whole = line_start(fd, size)
        for line, end in read_lines(fd, 0, whole):
            self._line += 1
            self._lines += 1
            self._event(number, line)
            self._digest = hashlib.sha256(line).hexdigest()
            self._count += 1
            self._compare_head(number, end)
            self._compare_anchor()
        torn = size - whole
        if torn and newest:
            self._notes.append(f"{self._name} ends in a torn line of {torn} bytes; the next append moves it aside")
        elif torn:
            self._fault(f"the segment ends in a torn line of {torn} bytes")

    def _event(self, number: int, line: bytes) -> None:
        value = parse_line(line)
        fault = "not an event: no JSON object with the keys of one" if value is None else _shape_fault(value)
        if value is None or fault:
            self._fault(fault)
            return
        self._ids.append(hash(value["id"]))
        if self._line == 1:
            self._begin(number, value)
        self._latest = max(self._latest, value["timestamp"])
        if value["prev"] != self._digest:
            self._fault(
                "`prev` is not the hash of the line before: a line was changed, removed, added or moved here"
            )
        self._note_own(value)

    def _begin(self, number: int, value: dict[str, Any]) -> None:
        said = value["payload"] if value["event_type"] == "log.rotated" else {}
        if self._lines == 1:
            before = said.get("events")
            events = before if isinstance(before, int) else 0
            self._first = Tail(number=number, events=events, digest=value["prev"])
            self._digest, self._count = self._first.digest, self._first.events
            self._latest = str(said.get("latest", ""))
            self._compare_anchor()
            if said.get("segment", 1) != number:
                self._fault(f"the first line says that it is of another segment than {number}")
            return
        claim = [said.get(key) for key in ("segment", "head", "events", "latest")]
        if claim != [number, self._digest, self._count, self._latest]:
            self._fault(f"the first line does not begin segment {number} where the one before ended")

    def _note_own(self, value: dict[str, Any]) -> None:
        payload = value["payload"]
        if value["event_type"] == "log.pruned":
            removed = payload.get("removed")
            self._removed += (
                [item for item in removed if isinstance(item, dict)] if isinstance(removed, list) else []
            )
        if value["event_type"] == "log.healed":
            missing = payload.get("missing_events") or 0
            lost = f", and {missing} acknowledged events were missing" if missing else ""
            self._notes.append(
                f"{self._name}:{self._line}: a fragment of {payload.get('bytes')} bytes was healed{lost}"
            )

    def _compare_head(self, number: int, end: int) -> None:
        recorded = self._recorded
        if recorded and (recorded.number, recorded.size) == (number, end):
            self._seen_head = True
            if recorded != Tail(number, end, self._count, self._digest, self._latest):
                self._fault("this line is not the one that the head file has recorded: one of them was changed")

    def _compare_anchor(self) -> None:
        anchor = self._anchor
        if anchor and anchor.events == self._count:
            self._seen_anchor = True
            if anchor.digest != self._digest:
                self._fault(f"event {self._count} is not the one that was anchored: the log was rewritten")

    def _judge_start(self) -> None:
        first = self._first
        if first is None or (first.number == 1 and first.digest == GENESIS):
            return
        if any((item.get("head"), item.get("events")) == (first.digest, first.events) for item in self._removed):
            self._notes.append(f"{first.events} events before segment {first.number} were pruned by policy")
        else:
            self._fault(
                f"the log begins with segment {first.number}, and no `log.pruned` event tells of the earlier ones"
            )

    def _judge_end(self) -> None:
        recorded, anchor = self._recorded, self._anchor
        begin = self._first.number if self._first else 1
        if self._damaged:
            self._fault("the head file is damaged: no writer leaves it like that")
        elif self._lines and (recorded is None or recorded.number < begin):
            what = "there is no head file" if recorded is None else "the head file is older than what is left"
            self._notes.append(f"{what}: only an anchor can vouch for the last line")
        if recorded and not self._seen_head and recorded.number >= begin:
            self._fault(
                f"the head file has recorded {recorded.events} events, and no line ends where the last of them did"
            )
        if anchor and not self._seen_anchor:
            if anchor.events > self._count:
                self._fault(f"the log was cut: {anchor.events} events were anchored, {self._count} are there")
            else:
                self._fault(f"event {anchor.events} was anchored, and has been pruned since: use a later anchor")

    def _fault(self, message: str) -> None:
        if len(self._faults) < _MAX_FAULTS:
            self._faults.append(Fault(self._name, self._line, message))

    def _report(self, files: int) -> VerifyReport:
        return VerifyReport(
            ok=not self._faults,
            segments=files,
            events=self._lines,
            faults=tuple(self._faults),
            notes=tuple(self._notes),
            duplicates=len(self._ids) - len(set(self._ids)),
            head=Anchor(events=self._count, digest=self._digest) if self._lines else None,
        )


def _look(folder: str) -> tuple[int | None, list[int]]:
    # Newest and closed segments of one instant: once more if the newest was closed in between.
    while True:
        newest = open_reading(newest_path(folder))
        closed = closed_numbers(folder)
        if newest is None:
            return None, closed
        try:
            if os.path.samestat(os.fstat(newest), os.lstat(newest_path(folder))):
                return newest, closed
        except FileNotFoundError:
            pass
        os.close(newest)


def _shape_fault(value: dict[str, Any]) -> str:
    wrong = [key for key in _TEXT if not isinstance(value.get(key), str)]
    if "trace_id" not in value or not isinstance(value["trace_id"], str | None):
        wrong.append("trace_id")
    return f"not an event: {', '.join(wrong)} missing or of the wrong kind" if wrong else ""
