"""A decision in words and rows: pure data for `why`, `route explain` and `route stats`, and for the event log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from autopilot.models import Candidate, Decision
from autopilot.routing.health import format_epoch
from autopilot.routing.quality import PUBLISHED, Quality

__all__ = ["CandidateRow", "StatsRow", "candidate_rows", "decision_payload", "explain_lines", "stats_rows"]


@attrs.frozen(kw_only=True)
class CandidateRow:
    """One line of the table of candidates, as text ready to print.

    Attributes:
        mark: ``→`` for the choice, ``-`` for one that cannot be chosen now, else empty.
    """

    mark: str
    executor: str
    score: str
    confidence: str
    why: str


@attrs.frozen(kw_only=True)
class StatsRow:
    """What is known of one executor at one type of task. Counts are discounted, so they are no whole numbers.

    Attributes:
        mean, sd: of its probability of success.
        cost_usd, minutes: expected of an attempt.
    """

    executor: str
    task_type: str
    runs: float
    successes: float
    mean: float
    sd: float
    cost_usd: float
    minutes: float


def candidate_rows(decision: Decision) -> list[CandidateRow]:
    """The table of candidates, in the order of the decision: the choice, the eligible, the others."""
    return [_row(candidate, decision.executor) for candidate in decision.candidates]


def _row(candidate: Candidate, chosen: str | None) -> CandidateRow:
    mark = "→" if candidate.executor == chosen else "" if candidate.eligible else "-"
    return CandidateRow(
        mark=mark,
        executor=candidate.executor,
        score=_figure(candidate.score),
        confidence=_figure(candidate.confidence),
        why=candidate.why,
    )


def explain_lines(decision: Decision, *, terms: bool = True) -> list[str]:
    """The whole answer as plain lines.

    Args:
        terms: with every summand of every score.
    """
    lines = [f"{decision.executor or 'nobody'} ({decision.reason_code}): {decision.reason}"]
    if decision.hint:
        lines.append(f"hint: {decision.hint}")
    if decision.wake_at is not None:
        lines.append(f"next try: {format_epoch(decision.wake_at)}")
    lines.extend(_aligned(candidate_rows(decision), decision.candidates if terms else ()))
    lines.append(f"parameters: {decision.parameters}")
    return lines


def _aligned(rows: Sequence[CandidateRow], candidates: Sequence[Candidate]) -> list[str]:
    width = max((len(row.executor) for row in rows), default=0)
    lines = []
    for index, row in enumerate(rows):
        lines.append(f"{row.mark or ' ':1} {row.executor:{width}}  {row.score:>6}  {row.why}")
        for term in candidates[index].terms if candidates else ():
            lines.append(f"  {'':{width}}  {term.value:+.3f}    {term.name}: {term.detail}".rstrip(": "))
    return lines


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def decision_payload(decision: Decision, **more: Any) -> Mapping[str, Any]:
    """The payload of ``dispatch.decision``: all of the decision as JSON values, and ``more`` (attempt …)."""
    return {**attrs.asdict(decision), **more}


def stats_rows(quality: Quality) -> list[StatsRow]:
    """What was learned, one row per executor and type that has been seen, sorted."""
    rows = []
    for executor, task_type, counts in quality.cells():
        if task_type == PUBLISHED:
            continue
        known = quality.estimate(executor, task_type)
        rows.append(
            StatsRow(
                executor=executor,
                task_type=task_type,
                runs=counts.runs,
                successes=counts.successes,
                mean=known.mean,
                sd=known.sd,
                cost_usd=known.cost_usd,
                minutes=known.minutes,
            )
        )
    return rows
