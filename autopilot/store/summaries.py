"""What is kept of each task in memory, and the mark by which a file is known again without reading it."""

from __future__ import annotations

import os
import stat
import struct

from autopilot.models import InvalidTask, Lease, Task, TaskRecord
from autopilot.store.contract import TaskSummary
from autopilot.store.protocol import overlay

__all__ = ["RACY_NS", "mark_of", "settled", "summarise"]

RACY_NS = 2_000_000_000
"""A file that was changed within this time of being looked at may change again under the same time stamp: some
file systems count in seconds. Such a file is looked at again."""

_MARK = struct.Struct("<qqqqI")


def mark_of(status: os.stat_result) -> bytes:
    """Everything a file's inode tells about whether it is still the same file with the same bytes."""
    return _MARK.pack(
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_size,
        status.st_ino & 0x7FFFFFFFFFFFFFFF,
        stat.S_IFMT(status.st_mode),
    )


def settled(status: os.stat_result, now_ns: int) -> bool:
    """Whether the file was last changed long enough ago for its mark to be trusted."""
    return now_ns - max(status.st_mtime_ns, status.st_ctime_ns) > RACY_NS


def summarise(
    task: Task | InvalidTask, seen_ns: int, lease: Lease | None = None, record: TaskRecord | None = None
) -> TaskSummary | InvalidTask:
    """A task as the dispatcher keeps it.

    Args:
        seen_ns: the file's time, for tasks that do not say when they were created.
    """
    if isinstance(task, InvalidTask):
        return task
    shown = overlay(task, lease, record)
    return TaskSummary(
        id=task.id,
        status=shown.status,
        priority=task.priority,
        created=task.created_at.timestamp() if task.created_at else seen_ns / 1e9,
        not_before=shown.not_before.timestamp() if shown.not_before else 0.0,
        attempt=shown.attempt,
        depends_on=task.depends_on,
        digest=task.digest,
        written=task.status if lease is not None else None,
    )
