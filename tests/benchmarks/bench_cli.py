"""What starting ``autopilotctl`` costs, as ratios to starting Python and importing click in the same run.

    python tests/benchmarks/bench_cli.py            start-up, 100 tasks
    python tests/benchmarks/bench_cli.py 10000      and the listing of so many tasks

Every command is run in turn with the bare ones, ``AUTOPILOT_BENCH_ROUNDS`` times (15), in processes of their
own. The figures are the least processor time (user and system) of each, because other work on the machine should
not count. The targets are 100 ms (``--help``) and 150 ms (``task list`` of 100 tasks) more than ``import click``
on a machine where that takes 53 ms: ratios of 1.9 and 2.8.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = int(os.environ.get("AUTOPILOT_BENCH_ROUNDS", "15"))
CLICK = "import click"
RUN = "import sys; from autopilot.cli.main import main; sys.exit(main(sys.argv[1:]))"
TASK = "---\nid: {id}\ntitle: Task {number} of many\nstatus: pending\npriority: low\ntags: [a, b]\n---\n\nDo it.\n"

COMMANDS = {
    "--help": 1.9,
    "task list": 2.8,
    "task list -o json": 2.8,
    "events tail": 2.8,
    "task create --title T": 2.8,
}
"""Each with its target; those without one in the design have that of ``task list``."""


def cpu(argv: list[str], folder: str) -> float:
    """Processor seconds of one process and its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *argv], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def make_tasks(folder: Path, number: int) -> None:
    """A root with so many pending tasks."""
    tasks = folder / ".autopilot" / "tasks"
    tasks.mkdir(parents=True)
    for index in range(number):
        task_id = f"req-20261122-{index:08x}"
        (tasks / f"{task_id}.md").write_text(TASK.format(id=task_id, number=index), encoding="utf-8")


def start_up(folder: str) -> None:
    """Print what each command costs beyond ``import click``."""
    bare = {"pass": ["-c", "pass"], CLICK: ["-c", CLICK], "import click, attrs": ["-c", f"{CLICK}, attrs"]}
    argv = {**bare, **{name: ["-c", RUN, *name.split()] for name in COMMANDS}}
    least = dict.fromkeys(argv, float("inf"))
    for words in argv.values():
        cpu(words, folder)  # caches
    for _ in range(ROUNDS):
        for name, words in argv.items():
            least[name] = min(least[name], cpu(words, folder))
    base = least[CLICK]
    print(f"{'command':<24} {'cpu ms':>7} {'more than click':>16} {'ratio':>6} {'target':>7}")
    for name, seconds in least.items():
        more = seconds - base
        target = f"{COMMANDS[name]:>7.1f}" if name in COMMANDS else ""
        print(f"{name:<24} {seconds * 1000:7.0f} {more * 1000:13.0f} ms {more / base:6.2f} {target}")


def listing(number: int) -> None:
    """Print what listing many tasks costs, against scandir, stat and printing of as many lines."""
    with tempfile.TemporaryDirectory() as folder:
        make_tasks(Path(folder), number)
        tasks = os.path.join(folder, ".autopilot", "tasks")
        start = cpu(["-c", RUN, "task", "list", "--root", "/nonexistent/.autopilot"], folder)
        ours = min(cpu(["-c", RUN, "task", "list"], folder) for _ in range(3)) - start
        began = time.process_time()
        lines = [f"{entry.name} {entry.stat().st_size} {'x' * 60}\n" for entry in os.scandir(tasks)]
        with open(os.devnull, "w", encoding="utf-8") as file:
            for line in lines:
                file.write(line)
        bare = time.process_time() - began
        began = time.process_time()
        for name in os.listdir(tasks):
            Path(tasks, name).read_bytes()
        reading = time.process_time() - began
    told = f"\ntask list of {number}: {ours * 1000:.0f} ms; scandir + stat + printing {bare * 1000:.0f} ms, "
    print(f"{told}reading the files {reading * 1000:.0f} ms")
    print(f"ratio {ours / bare:.1f} to the first (target 3), {ours / reading:.1f} to the second")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        make_tasks(Path(home), 100)
        start_up(home)
    if sys.argv[1:]:
        listing(int(sys.argv[1]))
