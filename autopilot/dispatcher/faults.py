"""A fault with one task is that task's: it is told, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from autopilot.errors import AutopilotError, BusyError, StorageError, UnreadableError
from autopilot.system.durable import MACHINES_FAULT
from autopilot.system.told import as_ours

__all__ = ["Faults", "TaskFault", "hits_all"]

_MOST_AT_ONCE = 20
"""Faults that one tick tells of; with a fault that every task has, the others come with the next ones."""


@attrs.frozen(eq=False)
class TaskFault:
    """What went wrong with one task. ``cause``: with its traceback."""

    task_id: str
    cause: Exception

    @property
    def error(self) -> AutopilotError:
        """What people are told of it."""
        return as_ours(self.cause)

    def __str__(self) -> str:
        hint = f" ({self.error.hint})" if self.error.hint else ""
        return f"{self.task_id} is left alone: {self.error.message}{hint}"


def hits_all(fault: Exception) -> bool:
    """Whether a fault that was met with one task is none of that task's: a full disk, a lock."""
    if isinstance(fault, OSError):
        return fault.errno in MACHINES_FAULT
    if isinstance(fault, UnreadableError):
        return False
    return isinstance(fault, StorageError | BusyError | MemoryError)


class Faults:
    """The faults with single tasks that one dispatcher has met: each is told once, for as long as it lasts."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._new: list[TaskFault] = []

    def keep(self, task_id: str, fault: Exception) -> None:
        """Keep a fault with one task from all others; one that hits them all is raised again."""
        if hits_all(fault):
            raise fault
        found = TaskFault(task_id, fault)
        if self._known.get(task_id) == str(found) or len(self._new) == _MOST_AT_ONCE:
            return
        self._known[task_id] = str(found)
        self._new.append(found)

    @contextmanager
    def kept(self, task_id: str) -> Iterator[None]:
        """Do something with one task, whose fault stays its own."""
        try:
            yield
        except Exception as fault:
            self.keep(task_id, fault)

    def has(self, task_id: str) -> bool:
        """Whether a fault of this task is known that lasts."""
        return task_id in self._known

    def forget(self, task_id: str) -> None:
        """This task is in order again, or gone."""
        self._known.pop(task_id, None)

    def take(self) -> tuple[TaskFault, ...]:
        """Those that nobody was told of yet."""
        new, self._new = tuple(self._new), []
        return new
