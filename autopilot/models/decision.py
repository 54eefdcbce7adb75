"""Why a task goes to this executor, or does not run: the whole answer, with every number."""

from __future__ import annotations

import attrs

__all__ = ["Candidate", "Decision", "Gate", "Term"]


@attrs.frozen(kw_only=True)
class Gate:
    """One condition that a task must pass before it is claimed."""

    name: str
    ok: bool
    detail: str = ""
    hint: str = ""


@attrs.frozen(kw_only=True)
class Term:
    """One summand of a candidate's score, with its sentence."""

    name: str
    value: float
    detail: str = ""


@attrs.frozen(kw_only=True)
class Candidate:
    """One executor, seen for one task.

    Attributes:
        eligible: it could be chosen now.
        score: the sum of the terms; None for one that was excluded.
        confidence: the posterior mean of success, 0..1; None for one that was excluded.
        why: the sentence: why excluded, or what made the score.
        wake_at: epoch seconds when an exclusion ends, where that is known.
    """

    executor: str
    eligible: bool
    score: float | None = None
    confidence: float | None = None
    why: str = ""
    terms: tuple[Term, ...] = ()
    wake_at: float | None = None


@attrs.frozen(kw_only=True)
class Decision:
    """The router's answer for one task.

    Attributes:
        executor: the choice; None when nothing can take the task now.
        reason_code: ``chosen``, or why not: ``unknown_executor``, ``no_capable_executor``, ``unhealthy``,
            ``resting``, ``no_slot``, ``refused``; of a file that cannot be read ``task_invalid``.
        reason: the sentence.
        hint: what would change it.
        wake_at: epoch seconds of the earliest moment when another answer is possible, where known.
        permanent: no waiting can change it (the task is to be blocked).
        parameters: a hash of the routing parameters, so that a replay knows it uses the same.
    """

    task_id: str
    executor: str | None
    reason_code: str
    reason: str
    hint: str = ""
    confidence: float | None = None
    candidates: tuple[Candidate, ...] = ()
    wake_at: float | None = None
    permanent: bool = False
    parameters: str = ""
