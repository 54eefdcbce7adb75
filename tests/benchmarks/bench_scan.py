"""The scan of a folder full of tasks, as ratios to what the file system itself costs in the same run.

``AUTOPILOT_BENCH_TASKS=100000 python tests/benchmarks/bench_scan.py`` (10,000 by default; ``AUTOPILOT_BENCH_DIR``
names a folder on the disk to be measured). Each phase runs in a process of its own, so that memory can be told.
Times are seconds of that process's CPU, user and system: the files are in the page cache, and other work on the
machine should not count.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

TASKS = int(os.environ.get("AUTOPILOT_BENCH_TASKS", "10000"))
ROUNDS = 3

TEXT = """---
id: {id}
title: "Task number {number}: mend the thing"
status: pending
priority: {priority}
task_type: bugfix
tags: [backend, bench]
depends_on: [{dependency}]
created_at: 2026-11-22T09:14:03.123456Z
---

Mend the thing that broke last week, add a test for it, and say in the change log what was wrong.
Do not touch the public interface; ask if that cannot be avoided.
"""


def make(root: str) -> None:
    """Write the task files, older than any racy-clean margin."""
    os.makedirs(f"{root}/tasks")
    for number in range(TASKS):
        task_id = f"req-20261122-{number:08x}"
        text = TEXT.format(
            id=task_id,
            number=number,
            priority=("low", "medium", "high")[number % 3],
            dependency=f"req-20261122-{number - 1:08x}" if number % 5 == 0 and number else "",
        )
        path = f"{root}/tasks/{task_id}.md"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    # The kernel's change time cannot be set: wait until it is old enough.
    time.sleep(2.5)


def timed(work: Callable[[], object]) -> float:
    """Seconds of CPU that one call takes."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def rss_mib() -> float:
    """The most memory that this process ever had in RAM."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def scandir_stat(folder: str) -> None:
    """The floor of any scan: all names with their time stamps."""
    with os.scandir(folder) as entries:
        for entry in entries:
            entry.stat(follow_symlinks=False)


def read_all(folder: str) -> None:
    """The floor of any scan that trusts nothing: all bytes."""
    for name in os.listdir(folder):
        fd = os.open(f"{folder}/{name}", os.O_RDONLY)
        os.read(fd, 1 << 16)
        os.close(fd)


def floors(root: str) -> dict[str, float]:
    """What the file system costs at this moment: the unit of the ratios."""
    folder = f"{root}/tasks"
    return {"stat": timed(lambda: scandir_stat(folder)), "read": timed(lambda: read_all(folder))}


def mean(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """The floors around a measurement: what it would have cost just then."""
    return {key: (one[key] + other[key]) / 2 for key in one}


def store_of(root: str):
    """The file store, without an event log."""
    from autopilot.store.filestore import FileStore

    return FileStore(root, publish=lambda events: None, durability="process")


def phase_floor(root: str) -> dict[str, float]:
    """What the file system costs, and bare Python."""
    before = rss_mib()
    return {**floors(root), "rss_mib": before}


def phase_start(root: str) -> dict[str, float]:
    """A start, as the dispatcher sees it; leaves a sidecar."""
    before = floors(root)
    store = store_of(root)
    found: list[int] = []
    took = timed(lambda: found.append(len(store.changes().tasks)))
    check(found == [TASKS])
    store.close()
    memory = rss_mib()
    return {"seconds": took, "rss_mib": memory, **mean(before, floors(root))}


def phase_ticks(root: str) -> dict[str, float]:
    """Idle calls, calls after one changed file, after 100, and with nothing but a wait."""
    store = store_of(root)
    summaries = store.changes().tasks
    idle = [timed(lambda: [store.changes() for _ in range(100)]) / 100 for _ in range(20)]
    one = []
    for number in range(200):
        touch(root, summaries[number * 37 % TASKS].id)
        one.append(timed(lambda: check(len(store.changes().tasks) == 1)))
    hundred = []
    for number in range(5):
        for offset in range(100):
            touch(root, summaries[(number * 100 + offset) * 11 % TASKS].id)
        hundred.append(timed(store.changes))
    store.wait(0)
    cpu = time.process_time()
    store.wait(2.0)
    idle_cpu = (time.process_time() - cpu) / 2.0
    return {
        "idle_s": statistics.median(idle),
        "one_s": statistics.median(one),
        "hundred_s": statistics.median(hundred),
        "idle_cpu": idle_cpu,
        "rss_mib": rss_mib(),
    }


def phase_list(root: str) -> dict[str, float]:
    """All tasks in full, as ``task list`` wants them."""
    store = store_of(root)
    before = floors(root)
    took = timed(lambda: sum(1 for _ in store.tasks()))
    return {"seconds": took, **mean(before, floors(root))}


def touch(root: str, task_id: str) -> None:
    """Save one task as an editor does."""
    path = f"{root}/tasks/{task_id}.md"
    with open(path, "a", encoding="ascii") as file:
        file.write("One more line.\n")


def check(ok: bool) -> None:
    """Stop when a phase does not do what it measures."""
    if not ok:
        raise SystemExit("the scan missed a change")


def run(phase: str, root: str) -> dict[str, float]:
    """Run one phase in a process of its own."""
    done = subprocess.run([sys.executable, __file__, phase, root], check=True, stdout=subprocess.PIPE)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def best(phase: str, unit: str, root: str, prepare: Callable[[], object] = lambda: None) -> dict[str, float]:
    """The run with the middle ratio of several."""
    runs = []
    for _ in range(ROUNDS):
        prepare()
        answer = run(phase, root)
        runs.append({**answer, "ratio": answer["seconds"] / answer[unit]})
    return sorted(runs, key=lambda one: one["ratio"])[len(runs) // 2]


def main() -> int:
    """Measure, and print a table with the targets beside."""
    folder = tempfile.mkdtemp(prefix="bench-scan-", dir=os.environ.get("AUTOPILOT_BENCH_DIR"))
    root = f"{folder}/.autopilot"
    try:
        make(root)
        floor = run("floor", root)
        cold = best("start", "read", root, lambda: shutil.rmtree(f"{root}/state", ignore_errors=True))
        warm = best("start", "stat", root)
        listed = best("list", "stat", root)
        ticks = run("ticks", root)
    finally:
        shutil.rmtree(folder)
    base = floor["rss_mib"]
    rows = [
        ("idle changes()", f"{ticks['idle_s'] * 1e3:.4f} ms", "< 2 ms, whatever the count"),
        ("changes() after one saved file", f"{ticks['one_s'] * 1e3:.3f} ms", "< 5 ms"),
        ("changes() after 100 saved files", f"{ticks['hundred_s'] * 1e3:.2f} ms", ""),
        ("idle CPU in wait()", f"{ticks['idle_cpu']:.4%}", "< 0.5 %"),
        ("scandir + stat", f"{floor['stat'] * 1e3:.0f} ms", "the unit"),
        ("read all files", f"{floor['read'] * 1e3:.0f} ms", "the unit"),
        ("start with sidecar", f"{warm['ratio']:.2f} x (scandir + stat)", "<= 2.5"),
        ("start without sidecar", f"{cold['ratio']:.2f} x (read all)", "<= 4"),
        ("tasks() in full", f"{listed['ratio']:.2f} x (scandir + stat)", ""),
        ("memory, start with sidecar", f"{warm['rss_mib']:.0f} MiB (bare Python: {base:.0f})", "<= 120 MiB"),
        ("memory, start without sidecar", f"{cold['rss_mib']:.0f} MiB", "<= 120 MiB"),
    ]
    print(f"{TASKS} task files")
    for name, value, target in rows:
        print(f"  {name:<34}{value:<36}{target}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(globals()[f"phase_{sys.argv[1]}"](sys.argv[2])))
    else:
        sys.exit(main())
