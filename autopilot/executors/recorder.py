"""One attempt's words on their way to files, parser and runner."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import Any

import attrs

from autopilot.executors.contract import Progress
from autopilot.executors.lines import LineSplitter
from autopilot.executors.output import CappedFile
from autopilot.executors.supervise import Exit
from autopilot.executors.transcript import Records, Transcript, merge_progress
from autopilot.system.clock import Clock, format_instant
from autopilot.system.redact import Redactor

__all__ = ["Notes", "Parse", "Recorder"]

Parse = Callable[[str, str], Progress | None]

REPORT_S = 0.1
"""At most one report in this time; what comes faster is merged."""

ALIVE_S = 1.0
"""At least one report in this time while the program prints anything."""

_FIELDS = tuple(field.name for field in attrs.fields(Progress))

MOST_PARSE_ERRORS = 100
"""After so many the parser is not called any more."""

NOTE_BYTES = 2 * 1024 * 1024


class Notes:
    """``transcript.ndjson``: one JSON line for each notable thing, bounded; a disk that refuses is ignored."""

    def __init__(self, path: str, redactor: Redactor, clock: Clock, *, limit_bytes: int = NOTE_BYTES) -> None:
        self._redactor = redactor
        self._clock = clock
        self._room = limit_bytes
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._fd = os.open(path, flags, 0o600)
        except OSError:
            self._fd = -1

    def add(self, kind: str, *, always: bool = False, **values: Any) -> None:
        """Write one line, if there is room for it or it must be there ``always``."""
        note = {"at": format_instant(self._clock.now()), "kind": kind, **values}
        line = self._redactor.text(json.dumps(note, default=_plain)).encode() + b"\n"
        self._room -= len(line)
        if self._fd < 0 or (self._room < 0 and not always):
            return
        try:
            os.write(self._fd, line)
        except OSError:
            self.close()

    def close(self) -> None:
        """Give back the descriptor."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Recorder:
    """Hears the program (``supervise.Listener``), keeps what must be kept, and reports signs of life.

    Args:
        parse: the executor's parser, None where it has none: then no line is ever looked at.
        report: where progress goes; faults of it are not ours.
    """

    def __init__(
        self,
        files: dict[str, CappedFile],
        notes: Notes,
        *,
        parse: Parse | None,
        report: Callable[[Progress], None],
        redactor: Redactor,
        clock: Clock,
    ) -> None:
        self.final = False
        self.parse_errors = 0
        self.first_parse_error = ""
        self._files = files
        self._notes = notes
        self._parse = parse
        self._report = report
        self._redactor = redactor
        self._clock = clock
        self._splitters = {name: LineSplitter() for name in files} if parse else {}
        self._records = Records()
        self._totals = Progress()
        self._pending: Progress | None = None
        self._reported = clock.monotonic() - ALIVE_S

    def output(self, stream: str, data: bytes) -> None:
        """``data`` was printed on ``stream``."""
        self._files[stream].write(data)
        if self._parse is not None:
            for line in self._splitters[stream].feed(data):
                self._hear(line, stream)
        since = self._clock.monotonic() - self._reported
        if since >= ALIVE_S or (self._pending is not None and since >= REPORT_S):
            self._send()

    def tick(self) -> float | None:
        """Send what waits, when it is due."""
        if self._pending is None:
            return None
        left = self._reported + REPORT_S - self._clock.monotonic()
        if left > 0:
            return left
        self._send()
        return None

    def _hear(self, line: str, stream: str) -> None:
        progress = self._parsed(line, stream)
        if progress is None:
            return
        if progress.message is not None and (clean := self._redactor.text(progress.message)) != progress.message:
            progress = attrs.evolve(progress, message=clean)
        self._records.add(line)
        self._pending = merge_progress(self._pending, progress) if self._pending else progress
        self.final = self.final or progress.final
        said = {
            name: value
            for name in _FIELDS
            if (value := getattr(progress, name)) is not None and value is not False
        }
        if said:
            self._notes.add("progress", stream=stream, **said)
        if progress.final:
            self._send()

    def _parsed(self, line: str, stream: str) -> Progress | None:
        if self._parse is None or self.parse_errors >= MOST_PARSE_ERRORS:
            return None
        try:
            return _progress_or_none(self._parse(line, stream))
        except Exception as fault:
            self.parse_errors += 1
            if self.parse_errors == 1:
                self.first_parse_error = "".join(traceback.format_exception_only(fault)).strip()
                trace = "".join(traceback.format_exception(fault))
                self._notes.add("parse-error", stream=stream, line=line[:2000], error=trace[-4000:])
            return None

    def _send(self) -> None:
        progress, self._pending = self._pending or Progress(), None
        self._totals = merge_progress(self._totals, progress)
        self._reported = self._clock.monotonic()
        self._report(progress)

    def faults(self) -> dict[str, str]:
        """Which output files are incomplete, and why."""
        return {name: file.fault for name, file in self._files.items() if file.fault}

    def close(self, ended: Exit) -> Transcript:
        """Write the rest of everything; what there is to judge by."""
        for name, splitter in self._splitters.items():
            for line in splitter.close():
                self._hear(line, name)
        if self._pending is not None:
            self._send()
        for file in self._files.values():
            file.close()
        stdout, stderr = self._files["stdout"], self._files["stderr"]
        self._notes.add("ended", always=True, **attrs.asdict(ended))
        self._notes.close()
        return Transcript(
            stdout=stdout.text,
            stderr=stderr.text,
            stdout_bytes=stdout.total,
            stderr_bytes=stderr.total,
            records=self._records.all(),
            totals=self._totals,
            final=self.final,
            lingered=ended.lingered,
            stopped=ended.stopped,
            duration_s=ended.duration_s,
            parse_errors=self.parse_errors,
        )


def _progress_or_none(value: object) -> Progress | None:
    if value is not None and not isinstance(value, Progress):
        raise TypeError(f"it returned {type(value).__name__} where Progress or None is due")
    return value


def _plain(value: Any) -> Any:
    return attrs.asdict(value) if attrs.has(type(value)) else str(value)
