"""The task state machine, as data."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from autopilot.errors import TransitionError

__all__ = ["ALLOWED_TRANSITIONS", "TERMINAL", "Priority", "Status", "check_transition"]


class Status(StrEnum):
    """Where a task is. ``docs/reference/states.md`` explains every arrow."""

    PENDING = "pending"
    CLAIMED = "claimed"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


class Priority(StrEnum):
    """How urgent a task is; ``rank`` 0 comes first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for critical up to 3 for low."""
        return list(Priority).index(self)


ALLOWED_TRANSITIONS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.PENDING: frozenset({Status.CLAIMED, Status.CANCELLED, Status.BLOCKED}),
        Status.CLAIMED: frozenset({Status.IN_PROGRESS, Status.PENDING, Status.CANCELLED}),
        Status.IN_PROGRESS: frozenset({Status.DONE, Status.BLOCKED, Status.CANCELLED, Status.PENDING}),
        Status.BLOCKED: frozenset({Status.PENDING, Status.CANCELLED}),
        Status.DONE: frozenset({Status.PENDING}),
        Status.CANCELLED: frozenset({Status.PENDING}),
    }
)

TERMINAL: frozenset[Status] = frozenset({Status.DONE, Status.CANCELLED})


def check_transition(task_id: str, old: Status, new: Status) -> None:
    """Refuse a transition that the state machine does not know.

    Raises:
        TransitionError: with the transitions that are allowed from ``old``.
    """
    if new not in ALLOWED_TRANSITIONS[old]:
        allowed = ", ".join(sorted(ALLOWED_TRANSITIONS[old]))
        raise TransitionError(
            f"task {task_id} is {old} and cannot become {new}", hint=f"from {old} it can become: {allowed}"
        )
