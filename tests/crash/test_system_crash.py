"""T1: the whole control plane, killed or refused by the disk at every named point, at every pass of it.

Each injection does a piece of a control plane's life in a forked child (``scenarios``), lets fresh processes bring
it to its end, and holds what they find against what was promised (``oracle``).
"""

from __future__ import annotations

import random
import signal
import tempfile
from pathlib import Path

import pytest

from tests.campaign import FAST, record, size
from tests.crash.forks import in_child
from tests.crash.inject import actions_at, is_deadly, passes_of, with_faults
from tests.crash.scenarios import SCENARIOS, Scenario, broken_in, copy_of

Injection = tuple[Scenario, str, int, str]


def injections(templates: dict[str, Path]) -> list[Injection]:
    """Every point of every scenario, every pass of it, everything that can happen there."""
    found = []
    for scenario in SCENARIOS:
        with tempfile.TemporaryDirectory(dir=FAST) as place:
            folder = copy_of(templates[scenario.name], Path(place, "root"))
            passes = passes_of(lambda scenario=scenario, folder=folder: scenario.act(folder))
        found += [(scenario, name, nth, action) for name, nth in passes for action in actions_at(name)]
    return found


def inject(template: Path, injection: Injection) -> list[str]:
    """Do one; what it broke."""
    scenario, name, nth, action = injection
    spec = f"{name}={action}@{nth}"
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        folder = copy_of(template, Path(place, "root"))
        code = in_child(with_faults(spec, lambda: scenario.act(folder)))
        broken = [] if code == (-signal.SIGKILL if is_deadly(action) else 0) else [f"it ended with {code}"]
        return [f"{scenario.name}: {spec}: {one}" for one in broken + broken_in(folder)]


@pytest.mark.timeout(3600)
def test_every_point_of_the_control_plane(templates: dict[str, Path]) -> None:
    everything = injections(templates)
    points = {name for _, name, _, _ in everything}
    assert len(points) >= 60
    chosen = random.Random(20261128).sample(everything, size(120, len(everything)))
    broken = [line for one in chosen for line in inject(templates[one[0].name], one)]
    record("T1", "the control plane", points=len(points), injections=len(chosen), bad=len(broken))
    assert not broken, "\n".join(broken[:40])
