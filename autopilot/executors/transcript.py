"""What is left of a program's words when it has ended: bounded, redacted, enough to judge by."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

import attrs

from autopilot.executors.contract import Progress

__all__ = ["Records", "Transcript", "json_line", "merge_progress"]

_SAID = tuple(field.name for field in attrs.fields(Progress) if field.name != "final")

RECORD_BYTES = 2 * 1024 * 1024


def json_line(line: str) -> dict[str, Any] | None:
    """The JSON object on this line, None where the line is something else."""
    if line.lstrip()[:1] != "{":
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def merge_progress(old: Progress, new: Progress) -> Progress:
    """``new`` on top of ``old``: what it does not say stays."""
    said = {name: value for name in _SAID if (value := getattr(new, name)) is not None}
    return attrs.evolve(old, final=old.final or new.final, **said)


@attrs.frozen(kw_only=True)
class Transcript:
    """What a program printed, for ``CommandExecutor.judge``.

    Attributes:
        stdout, stderr: what was printed, without secrets; of a long output the first 64 KiB and the last 256 KiB,
            with a line ``[… N bytes left out …]`` between them.
        stdout_bytes, stderr_bytes: how much was printed.
        records: the JSON objects of those lines for which ``parse`` returned a ``Progress``; of very many the
            first and the latest ones.
        totals: what all ``Progress`` objects add up to: for each field the last word.
        final: a ``Progress`` said that the program has had its last word.
        lingered: after it, the program did not exit by itself and was ended; its exit code counts as 0.
        stopped: the attempt was asked to stop (deadline, cancel); the core's word on that counts, not ours.
        duration_s: from start to exit.
        parse_errors: how often ``parse`` raised.
    """

    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    records: tuple[Mapping[str, Any], ...] = ()
    totals: Progress = attrs.field(factory=Progress)
    final: bool = False
    lingered: bool = False
    stopped: bool = False
    duration_s: float = 0.0
    parse_errors: int = 0

    def last(self, **values: object) -> Mapping[str, Any] | None:
        """The last record that has all these keys with these values: ``transcript.last(type="result")``."""
        wanted = values.items()
        fitting = (r for r in reversed(self.records) if all(r.get(key) == value for key, value in wanted))
        return next(fitting, None)

    def last_line(self, stream: str = "stderr") -> str:
        """The last line of ``stdout`` or ``stderr`` that is not blank; empty where there is none."""
        text = self.stdout if stream == "stdout" else self.stderr
        return text.rstrip().rpartition("\n")[2].strip()


class Records:
    """The JSON records that are worth keeping: the first ones and the latest, by size of their text."""

    def __init__(self, limit_bytes: int = RECORD_BYTES) -> None:
        self._first_room = limit_bytes // 8
        self._last_room = limit_bytes - self._first_room
        self._first: list[dict[str, Any]] = []
        self._last: deque[tuple[int, dict[str, Any]]] = deque()

    def add(self, line: str) -> None:
        """Keep the object on this line, if there is one; the latest is always kept."""
        record = json_line(line)
        if record is None:
            return
        size = len(line)
        if not self._last and size <= self._first_room:
            self._first.append(record)
            self._first_room -= size
            return
        self._last.append((size, record))
        self._last_room -= size
        while self._last_room < 0 and len(self._last) > 1:
            self._last_room += self._last.popleft()[0]

    def all(self) -> tuple[dict[str, Any], ...]:
        """What was kept, in the order of the lines."""
        return (*self._first, *(record for _, record in self._last))
