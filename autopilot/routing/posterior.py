"""The formulas of the rule: from discounted counts to the score of one executor at one type of task.

``docs/explanation/routing.md`` writes them in mathematical notation, with the same names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from autopilot.routing.counts import NOTHING, Cell, DiscountedTable
from autopilot.routing.parameters import Parameters
from autopilot.routing.tiers import Word

__all__ = ["Base", "Estimate", "make_base", "posterior"]


@attrs.frozen(kw_only=True)
class Estimate:
    """What is known of one executor for one task type, with every intermediate number.

    Attributes:
        mean: the posterior mean of success, 0..1.
        sd: its standard deviation, smaller with each attempt in flight.
        base: the success rate of the type over all executors.
        lift: how much better than expected the executor is over all types; 1 is as expected.
        prior: ``base · lift``, clipped: what the other types say.
        w: how many pseudo-runs that prior is worth.
        declared, declared_runs: what the executor says of itself, and how many pseudo-runs that is worth.
        n, s: its discounted runs and successes at this type.
        in_flight: its attempts at this type whose outcome is not known yet.
        cost_usd, minutes: what an attempt is expected to cost and last.
        score: ``mean + optimism·sd − cost_weight·cost − minute_weight·minutes``.
    """

    mean: float
    sd: float
    base: float
    lift: float
    prior: float
    w: float
    declared: Word | None
    declared_runs: float
    n: float
    s: float
    in_flight: int
    cost_usd: float
    minutes: float
    score: float


@attrs.frozen(kw_only=True)
class Base:
    """What all estimates of one moment share.

    Attributes:
        overall: ``g``, the success rate of everyone at everything.
        types: ``B_k``, the success rate of each type.
        lifts: ``lift_e`` of each executor.
        totals: the counts of each executor, summed over its types.
        mean_cost, mean_seconds: of all runs of everyone.
    """

    overall: float
    types: Mapping[str, float]
    lifts: Mapping[str, float]
    totals: Mapping[str, Cell]
    mean_cost: float
    mean_seconds: float


def make_base(table: DiscountedTable, p: Parameters) -> Base:
    """Everything that does not depend on the executor or type that is asked about."""
    sums = table.sums()
    everything = [sum([cell[i] for cell in sums.by_executor.values()]) for i in range(len(NOTHING))]
    overall = _shrunk(everything[1], everything[0], p.prior_rate, p.prior_runs)
    types = {
        kind: _shrunk(sums.type_successes[kind], n, overall, p.type_runs) for kind, n in sums.type_runs.items()
    }
    lifts = {}
    for executor, runs in sums.runs.items():
        expected = sum([n * types[kind] for kind, n in runs.items()])
        lifts[executor] = (sums.by_executor[executor][1] + p.lift_runs) / (expected + p.lift_runs)
    return Base(
        overall=overall,
        types=types,
        lifts=lifts,
        totals=sums.by_executor,
        mean_cost=_ratio(everything[2], everything[3]),
        mean_seconds=_ratio(everything[4], everything[5]),
    )


def posterior(
    base: Base,
    cell: Cell,
    p: Parameters,
    *,
    executor: str,
    task_type: str,
    in_flight: int,
    declared: Word | None,
    typical_cost: float | None,
) -> Estimate:
    """The estimate of one executor at one type, of which ``cell`` has the counts."""
    n, s = cell[0], cell[1]
    total = base.totals.get(executor, NOTHING)
    rate = base.types.get(task_type, base.overall)
    lift = base.lifts.get(executor, 1.0)
    prior = min(p.clip_high, max(p.clip_low, rate * lift))
    w = min(p.borrow_max, p.borrow_min + max(0.0, total[0] - n) * p.borrow_share)
    said = 0.0 if declared is None else p.declared_runs
    weight = w + said + n
    mean = (w * prior + said * _declared_rate(declared, rate, p) + s) / weight
    sd = math.sqrt(max(0.0, mean * (1.0 - mean)) / (weight + 1.0 + in_flight))
    usual = base.mean_cost if typical_cost is None else typical_cost
    usd = _shrunk_twice(cell[2:4], total[2:4], usual, p.shrink_runs)
    minutes = _shrunk_twice(cell[4:6], total[4:6], base.mean_seconds, p.shrink_runs) / 60.0
    return Estimate(
        mean=mean,
        sd=sd,
        base=rate,
        lift=lift,
        prior=prior,
        w=w,
        declared=declared,
        declared_runs=said,
        n=n,
        s=s,
        in_flight=in_flight,
        cost_usd=usd,
        minutes=minutes,
        score=mean + p.optimism * sd - p.cost_weight * usd - p.minute_weight * minutes,
    )


def _declared_rate(declared: Word | None, base: float, p: Parameters) -> float:
    if declared is Word.STRONG:
        return p.strong_rate
    if declared is Word.WEAK:
        return p.weak_rate
    # A fixed rate, because the type's own is learned from whoever is tried: where only the strong one is, and
    # fails, it would pull down those who said nothing, and they would never be tried.
    return base if p.silent_rate is None else p.silent_rate


def _ratio(value: float, runs: float) -> float:
    return value / runs if runs > 0 else 0.0


def _shrunk(value: float, runs: float, towards: float, pseudo_runs: float) -> float:
    return (value + pseudo_runs * towards) / (runs + pseudo_runs)


def _shrunk_twice(
    cell: tuple[float, float], total: tuple[float, float], towards: float, pseudo_runs: float
) -> float:
    """The mean of a cell (sum, runs), pulled to the executor's own mean, which is pulled to ``towards``."""
    own = _shrunk(total[0], total[1], towards, pseudo_runs)
    return _shrunk(cell[0], cell[1], own, pseudo_runs)
