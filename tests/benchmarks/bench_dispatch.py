"""The dispatcher with many pending tasks, and the way of `true` from queue to result, as ratios taken in one run.

``AUTOPILOT_BENCH_TASKS=100000 python tests/benchmarks/bench_dispatch.py [idle] [throughput]``

By default both phases, with 10,000 tasks. ``idle``: the first tick, an idle one, one after a changed file,
and memory, with that many pending tasks that no executor can take. ``throughput``: 300 times ``true`` with
every promise on (``durability: process``), against raw ``posix_spawn`` of it, two at a time.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

TASKS = int(os.environ.get("AUTOPILOT_BENCH_TASKS", "10000"))
RUNS = 300
TARGET_IDLE_MS = 2.0
TARGET_CHANGED_MS = 5.0


@contextmanager
def root_with(count: int, head: str) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="bench-")
    root = f"{folder}/.autopilot"
    os.makedirs(f"{root}/tasks", mode=0o700)
    with open(f"{root}/config.yaml", "w") as file:
        file.write("durability: process\n")
    for number in range(count):
        with open(f"{root}/tasks/t{number:06d}.md", "w") as file:
            file.write(f"---\nid: t{number:06d}\ntitle: Task {number}\n{head}---\nDo it.\n")
    try:
        yield root
    finally:
        shutil.rmtree(folder)


def dispatcher_of(root: str, **more: Any) -> Any:
    from autopilot.config.root import Root
    from autopilot.dispatcher.control import Control
    from autopilot.dispatcher.tick import Dispatcher

    return Dispatcher(Control.open(Root(root)), **more)


def seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def resident_mib() -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmRSS:"))


def look_at(folder: str) -> float:
    def look() -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)

    return min(seconds(look) for _ in range(3))


def idle_phase(root: str, label: str) -> None:
    """In a process of its own: first tick, idle ticks, one change, memory."""
    base = look_at(f"{root}/tasks")
    dispatcher = dispatcher_of(root)
    first = seconds(dispatcher.tick)
    judged = first
    while dispatcher._board.has_ready:
        judged += seconds(dispatcher.tick)
    dispatcher.tick()
    idle = statistics.median(seconds(dispatcher.tick) for _ in range(200))
    changed = []
    for number in range(20):
        with open(f"{root}/tasks/t{number:06d}.md", "a") as file:
            file.write("More.\n")
        changed.append(seconds(dispatcher.tick))
    after = statistics.median(changed) * 1000
    print(
        f"{label}: scandir+stat {base:.3f} s; first tick {judged:.2f} s (all judged once); "
        f"idle tick {idle * 1000:.3f} ms = {idle * 1000 / TARGET_IDLE_MS:.2f} of the limit; after one change "
        f"{after:.2f} ms = {after / TARGET_CHANGED_MS:.2f} "
        f"of the limit; memory {resident_mib():.0f} MiB = {resident_mib() / 120:.2f} of the limit"
    )


def idle() -> None:
    with root_with(TASKS, "requires: [nobody-has-this]\n") as root:
        time.sleep(2.5)
        for label in (f"{TASKS} pending, no sidecar", f"{TASKS} pending, warm sidecar"):
            subprocess.run([sys.executable, __file__, "--phase", root, label], check=True)


def raw_spawn(at_once: int) -> float:
    """Runs a second of ``true`` by posix_spawn."""
    path = shutil.which("true") or "/bin/true"

    def work() -> None:
        running: set[int] = set()
        for _ in range(RUNS):
            running.add(os.posix_spawn(path, ["true"], {}))
            if len(running) >= at_once:
                running.discard(os.wait()[0])
        while running:
            running.discard(os.wait()[0])

    return RUNS / seconds(work)


def throughput() -> None:
    raw = raw_spawn(2)
    with root_with(RUNS, 'command: ["true"]\n') as root:
        dispatcher = dispatcher_of(root)
        done = 0

        def on_tick(report: Any) -> None:
            nonlocal done
            done += len(report.adopted)

        took = seconds(lambda: dispatcher.run(lambda: done >= RUNS, on_tick))
        dispatcher.close()
    ours = RUNS / took
    print(
        f"`true`: {ours:.0f} tasks/s = {ours / raw:.3f} of raw posix_spawn, 2 at a time ({raw:.0f}/s); target 0.20"
    )


def main() -> None:
    if sys.argv[1:2] == ["--phase"]:
        idle_phase(sys.argv[2], sys.argv[3])
        return
    for name in sys.argv[1:] or ["idle", "throughput"]:
        {"idle": idle, "throughput": throughput}[name]()


if __name__ == "__main__":
    main()
