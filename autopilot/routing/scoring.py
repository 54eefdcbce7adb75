"""The summands of a candidate's score: what was learned, what it costs, and what plugins add."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from autopilot.models import ExecutorInfo, Task, Term
from autopilot.routing.parameters import Parameters
from autopilot.routing.posterior import Estimate

__all__ = ["Scorer", "figures", "plugin_terms", "quality_terms"]

Scorer = Callable[[Task, ExecutorInfo, Mapping[str, float]], Sequence[Term]]
"""Asks the plugins: their terms for one candidate. A term's name is ``<plugin>`` or ``<plugin>:<anything>``; the
part before the colon finds its weight in ``routing.weights``."""


def figures(estimate: Estimate) -> Mapping[str, float]:
    """What a scorer may see of the past of this executor and task type (discounted counts)."""
    return MappingProxyType({"runs": estimate.n, "successes": estimate.s, "mean": estimate.mean})


def quality_terms(estimate: Estimate, task_type: str, parameters: Parameters) -> tuple[Term, ...]:
    """The built-in terms; they add up to ``estimate.score``. Prices that are off have no term."""
    terms = [
        Term(name="quality", value=estimate.mean, detail=_quality_sentence(estimate, task_type)),
        Term(
            name="uncertainty",
            value=parameters.optimism * estimate.sd,
            detail="what is not known yet counts in its favour",
        ),
    ]
    if parameters.cost_weight:
        cost = -parameters.cost_weight * estimate.cost_usd
        terms.append(Term(name="cost", value=cost, detail=f"{estimate.cost_usd:.3f} USD expected"))
    if parameters.minute_weight:
        time = -parameters.minute_weight * estimate.minutes
        terms.append(Term(name="time", value=time, detail=f"{estimate.minutes:.1f} minutes expected"))
    return tuple(terms)


def plugin_terms(terms: Sequence[Term], parameters: Parameters) -> tuple[Term, ...]:
    """Clamp and weigh what plugins said, in a fixed order; a value that is no finite number is dropped."""
    weights = dict(parameters.weights)
    kept = [term for term in terms if math.isfinite(term.value)]
    return tuple(_weighed(term, weights, parameters.plugin_clamp) for term in sorted(kept, key=_by_name))


def _weighed(term: Term, weights: Mapping[str, float], clamp: float) -> Term:
    weight = weights.get(term.name.partition(":")[0], 1.0)
    value = max(-clamp, min(clamp, term.value)) * weight
    return Term(name=term.name, value=value, detail=term.detail)


def _by_name(term: Term) -> tuple[str, float, str]:
    return term.name, term.value, term.detail


def _quality_sentence(e: Estimate, task_type: str) -> str:
    seen = f"{e.s:.1f} of {e.n:.1f} {task_type} runs succeeded"
    borrowed = f"elsewhere {e.prior:.2f} (type {e.base:.2f} x lift {e.lift:.2f}) for {e.w:.1f} runs"
    declared = f"; declared: {e.declared.value} for {e.declared_runs:.0f} runs" if e.declared else ""
    return f"{seen}; {borrowed}{declared}"
