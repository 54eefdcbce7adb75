"""Several dispatchers, many tasks, and random death and sleep for dispatchers, launchers and runners.

The judge is ``chaos_oracle``, a program of its own that believes the executors, the files and the log.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.campaign import FAST, FULL, record, sample, size
from tests.crash import chaos_oracle
from tests.crash.chaos import Chaos
from tests.crash.chaos_arena import TTL_S, Arena, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and uses flock(1)")

DISPATCHERS = size(4, 8)
TASKS = size(100, 2000)
FAULTS = {
    "kill dispatcher": size(10, 330),
    "kill runner": size(20, 620),
    "kill launcher": size(5, 120),
    "stop dispatcher": size(4, 120),
    "stop runner": size(5, 220),
    "pause dispatcher": size(3, 100),
    "pause runner": size(3, 100),
    "sleepwalk": size(1, 10),
}
PATIENCE_S = 600 * (10 if FULL else 1)
STUCK_S = 120
"""So long nothing may come to an end: the chaos keeps no task from it for more than a few leases' time."""


@pytest.fixture
def arena() -> Iterator[Arena]:
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        made = Arena(Path(folder))
        yield made
        made.end()


@pytest.fixture
def narrow() -> Iterator[Arena]:
    """An arena in which no two attempts may run at the same time."""
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        made = Arena(Path(folder), slots=1)
        yield made
        made.end()


def judged(arena: Arena) -> dict[str, Any]:
    """The verdict of the oracle, in a process of its own."""
    command = [sys.executable, "-I", chaos_oracle.__file__, str(arena.folder)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def assert_kept(found: dict[str, Any], chaos: Chaos, *, starving: bool) -> None:
    """Nothing lost, nothing doubled, nothing left; and attempts end early with the runners that were struck only.

    Args:
        starving: other work kept the machine so busy that runners whom nobody stopped may have been silent, too.
    """
    starved = max(0, found["silent"] - chaos.done["stop runner"]) if starving else 0
    may_repeat = chaos.done["kill runner"] + chaos.done["stop runner"] + starved
    wrong = ("lost", "damaged", "never_executed", "never_completed")
    twice = ("overlaps", "overbooked", "attempts_started_twice", "completed_twice", "tokens_that_do_not_grow")
    assert not {name: found[name] for name in (*wrong, *twice, "chain_breaks", "alive") if found[name]}
    assert found["statuses"] == {"done": found["tasks"]}
    assert found["re_executions"] <= may_repeat, "more re-executions than runners were killed or put to sleep"
    assert len(found["lost_runners"]) <= may_repeat
    assert len(set(found["lost_runners"]) - chaos.struck) <= starved, "a runner was lost that nobody had struck"


def attack(arena: Arena, chaos: Chaos, rng: random.Random) -> float:
    """Strike until every script came to its end; for how long the machine stood still for us at the most.

    Where that is close to a lease's time, runners that nobody stopped may have been silent for too long as well.
    """
    moved = before = time.monotonic()
    reached = stalled = 0.0
    while (progress := arena.progress()) < 1:
        if progress > reached:
            reached, moved = progress, time.monotonic()
        assert time.monotonic() - moved < STUCK_S, f"stuck at {progress:.0%}: {arena.unfinished()}"
        chaos.step(progress)
        time.sleep(rng.uniform(0.02, 0.1))
        stalled, before = max(stalled, time.monotonic() - before), time.monotonic()
    chaos.wake_all()
    return stalled


# ---------------------------------------------------------------------- mutation

PLANTS = {
    "overbooked": """
from autopilot.dispatcher.tick import Dispatcher
from autopilot.store import protocol
protocol.check_slots = lambda *_, **__: None
look = Dispatcher._look_at_leases
Dispatcher._look_at_leases = lambda self, *answers: (look(self, *answers), self._running.clear())
""",
    "overlaps": """
from autopilot.runner import reclaim
reclaim.clear = lambda *_, **__: reclaim.Cleared()
""",
}
"""What the oracle must find -> what is planted into every process: nobody counts slots, predecessors live on."""


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 100)
@pytest.mark.parametrize("wrong", sample(PLANTS, 1))
def test_the_oracle_finds(arena: Arena, narrow: Arena, wrong: str) -> None:
    """Without this an oracle that sees nothing wrong could be one that sees nothing."""
    arena = narrow if wrong == "overbooked" else arena
    (arena.folder / "sitecustomize.py").write_text(PLANTS[wrong])
    arena.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(arena.folder), os.environ.get("PYTHONPATH", "")])
    )
    rng = random.Random(4)
    arena.add_tasks(12, rng, most_s=4)
    for _ in range(3):
        arena.start_dispatcher()
    attack(arena, Chaos(arena, {"stop runner": 3}, rng), rng)
    arena.end()
    assert judged(arena)[wrong]


# ---------------------------------------------------------------------- the campaign


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 100)
def test_death_and_sleep_at_random_lose_and_double_nothing(arena: Arena) -> None:
    rng = random.Random(20261122)
    arena.add_tasks(TASKS, rng)
    began = time.monotonic()
    for _ in range(DISPATCHERS):
        arena.start_dispatcher()
    chaos = Chaos(arena, FAULTS, rng)
    stalled = attack(arena, chaos, rng)
    assert wait_until(arena.all_done, 60), arena.unfinished()
    arena.end()

    done, found = chaos.done, judged(arena)
    kills = sum(count for kind, count in done.items() if kind.startswith("kill"))
    stops = done["stop dispatcher"] + done["stop runner"]
    record(
        "T4",
        "chaos",
        dispatchers=DISPATCHERS,
        tasks=TASKS,
        kills=kills,
        stops=stops,
        pauses=done["pause dispatcher"] + done["pause runner"],
        woken_at_the_gate=done["woken at the gate"],
        executions=found["executions"],
        re_executions=found["re_executions"],
        stale_refused=found["stale"] + found["refused_starts"],
        lost=len(found["lost_runners"]),
        reclaimed=found["reclaimed"],
        silent=found["silent"],
        events=found["events"],
        longest_stall_s=round(stalled, 1),
        seconds=round(time.monotonic() - began),
    )
    assert_kept(found, chaos, starving=stalled > TTL_S / 2)
    assert found["refused_starts"] > 0, "no runner woke up too late: the sleep was too light to mean anything"
    assert kills > 0.9 * sum(count for kind, count in FAULTS.items() if kind.startswith("kill"))
    verified = arena.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
