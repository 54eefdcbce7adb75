"""A root, a real dispatcher, and attempts that let shapes of the zoo out; everything is seen from outside.

Who is alive is asked of ``/proc`` (``zoo.living``), who is the owner and whether an attempt is over of the files.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from autopilot.runner.folders import mark_of
from autopilot.store.filestore import FileStore
from autopilot.system.marks import MARK, wear
from tests.process.zoo import Shape, argv_of, end_all, living, new_tag, wait_until

__all__ = ["GRACE_S", "Cage", "Cell", "cage"]

GRACE_S = 0.5
PATIENCE_S = 200.0
"""When a test calls it a hang; the machine may be busy."""

CONFIG = f"""\
durability: process
dispatcher:
  max_active: 100
  poll_s: 0.5
limits:
  grace_s: {GRACE_S}
"""
TASK = """\
---
id: {id}
title: {id}
executor: local
timeout_minutes: {minutes}
max_attempts: 1
---
{body}
"""


@attrs.define
class Cell:
    """One shape at work in an attempt.

    Attributes:
        decoy: a process of the same name and arguments that is none of ours to end.
        over_at: when the attempt was seen to be over, on our own monotonic clock.
        left: who was alive at that moment.
    """

    shape: Shape
    tag: str
    folder: Path
    decoy: subprocess.Popen[bytes]
    over_at: float = 0.0
    left: list[int] = attrs.field(factory=list)

    @property
    def task_id(self) -> str:
        return self.shape.name.replace("_", "-")

    @property
    def ready(self) -> bool:
        """Whether its whole tree is there."""
        return (self.folder / "ready").exists()

    def alive(self) -> list[int]:
        return [pid for pid in living(self.tag) if pid != self.decoy.pid]


class Cage:
    """One root with the shapes that were let out in it.

    Args:
        leave: the attempt's program ends with success as soon as its shape is there; else it stays.
        deadline_s: the attempts' own.
        cgroup: where the dispatcher, and so all that it starts, is put.
    """

    def __init__(
        self,
        folder: Path,
        shapes: Sequence[Shape],
        *,
        leave: bool = False,
        deadline_s: float = 3600.0,
        cgroup: Path | None = None,
    ) -> None:
        self.folder = folder
        self.root = folder / ".autopilot"
        self.deadline_s = deadline_s
        self.began = 0.0
        (self.root / "tasks").mkdir(parents=True, mode=0o700)
        (self.root / "config.yaml").write_text(CONFIG)
        self.cells = [self._cell(shape, leave=leave) for shape in shapes]
        self.stranger = self._stranger()
        self.dispatcher = self._dispatch(cgroup)

    # ------------------------------------------------------------------ what is let out

    def _cell(self, shape: Shape, *, leave: bool) -> Cell:
        tag, folder = new_tag(), self.folder / shape.name
        cell = Cell(shape, tag, folder, _decoy(tag))
        line = shlex.join(argv_of(shape, folder, tag))
        ready = shlex.quote(str(folder / "ready"))
        body = f"{line} &\nwhile [ ! -e {ready} ]; do sleep 0.05; done\n"
        body += "exit 0\n" if leave else f"wait\nexec sleep 1000.{tag}\n"
        text = TASK.format(id=cell.task_id, minutes=self.deadline_s / 60, body=body)
        (self.root / "tasks" / f"{cell.task_id}.md").write_text(text)
        return cell

    def _stranger(self) -> subprocess.Popen[bytes]:
        """A decoy with the mark of an attempt that is nearly ours."""
        mark = mark_of(self.run_dir(self.cells[0])) + "0"
        return _decoy(new_tag(), env={**os.environ, MARK: mark}, preexec_fn=lambda: wear(mark), cwd=self.folder)

    def _dispatch(self, cgroup: Path | None) -> subprocess.Popen[bytes]:
        def enter() -> None:
            if cgroup is not None:
                (cgroup / "cgroup.procs").write_text(str(os.getpid()))

        with open(self.folder / "dispatcher.log", "ab") as log:
            return subprocess.Popen(
                self._command("dispatch", "run"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=enter,
            )

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "autopilot.cli", "--root", str(self.root), *words]

    def ctl(self, *words: str) -> None:
        """Run the command line; it must succeed."""
        done = subprocess.run(self._command(*words), capture_output=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stderr.decode()

    # ------------------------------------------------------------------ what is seen

    def run_dir(self, cell: Cell) -> str:
        return str(self.root / "runs" / cell.task_id / "1")

    def lease(self, cell: Cell) -> dict[str, Any] | None:
        """What its lease says; None when nobody holds the task."""
        path = self.root / "state" / "leases" / f"{cell.task_id}.json"
        with contextlib.suppress(OSError, ValueError):
            lease: dict[str, Any] = json.loads(path.read_bytes())
            return lease if lease["state"] != "ended" else None
        return None

    def result(self, cell: Cell) -> dict[str, Any] | None:
        with contextlib.suppress(OSError, ValueError):
            told: dict[str, Any] = json.loads(Path(self.run_dir(cell), "result.json").read_bytes())
            return told
        return None

    def outcomes(self) -> set[str]:
        """What the attempts came to, ``lost`` where none of them said."""
        return {result["outcome"]["kind"] if (result := self.result(cell)) else "lost" for cell in self.cells}

    def orphans_killed(self) -> int:
        """How many processes the launcher says to have ended. (Whose they were cannot be told apart.)"""
        paths = (Path(self.run_dir(cell), "reaped.json") for cell in self.cells)
        return sum(json.loads(path.read_bytes())["orphans_killed"] for path in paths)

    def took(self, cell: Cell) -> float:
        """Seconds from what ended the attempt to its being over, as we saw it."""
        return cell.over_at - self.began

    def overtime(self, cell: Cell) -> float:
        """By the recorded times: how many seconds after its deadline an attempt was over."""
        result = self.result(cell)
        return float(result["duration_s"]) - self.deadline_s if result else 0.0

    def decoys_hit(self) -> int:
        """How many strangers died of it."""
        return sum(decoy.poll() is not None for decoy in (self.stranger, *(cell.decoy for cell in self.cells)))

    def until(self, condition: Callable[[], Any], what: str) -> None:
        said = (self.folder / "dispatcher.log").read_text
        assert wait_until(condition, PATIENCE_S), f"waited {PATIENCE_S:g} s for {what}; {said()}"

    def wait_ready(self) -> None:
        """Until every tree is there."""
        for cell in self.cells:
            self.until(lambda cell=cell: cell.ready, f"{cell.shape.name} to be ready")
        self.began = time.monotonic()

    def wait_over(self) -> None:
        """Until every attempt is over, by the files; and at that very moment, who is alive."""
        open_cells = list(self.cells)

        def look() -> bool:
            for cell in list(open_cells):
                if self.result(cell) or (self.lease(cell) is None and cell.ready):
                    cell.over_at = time.monotonic()
                    cell.left = cell.alive()
                    open_cells.remove(cell)
            return not open_cells

        self.until(look, f"the end of {[cell.shape.name for cell in open_cells]}")

    # ------------------------------------------------------------------ what is done to it

    def cancel(self) -> None:
        """Ask for the end of each attempt."""
        self.began = time.monotonic()
        store = FileStore(str(self.root), publish=lambda _: None, durability="process")
        for cell in self.cells:
            assert store.request_cancel(cell.task_id, by="a test")
        store.close()

    def kill_dispatcher(self, number: int = signal.SIGKILL) -> None:
        self.dispatcher.send_signal(number)
        self.dispatcher.wait(PATIENCE_S)

    def kill_launcher(self) -> None:
        guardians = {lease["guardian"]["pid"] for cell in self.cells if (lease := self.lease(cell))}
        assert len(guardians) == 1
        self._kill(guardians.pop())

    def kill_runners(self) -> None:
        self.began = time.monotonic()
        for cell in self.cells:
            lease = self.lease(cell)
            assert lease is not None and lease["state"] == "started", cell.shape.name
            self._kill(lease["owner"]["pid"])

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def tick(self) -> None:
        """The next tick, of another dispatcher."""
        self.ctl("dispatch", "tick", "--no-wait")

    def close(self) -> None:
        """End what is left, whatever became of the test."""
        if self.dispatcher.poll() is None:
            self.kill_dispatcher()
        for cell in self.cells:
            if (lease := self.lease(cell)) and lease["state"] == "started":
                self._kill(lease["owner"]["pid"])
            end_all(cell.tag)
            cell.decoy.wait()
        self.stranger.kill()
        self.stranger.wait()


def _decoy(tag: str, **more: Any) -> subprocess.Popen[bytes]:
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    return subprocess.Popen(["sleep", f"1000.{tag}"], start_new_session=True, **streams, **more)


@contextlib.contextmanager
def cage(folder: Path, shapes: Sequence[Shape], **more: Any) -> Iterator[Cage]:
    """A cage that is cleared away."""
    folder.mkdir(parents=True)
    made = Cage(folder, shapes, **more)
    try:
        yield made
    finally:
        made.close()
