"""A real dispatcher on a root of its own, without the rights of root where the tests run as root."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from autopilot.config.root import Root, make_root
from autopilot.dispatcher.control import Control
from autopilot.events.record import Record
from autopilot.models import InvalidTask, LeaseState, TaskDraft
from autopilot.system.process_table import descendant_rows, row_of
from tests.exhaustion import lockers
from tests.process.zoo import wait_until

__all__ = ["RIGHTLESS", "Bench", "mounted"]

RIGHTLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
"""Begins a command (util-linux) that makes of root, who sees through modes, a user like any other."""

PATIENCE_S = 90.0
CONFIG = "dispatcher:\n  poll_s: 1\n  backoff_s: 0.5\nlimits:\n  beat_s: 0.5\n  grace_s: 1\n"


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """A tmpfs at ``folder``; False where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    able = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield able
    finally:
        if able:
            subprocess.run(["umount", "-l", str(folder)], check=True)


class Bench:
    """One dispatcher.

    Args:
        project: the folder with the root in it, which limits are put on.
        outside: a folder for what must never be refused: what executors and dispatcher say.
        small: ``project`` is a small disk of its own.
    """

    def __init__(self, project: Path, outside: Path, *, small: bool = False) -> None:
        self.project = project
        self.small = small
        self.root = Root(str(project / ".autopilot"))
        self.executions = outside / "executions"
        self.said = outside / "said"
        self.go = outside / "go"
        self.names: list[str] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.executions.touch()
        make_root(self.root)
        Path(self.root.config_path).write_text(CONFIG)

    def control(self) -> Control:
        return Control.open(self.root, environ={"PATH": os.environ["PATH"]})

    # ---------------------------------------------------------------- tasks

    def task(self, name: str, command: str = "sleep 0.1", more: str = "") -> None:
        """A task whose every execution leaves a line with its mark."""
        line = f'echo "$AUTOPILOT_RUN" >> {self.executions}; {command}'
        text = f"---\nid: {name}\ntitle: {name}\nexecutor: local\ncommand: '{line}'\n{more}\n---\n"
        with contextlib.closing(self.control()) as control:
            control.create_task(TaskDraft(id=name, text=text.encode()))
        self.names.append(name)

    def waiting_task(self, name: str) -> None:
        """One that goes on until ``go`` is there."""
        self.task(name, f"while ! test -e {self.go}; do sleep 0.1; done")

    def executed(self) -> Counter[str]:
        """Task -> how often it was begun."""
        return Counter(line.split("/")[1] for line in self.executions.read_text().splitlines())

    def statuses(self) -> dict[str, str]:
        store = self.control().store
        tasks = {task.id: task for task in store.tasks()}
        return {
            name: "invalid" if isinstance(task, InvalidTask) else str(task.status) for name, task in tasks.items()
        }

    def beat(self, name: str) -> float:
        lease = self.control().store.lease(name)
        assert lease is not None and lease.state is LeaseState.STARTED
        return lease.beat

    # ---------------------------------------------------------------- the dispatcher

    def argv(self, *arguments: str) -> list[str]:
        program = [sys.executable, "-m", "autopilot.cli", *arguments]
        # Root's capabilities see through modes; its other limits are like everybody's.
        return [*RIGHTLESS, *program] if os.geteuid() == 0 else program

    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPILOT_")}
        return {
            **kept,
            "HOME": "/nonexistent",
            "AUTOPILOT_ROOT": self.root.folder,
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the user's."""
        return subprocess.run(
            self.argv(*arguments), env=self.environ(), cwd="/", capture_output=True, text=True, timeout=PATIENCE_S
        )

    def start(self) -> None:
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                self.argv("dispatch", "run", "--max-active", "8"),
                env=self.environ(),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def pids(self) -> list[int]:
        """The dispatcher and all below it."""
        assert self.process is not None
        return [self.process.pid, *(row.pid for row in descendant_rows(self.process.pid))]

    def servants(self) -> list[int]:
        """The dispatcher and its launcher: all that is not part of an attempt."""
        return [pid for pid in self.pids() if (row := row_of(pid)) and self.process.pid in (pid, row.parent)]

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """The dispatcher does nothing meanwhile, and holds no lock that anybody else would wait for."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)
        while self.process.pid in lockers():
            os.kill(self.process.pid, signal.SIGCONT)
            time.sleep(0.01)
            os.kill(self.process.pid, signal.SIGSTOP)
        yield
        os.kill(self.process.pid, signal.SIGCONT)

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for something that must come."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, (
                f"it never came: {what}\n{self.said.read_text()}\n{self.statuses()}"
            )
            assert self.process is None or self.process.poll() is None, f"it ended:\n{self.said.read_text()}"
            time.sleep(0.1)

    def until_done(self) -> None:
        self.until(lambda: set(self.statuses().values()) == {"done"}, "all tasks are done")

    def retry_poison(self) -> None:
        """When all is at rest: a person tries again what was blocked because its runners died."""
        self.until(lambda: set(self.statuses().values()) <= {"done", "blocked"}, "all tasks come to rest")
        for name, status in self.statuses().items():
            if status == "blocked":
                reason = self.control().store.record(name).reason
                assert reason is not None
                assert reason.code == "poison", reason
                retried = self.run("task", "retry", name)
                assert retried.returncode == 0, retried.stderr

    def end(self) -> None:
        """After a failed test, too: nothing is left behind."""
        self.go.touch()
        self.kill()

    def kill(self) -> None:
        """The dispatcher and all below it, at once."""
        if self.process is not None and self.process.poll() is None:
            for pid in self.servants():  # they must begin nothing more
                os.kill(pid, signal.SIGSTOP)
            pids = self.pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            wait_until(lambda: not any(row and row.alive for row in map(row_of, pids)))

    # ---------------------------------------------------------------- afterwards

    def check(self, *, again: bool = False) -> None:
        """Nothing lost, nothing damaged, nothing started that was not recorded, nothing done twice.

        Args:
            again: attempts may have been lost, and their tasks begun again.
        """
        control = self.control()
        assert control.log.verify().ok
        assert set(self.statuses()) == set(self.names)
        claims = {
            (record.data["trace_id"], record.data["payload"]["attempt"])
            for record in control.log.read(types="task.claimed")
        }
        for line in self.executions.read_text().splitlines():
            _, name, attempt = line.split("/")
            assert (name, int(attempt)) in claims, f"attempt {attempt} of {name} ran without a claim in the log"
        done = Counter(record.data["trace_id"] for record in _distinct(control, "task.done"))
        assert done == Counter(self.names)
        assert again or self.executed() == Counter(self.names)
        assert "Traceback" not in self.said.read_text()


def _distinct(control: Control, kind: str) -> Iterator[Record]:
    seen = set()
    for record in control.log.read(types=kind):
        if record.data["id"] not in seen:
            seen.add(record.data["id"])
            yield record
