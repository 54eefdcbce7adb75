"""What a tick says that it did."""

from __future__ import annotations

from typing import Any

import attrs

from autopilot.dispatcher.faults import TaskFault
from autopilot.dispatcher.reconcile import Adopted
from autopilot.models import Decision

__all__ = ["Started", "TickReport", "started_by"]


@attrs.frozen(kw_only=True)
class Started:
    """One attempt that this dispatcher started, or would start in a dry run."""

    task_id: str
    executor: str
    attempt: int
    confidence: float | None
    reason: str

    def row(self, outcome: str | None = None) -> dict[str, Any]:
        """As ``dispatch tick -o json`` shows it."""
        return {**attrs.asdict(self), "outcome": outcome}


@attrs.frozen(kw_only=True)
class TickReport:
    """What a tick did.

    Attributes:
        started: attempts that were started.
        adopted: attempts that had ended and were committed.
        faults: what went wrong with single tasks, which are left alone; told once, for as long as it lasts.
        notes: sentences for the operator, such as why nothing was started.
    """

    started: tuple[Started, ...] = ()
    adopted: tuple[Adopted, ...] = ()
    faults: tuple[TaskFault, ...] = ()
    notes: tuple[str, ...] = ()


def started_by(decision: Decision, token: int) -> Started:
    """The attempt ``token``, as its task was routed."""
    return Started(
        task_id=decision.task_id,
        executor=str(decision.executor),
        attempt=token,
        confidence=decision.confidence,
        reason=decision.reason,
    )
