"""What the campaigns of the state machines share, and their mutation gates: plant a bug, have it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import HypothesisException
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.campaign import record

__all__ = ["Plant", "Plants", "find", "nothing", "run_campaign"]

Plant = Callable[[pytest.MonkeyPatch], None]

_RUNS = settings(
    stateful_step_count=40,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
_GATE = settings(_RUNS, max_examples=1500, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)


class Plants(dict[str, Plant]):
    """Bugs to plant, by name."""

    def add(self, plant: Plant) -> Plant:
        """Decorates a function that plants one."""
        self[plant.__name__] = plant
        return plant


def nothing(*args: Any, **more: Any) -> None:
    """In place of what a bug forgets to do."""


def run_campaign(machine: type[RuleBasedStateMachine], runs: int, done: Mapping[str, int]) -> None:
    """Have the machine look for a fault in so many runs. ``done``: what it counted, for the figures."""
    run_state_machine_as_test(machine, settings=settings(_RUNS, max_examples=runs))
    record("T5", machine.__name__, **{name.replace(" ", "_"): count for name, count in done.items()})


def find(machine: type[RuleBasedStateMachine], name: str, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if the machine does not see the bug. A test that ran out of time, or could draw nothing, saw none."""
    plant(monkeypatch)
    begun = time.process_time()
    # What ``pytest.raises`` misses in the machine's steps is no Exception.
    with pytest.raises((Exception, pytest.fail.Exception)) as found:
        run_state_machine_as_test(machine, settings=_GATE)
    assert isinstance(found.value, ExceptionGroup) or not isinstance(found.value, HypothesisException)
    took = round(time.process_time() - begun, 1)
    record("T5", f"planted in {machine.__name__}: {name}", found=1, cpu_s=took)
