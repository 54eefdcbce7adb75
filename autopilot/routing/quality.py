"""How good is each executor at each type of task? An optimistic, hierarchical, discounted Beta estimate.

It learns from *judged* work only; who is ill or resting is the business of ``health``. It is a pure function of
the sequence of outcomes, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autopilot.routing.counts import Counts, DiscountedTable
from autopilot.routing.parameters import Parameters
from autopilot.routing.posterior import Base, Estimate, make_base, posterior
from autopilot.routing.tiers import Word

__all__ = ["PUBLISHED", "Estimate", "Quality"]

PUBLISHED = "(published)"
"""The reserved task type under which published scores are counted."""


class Quality:
    """What judged outcomes say about executors and task types.

    Args:
        parameters: the constants of the rule; its ``published`` scores are counted at once, as pseudo-runs of a
            reserved task type.
    """

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._table = DiscountedTable(self.parameters.executor_discount, self.parameters.type_discount)
        self._base: tuple[Parameters, Base] | None = None
        for executor, rate, runs in self.parameters.published:
            worth = min(runs, self.parameters.published_max)
            self._table.add(executor, PUBLISHED, worth, worth * rate)

    def observe(
        self, executor: str, task_type: str, success: bool, cost: float | None = None, seconds: float | None = None
    ) -> None:
        """Learn one judged outcome.

        Args:
            cost: in USD, None where it is not known; such a run says nothing about the cost.
            seconds: how long the attempt took, None where it is not known.
        """
        self._table.observe(executor, task_type, success, cost, seconds)
        self._base = None

    def estimate(
        self,
        executor: str,
        task_type: str,
        in_flight: int = 0,
        *,
        declared: Word | None = None,
        typical_cost: float | None = None,
        parameters: Parameters | None = None,
    ) -> Estimate:
        """What to expect of ``executor`` at a task of ``task_type``; neither needs to have been seen before.

        Args:
            in_flight: attempts of this executor at this type whose outcome is not known yet.
            declared: what the executor says of itself for this type; None where no candidate declares anything.
            typical_cost: USD that the executor declares for a run, in place of everyone's mean.
            parameters: other prices or constants than those this state was made with.
        """
        chosen = parameters or self.parameters
        return posterior(
            self._shared(chosen),
            self._table.get(executor, task_type),
            chosen,
            executor=executor,
            task_type=task_type,
            in_flight=in_flight,
            declared=declared,
            typical_cost=typical_cost,
        )

    def cells(self) -> Iterator[tuple[str, str, Counts]]:
        """Every (executor, type) that was seen, with its discounted counts, sorted."""
        for executor, cells in self._table.rows():
            for task_type, cell in cells:
                yield executor, task_type, Counts(*cell)

    def dump(self) -> dict[str, Any]:
        """The whole state as JSON values; ``load`` of it continues with equal bits."""
        return self._table.dump()

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a dumped one.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is not one; the state is then unchanged.
        """
        self._table.load(state)
        self._base = None

    def _shared(self, parameters: Parameters) -> Base:
        if self._base is None or self._base[0] is not parameters:
            self._base = (parameters, make_base(self._table, parameters))
        return self._base[1]
