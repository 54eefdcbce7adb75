"""A decision in the making: the question, and each contender on its way through the layers."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from autopilot.models import Candidate, ExecutorInfo, Reason, Task, TaskRecord, Term
from autopilot.routing.contender import Contender
from autopilot.routing.posterior import Estimate
from autopilot.routing.scoring import Scorer

__all__ = ["Entry", "Gatekeeper", "Question"]

Gatekeeper = Callable[[Task, ExecutorInfo], Reason | None]
"""Asks the plugins' gates about the executor that is about to be chosen: None, or the refusal."""


@attrs.define(kw_only=True)
class Entry:
    """One contender on its way through the layers. ``code`` is empty as long as it can be chosen; with an
    ``estimate`` it is capable."""

    contender: Contender
    estimate: Estimate | None = None
    terms: tuple[Term, ...] = ()
    score: float = 0.0
    failed: bool = False
    code: str = ""
    why: str = ""
    hint: str = ""
    wake_at: float | None = None

    @property
    def name(self) -> str:
        """The executor's name."""
        return self.contender.info.name

    @property
    def wakes(self) -> tuple[float, str]:
        """For sorting by the end of the rest, unknown ends last."""
        return (float("inf") if self.wake_at is None else self.wake_at, self.name)

    def exclude(self, code: str, why: str, *, hint: str = "", wake_at: float | None = None) -> None:
        """It cannot be chosen, for this reason."""
        self.code, self.why, self.hint, self.wake_at = code, why, hint, wake_at

    def candidate(self) -> Candidate:
        """What the decision says of it. A capable one has its numbers, also when it cannot be chosen now."""
        if self.estimate is None:
            return Candidate(executor=self.name, eligible=False, why=self.why)
        return Candidate(
            executor=self.name,
            eligible=not self.code,
            score=self.score,
            confidence=self.estimate.mean,
            why=self.why or _standing(self.estimate, self.failed),
            terms=self.terms,
            wake_at=self.wake_at,
        )


@attrs.frozen(kw_only=True)
class Question:
    """All that one decision is about."""

    task: Task
    record: TaskRecord
    contenders: tuple[Contender, ...]
    named: str | None
    now: float
    score: Scorer | None
    gate: Gatekeeper | None


def _standing(estimate: Estimate, failed: bool) -> str:
    text = f"expected success {estimate.mean:.2f} ± {estimate.sd:.2f}"
    return f"failed this task before, so it comes last; {text}" if failed else text
