"""The file store, killed or refused by the disk at every named point of every step, then recovered and examined.

Each injection runs one whole life of a task in a forked child. What the child says it has achieved (its *acks*,
written to a file of its own after each call returned) is held against what a fresh process finds afterwards.
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
from tests.crash.life import Life, check_life, recover

STEPS = ["create", "edit", "claim.lease", "claim.md", "start.lease", "beat", "cancel", "finish.lease", "finish.md"]
STEPS += ["move.lease", "move.md", "report", "retire", "publish"]


def live(folder: Path, durability: str = "process") -> None:
    Life(folder, durability).live()


def injections(durability: str) -> list[tuple[str, int, str]]:
    """Every point of a life, every pass of it, everything that can happen there."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        passes = passes_of(lambda: live(Path(place), durability))
    return [(name, nth, action) for name, nth in passes for action in actions_at(name)]


def test_every_step_has_its_points() -> None:
    points = {name for name, _, _ in injections("full")}
    assert len(points) >= 60
    for step in STEPS:
        assert any(point.startswith(step) for point in points), f"no failpoint was passed in {step}"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("durability", ["process", "full"])
def test_every_point_of_a_life_killed_or_refused(durability: str) -> None:
    everything = injections(durability)
    # The points of both are the same; only the fsyncs differ.
    few = 150 if durability == "process" else 50
    chosen = random.Random(20261122).sample(everything, size(few, len(everything)))
    bad = []
    for name, nth, action in chosen:
        spec = f"{name}={action}@{nth}"
        with tempfile.TemporaryDirectory(dir=FAST) as place:
            folder = Path(place)
            code = in_child(with_faults(spec, lambda folder=folder: live(folder, durability)))
            try:
                assert code == (-signal.SIGKILL if is_deadly(action) else 0), f"{spec} did not fire: {code}"
                check_life(folder)
            except AssertionError:
                bad.append(spec)
    record("T1", f"the store alone, durability {durability}", injections=len(chosen), bad=len(bad))
    assert not bad, f"{len(bad)} of {len(chosen)} injections: {bad[:20]}"


def test_recovery_killed_at_any_point_too() -> None:
    rng = random.Random(20261122)
    everything = [one for one in injections("process") if one[2] == "kill"]
    chosen = rng.sample(everything, size(8, len(everything)))
    crashes = 0
    for name, nth, _ in chosen:
        with tempfile.TemporaryDirectory(dir=FAST) as place:
            folder = Path(place)
            in_child(with_faults(f"{name}=kill@{nth}", lambda folder=folder: live(folder)))
            for again in range(1, 30):
                code = in_child(with_faults(f"*=kill@{again}", lambda folder=folder: recover(folder)))
                assert code in (0, -signal.SIGKILL), f"{name}@{nth}"
                if code == 0:
                    break
                crashes += 1
            check_life(folder)
    record("T1", "the store alone, recovery killed at every point", lives=len(chosen), crashes=crashes)
