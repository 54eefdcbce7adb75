"""Power cuts at every instant of every scenario; each disk that may be left is started on and examined.

And the other way round, without which that would prove nothing: each fsync is left out once, and planted bugs are
put in, and every time some disk must show it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import date

import pytest

from tests.campaign import FAST, FULL, record, size
from tests.crash.power import scenarios
from tests.crash.power.explore import check_recorder, explore
from tests.crash.power.planted import PLANTED
from tests.crash.power.site import SCENARIOS, Trace, play

CROWDED = scenarios.CROWDED
ALONE = sorted(SCENARIOS.keys() - CROWDED)
DAYS = 16
"""In so many days the everyday run has left out every fsync once."""


@pytest.fixture
def arena() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        yield folder


@pytest.mark.timeout(3600 if FULL else 300)
@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_every_promise_survives_a_power_cut(name: str, arena: str) -> None:
    trace = play(name, arena)
    check_recorder(trace)
    report = explore(trace, limit=size(5, 100) if name in CROWDED else size(10, 300))
    assert not report.faults
    assert report.states >= 3
    record(
        "T3p",
        f"power cuts: {name}",
        operations=len(trace.recorder.ops) - trace.start,
        cuts=report.cuts,
        allowed=report.allowed,
        states=report.states,
        sampled_cuts=report.sampled,
    )


def without_each_fsync(name: str) -> Iterator[tuple[int, str, Trace]]:
    with tempfile.TemporaryDirectory(dir=FAST) as whole:
        syncs = play(name, whole).recorder.syncs
    for number, what in enumerate(syncs):
        if FULL or (date.today().toordinal() + number + ALONE.index(name)) % DAYS == 0:
            with tempfile.TemporaryDirectory(dir=FAST) as folder:
                yield number, what, play(name, folder, without=number)


SPARE = {("finish", "folder .autopilot/tasks")}
"""There the claim stands in the file for good, and what an older text lacks is repaired; adopt and redo show what
the fsync is for where it does not."""


@pytest.mark.timeout(3600 if FULL else 300)
@pytest.mark.parametrize("name", ALONE)
def test_every_single_fsync_is_needed(name: str) -> None:
    """Not where several work at once: there another one's fsync may stand in for one that was left out."""
    caught = 0
    for number, what, trace in without_each_fsync(name):
        if (name, what) in SPARE:
            continue
        # Most are seen on one of the first disks; to look at more of them at each cut takes six times as long.
        faults = explore(trace, limit=10).faults or explore(trace, limit=60).faults
        assert faults, f"nothing in {name} depends on fsync {number}, of {what}"
        caught += 1
    record("T3p", f"fsyncs left out: {name}", caught=caught, missed=0)


@pytest.mark.parametrize("bug", sorted(PLANTED))
def test_planted_bugs_are_found(bug: str, arena: str) -> None:
    scenario, plant = PLANTED[bug]
    with plant():
        assert explore(play(scenario, arena), limit=60).faults
    record("T3p", f"planted: {bug}", caught=1)
