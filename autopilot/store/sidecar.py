"""A disposable copy of the summaries, so that a start need not read every task file again.

Each row carries its file's mark and counts only while the file still has it. The copy is checked as a whole;
one that is damaged, of another version, or missing is simply not used. Deleting it loses nothing.
"""

from __future__ import annotations

import marshal
import os
import sys
import zlib
from collections.abc import Iterable
from typing import Any

from autopilot.errors import StorageError
from autopilot.models import InvalidTask, Priority, Status
from autopilot.store.contract import TaskSummary
from autopilot.store.layout import Layout
from autopilot.system.durable import read_file, replace_file

__all__ = ["Sidecar"]

_MAGIC = f"autopilot-summaries 1 py{sys.version_info[0]}.{sys.version_info[1]} m{marshal.version}\n".encode()
_TASK_FIELDS = 7
_STATUSES = list(Status)
_PRIORITIES = list(Priority)

Entry = tuple[bytes, TaskSummary | InvalidTask]


class Sidecar:
    """The copy of one root, ``state/index/summaries``."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._path = f"{layout.index}/summaries"

    def save(self, entries: Iterable[tuple[str, bytes, TaskSummary | InvalidTask]]) -> None:
        """Write the copy; a disk that refuses is no fault, only a slower start."""
        rows: list[Any] = []
        for name, mark, entry in entries:
            rows.append(
                (name, mark, *(_task_row(entry) if isinstance(entry, TaskSummary) else _invalid_row(entry)))
            )
        body = marshal.dumps(rows)
        head = _MAGIC + zlib.crc32(body).to_bytes(4, "big")
        try:
            self._layout.prepare(self._layout.index)
            replace_file(self._path, head + body, point="sidecar", sync=False)
        except (StorageError, OSError):
            return

    def load(self) -> dict[str, tuple[Any, ...]]:
        """Rows by file name, to be used with ``entry``; empty when there is no copy that can be trusted."""
        try:
            data = read_file(self._path)
        except OSError:
            return {}
        start = len(_MAGIC) + 4
        if data[: len(_MAGIC)] != _MAGIC:
            return {}
        body = memoryview(data)[start:]
        if zlib.crc32(body).to_bytes(4, "big") != data[len(_MAGIC) : start]:
            return {}
        rows: list[tuple[Any, ...]] = marshal.loads(body)
        return {row[0]: row for row in rows}

    def entry(self, row: tuple[Any, ...]) -> Entry:
        """The mark and value of a row."""
        if len(row) == 2 + _TASK_FIELDS:
            name, mark, status, priority, created, not_before, attempt, depends_on, digest = row
            return mark, TaskSummary(
                id=name,
                status=_STATUSES[status],
                priority=_PRIORITIES[priority],
                created=created,
                not_before=not_before,
                attempt=attempt,
                depends_on=depends_on,
                digest=digest,
            )
        name, mark, message, hint, line, column, digest = row
        path = os.path.join(self._layout.tasks, f"{name}.md")
        return mark, InvalidTask(
            id=name, path=path, message=message, hint=hint, line=line, column=column, digest=digest
        )


def _task_row(entry: TaskSummary) -> tuple[Any, ...]:
    return (
        _STATUSES.index(entry.status),
        _PRIORITIES.index(entry.priority),
        entry.created,
        entry.not_before,
        entry.attempt,
        entry.depends_on,
        entry.digest,
    )


def _invalid_row(entry: InvalidTask) -> tuple[Any, ...]:
    return entry.message, entry.hint, entry.line, entry.column, entry.digest
