"""A disposable copy of the summaries, so that a start need not read every task file again.

Each value carries its file's mark and counts only while the file still has it. The copy is checked as a whole; one
that is damaged, of another version, or missing is simply not used. Deleting it loses nothing.

It is laid out in columns: 100,000 rows of Python objects would for a moment take as much memory as what is kept.
"""

from __future__ import annotations

import marshal
import sys
import zlib
from array import array
from collections.abc import Iterable
from typing import Any

import attrs

from autopilot.errors import StorageError
from autopilot.models import InvalidTask, Priority, Status
from autopilot.store.contract import TaskSummary
from autopilot.store.layout import Layout
from autopilot.store.summaries import quick_summary
from autopilot.system.durable import read_file, replace_file

__all__ = ["Entry", "Sidecar"]

Entry = TaskSummary | InvalidTask

_MAGIC = f"autopilot-summaries 2 py{sys.version_info[0]}.{sys.version_info[1]} m{marshal.version}\n".encode()
_STATUSES = list(Status)
_PRIORITIES = list(Priority)
_STATUS_NUMBERS = {status: number for number, status in enumerate(_STATUSES)}
_PRIORITY_NUMBERS = {priority: number for number, priority in enumerate(_PRIORITIES)}
_DIGEST_BYTES = 32


class _Columns:
    """The copy in memory: one value a task in each column, and the rare things beside."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.marks = array("q")
        self.statuses = bytearray()
        self.priorities = bytearray()
        self.created = array("d")
        self.not_before = array("d")
        self.attempts = array("q")
        self.digests = bytearray()
        self.depends_on: dict[str, tuple[str, ...]] = {}
        self.invalid: dict[str, tuple[int, dict[str, Any]]] = {}

    def add(self, mark: int, entry: TaskSummary) -> None:
        self.ids.append(entry.id)
        self.marks.append(mark)
        self.statuses.append(_STATUS_NUMBERS[entry.status])
        self.priorities.append(_PRIORITY_NUMBERS[entry.priority])
        self.created.append(entry.created)
        self.not_before.append(entry.not_before)
        self.attempts.append(entry.attempt)
        self.digests += bytes.fromhex(entry.digest)
        if entry.depends_on:
            self.depends_on[entry.id] = entry.depends_on

    def pack(self) -> bytes:
        return marshal.dumps(vars(self))  # an array is written as its bytes

    @classmethod
    def unpack(cls, body: memoryview) -> _Columns:
        columns = cls()
        for name, value in marshal.loads(body).items():
            column = getattr(columns, name)
            if isinstance(column, array):
                column.frombytes(value)
            else:
                setattr(columns, name, value)
        return columns


class Sidecar:
    """The copy of one root, ``state/index/summaries``."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = f"{layout.index}/summaries"
        self._columns = _Columns()
        self._places: dict[str, int] = {}

    def save(self, entries: Iterable[tuple[int, Entry]]) -> None:
        """Write the copy; a disk that refuses is no fault, only a slower start."""
        columns = _Columns()
        for mark, entry in entries:
            if isinstance(entry, TaskSummary):
                columns.add(mark, entry)
            else:
                columns.invalid[entry.id] = (mark, attrs.asdict(entry))
        body = columns.pack()
        head = _MAGIC + zlib.crc32(body).to_bytes(4, "big")
        try:
            self._layout.prepare(self._layout.index)
            replace_file(self._path, head + body, point="sidecar", sync=False)
        except (StorageError, OSError):
            return

    def open(self) -> None:
        """Read the copy, if there is one that can be trusted."""
        try:
            data = memoryview(read_file(self._path))
        except OSError:
            return
        start = len(_MAGIC) + 4
        body = data[start:]
        if data[: len(_MAGIC)] != _MAGIC or zlib.crc32(body).to_bytes(4, "big") != data[len(_MAGIC) : start]:
            return
        self._columns = _Columns.unpack(body)
        self._places = {task_id: place for place, task_id in enumerate(self._columns.ids)}

    def close(self) -> None:
        """Forget what ``open`` read."""
        self._columns = _Columns()
        self._places = {}

    def find(self, task_id: str, mark: int) -> Entry | None:
        """The value of a file with this mark; None when it must be read."""
        columns = self._columns
        place = self._places.get(task_id)
        if place is None:
            known, value = columns.invalid.get(task_id, (0, None))
            return None if value is None or known != mark else InvalidTask(**value)
        if columns.marks[place] != mark:
            return None
        return quick_summary(
            columns.ids[place],
            _STATUSES[columns.statuses[place]],
            _PRIORITIES[columns.priorities[place]],
            columns.created[place],
            columns.not_before[place],
            columns.attempts[place],
            columns.depends_on.get(task_id, ()),
            columns.digests[place * _DIGEST_BYTES : (place + 1) * _DIGEST_BYTES].hex(),
            None,
            0.0,
        )
