"""The numbers of the routing rule, and a hash of them that goes into every decision."""

from __future__ import annotations

import functools
import hashlib
import json

import attrs

from autopilot.config.settings import RoutingSettings

__all__ = ["Parameters", "price_weights"]


def price_weights(solved_task_usd: float, hour_usd: float) -> tuple[float, float]:
    """Turn prices in words into weights of the score: ``(cost_weight, minute_weight)``.

    The score is in units of "probability that the task gets solved". If a solved task is worth V USD and an hour
    of waiting H USD, an attempt with success p, cost c (USD) and duration m (minutes) is worth
    ``V·p − c − (H/60)·m`` USD. Dividing by V, which does not change the order, gives
    ``p − (1/V)·c − (H/(60·V))·m``.

    Args:
        solved_task_usd: V. Zero or less leaves both cost and time out: without it there is no rate of exchange
            between money and success.
        hour_usd: H. Zero or less leaves time out.

    Returns:
        Score points per USD, and score points per minute.
    """
    if solved_task_usd <= 0:
        return 0.0, 0.0
    return 1.0 / solved_task_usd, max(0.0, hour_usd) / 60.0 / solved_task_usd


@attrs.frozen(kw_only=True)
class Parameters:
    """Every constant of the rule; ``docs/explanation/routing.md`` has the formulas. Times are in seconds.

    Attributes:
        rule: a number that grows when the rule itself (formulas, tier tables) changes.
        prior_rate, prior_runs: the success rate of an executor nobody knows, and how many runs it is worth.
        type_runs, lift_runs: how many runs pull a type to the overall rate, and an executor's lift to 1.
        executor_discount, type_discount: what is left of the old counts of an executor, and of a task type, after
            each judged outcome.
        borrow_min, borrow_max, borrow_share: pseudo-runs that a cell borrows from the executor's other types:
            at least, at most, and per run there.
        clip_low, clip_high: bounds of a borrowed rate.
        optimism: how many standard deviations are added to the mean.
        shrink_runs: pseudo-runs that pull costs and durations to the executor's, and the executor's to everyone's.
        declared_runs, strong_rate, weak_rate: what a declared strength or weakness is worth.
        silent_rate: the same for no word; None takes the type's own base rate.
        published_max: the most runs that a published score may be worth.
        cost_weight, minute_weight: score points per USD and per minute.
        plugin_clamp: the largest absolute value of one plugin term, before its weight.
        weights: plugin name and weight of its terms, sorted.
        order: executor names, for ties.
        published: executor, success rate and runs of published scores, sorted.
        breaker_streak: infrastructure errors in a row that open a breaker ...
        breaker_window, breaker_errors: ... or this many among the last so many outcomes.
        cooldown_s, cooldown_max_s: the first rest, which doubles up to the last.
        rest_max_s: the longest rest that a provider's reset time is believed; eight days, because the longest
            windows in use are weekly, and one that really lasts longer is simply asked about again.
    """

    rule: int = 1
    prior_rate: float = 0.6
    prior_runs: float = 4.0
    type_runs: float = 4.0
    lift_runs: float = 4.0
    executor_discount: float = 0.99
    type_discount: float = 0.995
    borrow_min: float = 2.0
    borrow_max: float = 8.0
    borrow_share: float = 0.1
    clip_low: float = 0.02
    clip_high: float = 0.98
    optimism: float = 1.0
    shrink_runs: float = 3.0
    declared_runs: float = 6.0
    strong_rate: float = 0.75
    weak_rate: float = 0.5
    silent_rate: float | None = 0.6
    published_max: float = 20.0
    cost_weight: float = 0.0
    minute_weight: float = 0.0
    plugin_clamp: float = 0.2
    weights: tuple[tuple[str, float], ...] = ()
    order: tuple[str, ...] = ()
    published: tuple[tuple[str, float, float], ...] = ()
    breaker_streak: int = 3
    breaker_window: int = 10
    breaker_errors: int = 5
    cooldown_s: float = 60.0
    cooldown_max_s: float = 1800.0
    rest_max_s: float = 8 * 86400.0

    @classmethod
    def from_settings(cls, settings: RoutingSettings) -> Parameters:
        """The rule's own numbers, with the prices, weights and order of the config."""
        return cls().with_settings(settings)

    def with_settings(self, settings: RoutingSettings) -> Parameters:
        """These numbers with the prices, weights and order of the config."""
        cost_weight, minute_weight = price_weights(settings.solved_task_usd, settings.hour_usd)
        return attrs.evolve(
            self,
            cost_weight=cost_weight,
            minute_weight=minute_weight,
            weights=tuple(sorted((name, float(weight)) for name, weight in settings.weights.items())),
            order=tuple(settings.order),
        )

    @functools.cached_property
    def hash(self) -> str:
        """16 hex digits that are equal only for equal parameters."""
        text = json.dumps(attrs.asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]
