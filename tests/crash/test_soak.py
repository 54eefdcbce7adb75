"""A soak with real processes: work without end, and a fault every five seconds, for as long as one likes.

``AUTOPILOT_SOAK_MINUTES`` says how long; without it nothing runs. Six hours a week is what it is made for.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign import record
from tests.crash.chaos import Chaos
from tests.crash.chaos_arena import Arena, wait_until
from tests.crash.test_chaos import assert_kept, judged

MINUTES = float(os.environ.get("AUTOPILOT_SOAK_MINUTES", "0"))
DISPATCHERS = 3
BACKLOG = 40
FAULT_EVERY_S = 5.0
KINDS = [
    *["kill dispatcher"] * 4,
    *["kill runner"] * 6,
    *["kill launcher"] * 2,
    *["stop dispatcher"] * 2,
    *["stop runner"] * 3,
    *["pause dispatcher"] * 2,
    *["pause runner"] * 2,
    "sleepwalk",
]

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and uses flock(1)"),
    pytest.mark.skipif(not MINUTES, reason="set AUTOPILOT_SOAK_MINUTES to run the soak for so long"),
]


@pytest.fixture
def arena() -> Iterator[Arena]:
    with tempfile.TemporaryDirectory() as folder:
        made = Arena(Path(folder))
        yield made
        made.end()


def resident_kib(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024


@pytest.mark.timeout(MINUTES * 60 + 1200)
def test_a_soak(arena: Arena) -> None:
    seed = int(time.time())
    rng, end = random.Random(seed), time.monotonic() + MINUTES * 60
    arena.add_tasks(BACKLOG, rng)
    for _ in range(DISPATCHERS):
        arena.start_dispatcher()
    chaos, due, most_kib = Chaos(arena, {}, rng), time.monotonic() + FAULT_EVERY_S, 0
    while time.monotonic() < end:
        if arena.left() < BACKLOG // 2:
            arena.add_tasks(BACKLOG // 2, rng)
        if time.monotonic() >= due:
            due += FAULT_EVERY_S
            chaos.strike(rng.choice(KINDS))
            most_kib = max(most_kib, *(resident_kib(one.pid) for one in arena.dispatchers))
        chaos.step(0.0)
        time.sleep(0.1)
    chaos.wake_all()
    assert wait_until(arena.all_done, 900), arena.unfinished()
    arena.end()

    found, done = judged(arena), chaos.done
    record(
        "T15",
        "soak",
        minutes=MINUTES,
        seed=seed,
        dispatchers=DISPATCHERS,
        tasks=found["tasks"],
        kills=sum(count for kind, count in done.items() if kind.startswith("kill")),
        stops=done["stop dispatcher"] + done["stop runner"],
        executions=found["executions"],
        re_executions=found["re_executions"],
        stale_refused=found["stale"] + found["refused_starts"],
        events=found["events"],
        most_dispatcher_kib=most_kib,
    )
    assert_kept(found, chaos, starving=True)
    verified = arena.verify()
    assert verified.returncode == 0, verified.stdout + verified.stderr
