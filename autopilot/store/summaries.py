"""What is kept of each task in memory, and the mark by which a file is known again without reading it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from autopilot.models import Lease, Priority, Status, TaskRecord
from autopilot.store.contract import TaskSummary
from autopilot.store.protocol import view
from autopilot.taskfile import read_fields

__all__ = ["RACY_NS", "mark_of", "quick_summary", "settled", "summarise"]

RACY_NS = 2_000_000_000
"""A file that was changed within this time of being looked at may change again under the same time stamp: some
file systems count in seconds. Such a file is looked at again."""


def mark_of(status: os.stat_result) -> int:
    """By which a file is known to be the same one, with the same bytes: 64 bits of change time, size and inode.

    The kernel sets the change time, also when a program sets the modification time back, so that it tells of every
    write. Hashes of numbers do not differ between runs.
    """
    return hash((status.st_ctime_ns, status.st_size, status.st_ino))


def settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether the file was last changed long enough ago for its mark to be trusted."""
    return now_ns - status.st_ctime_ns > RACY_NS


def summarise(
    task_id: str,
    data: bytes,
    *,
    path: str,
    born: float,
    saved: float,
    lease: Lease | None,
    record: Callable[[str], TaskRecord | None],
) -> TaskSummary:
    """A task file as the dispatcher keeps it.

    Args:
        born: the file's first known time, epoch seconds, for tasks that do not say when they were created.
        saved: when it was last written, epoch seconds.
        record: asked for what is remembered of a task that may be parked.

    Raises:
        TaskFormatError: it is no task.
    """
    fields = read_fields(data, path=path, expected_id=task_id)
    written = fields.get("status", Status.PENDING)
    kept = record(task_id) if lease is None and _may_be_parked(written, fields) else None
    status, attempt, not_before = view(written, fields.get("attempt", 0), fields.get("not_before"), lease, kept)
    created = fields.get("created_at")
    return quick_summary(
        task_id,
        status,
        fields.get("priority", Priority.MEDIUM),
        created.timestamp() if created else born,
        not_before.timestamp() if not_before else 0.0,
        attempt,
        fields.get("depends_on", ()),
        hashlib.sha256(data).hexdigest(),
        written if lease is not None else None,
        saved if lease is not None else 0.0,
    )


def _may_be_parked(written: Status, fields: Mapping[str, Any]) -> bool:
    # Parking writes into the file, so a pending task that was never written to has no record to ask.
    return written is Status.PENDING and "updated_at" in fields


_new = object.__new__
_id, _status, _priority, _created, _not_before, _attempt, _depends_on, _digest, _written, _saved = (
    getattr(TaskSummary, field.name).__set__ for field in attrs.fields(TaskSummary)
)


def quick_summary(
    task_id: str,
    status: Status,
    priority: Priority,
    created: float,
    not_before: float,
    attempt: int,
    depends_on: tuple[str, ...],
    digest: str,
    written: Status | None,
    saved: float,
) -> TaskSummary:
    """A ``TaskSummary`` in half the time that its constructor takes, which checks nothing either. A start makes
    one for every file there is."""
    summary = _new(TaskSummary)
    _id(summary, task_id)
    _status(summary, status)
    _priority(summary, priority)
    _created(summary, created)
    _not_before(summary, not_before)
    _attempt(summary, attempt)
    _depends_on(summary, depends_on)
    _digest(summary, digest)
    _written(summary, written)
    _saved(summary, saved)
    return summary
