"""Two dispatchers, many tasks, and SIGKILL at random for dispatchers and runners.

The judge is what the executors themselves wrote: each task's script appends to one log and holds a lock of its own
while it runs, so that a second executor of the same task at the same time is seen by the scripts and not by us.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

SIZE = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))
TASKS = 200 * SIZE
DISPATCHERS = 2
KILLS_BETWEEN_S = 0.3
MOST_RUNNER_KILLS_A_TASK = 2
"""Three lost runners in a row make a poison task, by design: the chaos stays below that."""

CONFIG = """\
durability: process
dispatcher:
  max_active: 6
  poll_s: 0.5
limits:
  lease_ttl_s: 5
  beat_s: 1
  grace_s: 1
"""

SCRIPT = """\
exec 9>>"$ORACLE/lock-$AUTOPILOT_TASK_ID"
flock -n 9 || echo "overlap $AUTOPILOT_TASK_ID $AUTOPILOT_ATTEMPT" >>"$ORACLE/exec.log"
echo "start $AUTOPILOT_TASK_ID $AUTOPILOT_ATTEMPT $$" >>"$ORACLE/exec.log"
sleep 0.3
echo "end $AUTOPILOT_TASK_ID $AUTOPILOT_ATTEMPT $$" >>"$ORACLE/exec.log"
"""


class Arena:
    """One root, its oracle folder, and the dispatchers that were started here."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / ".autopilot"
        self.oracle = folder / "oracle"
        self.oracle.mkdir(parents=True)
        (self.root / "tasks").mkdir(parents=True, mode=0o700)
        (self.root / "config.yaml").write_text(
            CONFIG + f"executors:\n  local:\n    set_env:\n      ORACLE: {self.oracle}\n"
        )
        self.dispatchers: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "autopilot.cli", "--root", str(self.root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def add_tasks(self, count: int) -> list[str]:
        names = [f"task-{n:04d}" for n in range(count)]
        for name in names:
            text = f"---\nid: {name}\ntitle: {name}\nexecutor: local\nmax_attempts: 10\n---\n{SCRIPT}"
            (self.root / "tasks" / f"{name}.md").write_text(text)
        return names

    def start_dispatcher(self) -> None:
        log = open(self.oracle / "dispatchers.log", "ab")
        self.dispatchers.append(
            subprocess.Popen(
                [sys.executable, "-m", "autopilot.cli", "--root", str(self.root), "dispatch", "run"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        )
        log.close()

    def statuses(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for path in (self.root / "tasks").glob("*.md"):
            line = next(
                (row for row in path.read_text().splitlines() if row.startswith("status:")), "status: pending"
            )
            found[line.split()[1]] += 1
        return found

    def runner_of_a_random_task(self, rng: random.Random) -> tuple[str, int] | None:
        leases = sorted((self.root / "state" / "leases").glob("*.json"))
        rng.shuffle(leases)
        for path in leases:
            try:
                lease = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            if lease.get("state") == "started":
                return path.stem, int(lease["owner"]["pid"])
        return None

    def lines(self) -> list[list[str]]:
        return [line.split() for line in (self.oracle / "exec.log").read_text().splitlines()]


def processes_of(root: Path) -> list[int]:
    """Every live process that carries a mark of this root, except dispatchers."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                environ = Path(f"/proc/{name}/environ").read_bytes()
            except OSError:
                continue
            if b"ORACLE=" + os.fsencode(root.parent / "oracle") in environ:
                found.append(int(name))
    return found


@pytest.mark.slow
@pytest.mark.timeout(600 * SIZE)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and uses flock(1)")
@pytest.mark.parametrize("seed", [20261122])
def test_kills_at_random_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    arena = Arena(tmp_path)
    names = arena.add_tasks(TASKS)
    for _ in range(DISPATCHERS):
        arena.start_dispatcher()
    kills: Counter[str] = Counter()
    runner_kills: Counter[str] = Counter()
    deadline = time.monotonic() + 500 * SIZE
    try:
        while arena.statuses()["done"] < TASKS and time.monotonic() < deadline:
            time.sleep(rng.uniform(0.5, 1.5) * KILLS_BETWEEN_S)
            if rng.random() < 0.3:
                victim = arena.dispatchers.pop(rng.randrange(len(arena.dispatchers)))
                victim.kill()
                victim.wait()
                kills["dispatcher"] += 1
                arena.start_dispatcher()
            else:
                found = arena.runner_of_a_random_task(rng)
                if found and runner_kills[found[0]] < MOST_RUNNER_KILLS_A_TASK:
                    runner_kills[found[0]] += 1
                    kills["runner"] += 1
                    try:
                        os.kill(found[1], signal.SIGKILL)
                    except ProcessLookupError:
                        pass
    finally:
        for dispatcher in arena.dispatchers:
            dispatcher.terminate()
        for dispatcher in arena.dispatchers:
            dispatcher.wait(30)

    print(f"\nkills: {dict(kills)}; statuses: {dict(arena.statuses())}")
    assert arena.statuses() == {"done": TASKS}
    assert min(kills["dispatcher"], kills["runner"]) >= 5, "the chaos was too tame to mean anything"

    told = arena.lines()
    assert not [line for line in told if line[0] == "overlap"], "two executors of one task at the same time"
    starts = Counter(line[1] for line in told if line[0] == "start")
    assert set(starts) == set(names)
    assert sum(starts.values()) - TASKS <= kills["runner"], "more re-executions than runners were killed"
    assert len({tuple(line[1:3]) for line in told if line[0] == "start"}) == sum(starts.values()), (
        "an attempt number was started twice"
    )

    events = [
        json.loads(line)
        for line in arena.run("events", "tail", "-n", "1000000", "-o", "ndjson").stdout.splitlines()
    ]
    done = Counter(
        event["trace_id"]
        for event in {event["id"]: event for event in events}.values()
        if event["event_type"] == "task.done"
    )
    assert done == dict.fromkeys(names, 1), "a completion was accepted twice, or not at all"
    verified = arena.run("events", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr

    patience = time.monotonic() + 20
    while processes_of(arena.root) and time.monotonic() < patience:
        time.sleep(0.2)
    assert processes_of(arena.root) == []
