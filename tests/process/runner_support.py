"""A root with a file store, a launcher, and executors whose programs the tests write: real processes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autopilot.events.log import EventLog
from autopilot.models import AttemptResult, AttemptSpec, Lease, LeaseState, Limits, PluginRef, TaskDraft
from autopilot.runner.folders import mark_of
from autopilot.runner.launcher import Ended, Launcher
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.system.clock import SystemClock
from autopilot.system.marks import marked_processes
from autopilot.system.processes import ProcessIdentity, identify, is_alive
from autopilot.system.tree import kill_processes

PLUGIN = '''
from autopilot import Command, CommandExecutor, Executor, Outcome, OutcomeKind, Progress, Usage, Verdict, hookimpl


class Python(Executor):
    """Runs the task's body as Python, in the host."""

    name = "python"

    def run(self, context):
        names = {"context": context, "Outcome": Outcome, "Kind": OutcomeKind, "Progress": Progress, "Usage": Usage}
        exec(context.task.body, names)
        return names.get("outcome", Outcome(kind=OutcomeKind.SUCCEEDED, message="done"))


class Shell(CommandExecutor):
    """Runs the task's body as a shell script."""

    name = "shell"

    def command(self, context):
        return Command(["/bin/sh", "-s"], stdin=context.task.body)

    def judge(self, exit_code, transcript):
        kind = OutcomeKind.SUCCEEDED if exit_code == 0 else OutcomeKind.FAILED
        return Outcome(kind=kind, exit_code=exit_code)


@hookimpl
def autopilot_executors(config):
    return [Python(), Shell()]
'''

REF = PluginRef(name="zoo", value="runner_zoo_plugin")
PATIENCE_S = 60.0
"""How long a test waits for what must come: the machine may be busy."""


def until(condition: Callable[[], Any], what: str, *, timeout: float = PATIENCE_S) -> Any:
    """Poll until ``condition`` gives something true, and give that."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout} s for {what}"
        time.sleep(0.01)
    return value


class Arena:
    """One root, one launcher."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.root = folder / ".autopilot"
        self.root.mkdir(mode=0o700)
        self.work = folder / "work"
        self.work.mkdir()
        plugins = folder / "plugins"
        plugins.mkdir()
        (plugins / "runner_zoo_plugin.py").write_text(PLUGIN)
        self.plugins = plugins
        paths = [str(plugins), os.environ.get("PYTHONPATH", "")]
        self.environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), **environ}
        self.log = EventLog(str(self.root / "events"), durability="process")
        self.store = FileStore(str(self.root), publish=self.log.publish, durability="process")
        self.launcher = Launcher(str(self.root), environ=self.environ)
        self.leases: list[Lease] = []
        self.ends: list[Ended] = []
        self.launchers: set[ProcessIdentity] = set()
        self.count = 0

    def fresh(self) -> Arena:
        """The same arena for another test: tasks have other ids, and the work folder is an empty one."""
        self.count += 1
        self.work = self.folder / f"work-{self.count}"
        self.work.mkdir()
        return self

    def calm(self) -> None:
        """End the attempts that a test left behind."""
        for lease in self.leases:
            now = self.store.lease(lease.task_id)
            if now is not None and now.state is LeaseState.STARTED and is_alive(now.owner):
                kill(now.owner)
        self.leases.clear()
        until(lambda: self.launcher.poll() is not None and not self.launcher.running(), "the runners to end")

    @property
    def task_id(self) -> str:
        """The id of a test's task unless it says otherwise."""
        return f"t{self.count}"

    @property
    def run(self) -> Path:
        """The run folder of that task's first attempt."""
        return self.root / "runs" / self.task_id / "1"

    def claim(self, task_id: str, *, executor: str, body: str = "", ttl_s: float = 30.0) -> tuple[Lease, str]:
        """Make a task, claim it; its lease and text."""
        text = f"---\nid: {task_id}\ntitle: a test\n---\n{body}\n"
        self.store.create(TaskDraft(id=task_id, text=text.encode()))
        lease = self.store.claim(
            task_id, executor=executor, owner=identify(), limits=SlotLimits(total=1000), ttl_s=ttl_s
        )
        self.leases.append(lease)
        return lease, text

    def spec(self, lease: Lease, text: str, **changes: Any) -> AttemptSpec:
        """The spec of a claimed attempt."""
        limits = {
            "deadline_s": 300.0,
            "grace_s": 0.5,
            "verify_s": 60.0,
            "linger_s": 1.0,
            **changes.pop("limits", {}),
        }
        standard = {
            "root": str(self.root),
            "store_url": "file:",
            "task_id": lease.task_id,
            "token": lease.token,
            "task_text": text,
            "executor": lease.executor,
            "executor_plugin": REF,
            "workdir": str(self.work),
            "run_dir": self.run_dir(lease),
            "limits": Limits(**limits),
            "durability": "process",
            "beat_s": 0.2,
        }
        return AttemptSpec(**{**standard, **changes})

    def run_dir(self, lease: Lease) -> str:
        """The attempt's run folder."""
        return str(self.root / "runs" / lease.task_id / str(lease.token))

    def start(self, body: str, *, task_id: str = "", executor: str = "python", **changes: Any) -> Lease:
        """Claim and start an attempt."""
        lease, text = self.claim(
            task_id or self.task_id, executor=executor, body=body, ttl_s=changes.get("lease_ttl_s", 30.0)
        )
        self.launcher.start(self.spec(lease, text, **changes), lease)
        if self.launcher._link is not None:
            with contextlib.suppress(ProcessLookupError):
                self.launchers.add(identify(self.launcher._link.pid))
        return lease

    def ended(self, lease: Lease, *, timeout: float = PATIENCE_S) -> Ended:
        """Wait for the end of the attempt's runner."""
        deadline = time.monotonic() + timeout
        while True:
            for end in self.ends:
                if (end.task_id, end.token) == (lease.task_id, lease.token):
                    return end
            assert time.monotonic() < deadline, f"waited {timeout} s for the end of {lease.task_id}"
            fd = self.launcher.fileno()
            select.select([fd] if fd >= 0 else [], [], [], 0.1)
            self.ends += self.launcher.poll()

    def do(self, body: str, **more: Any) -> AttemptResult:
        """Do an attempt; its result."""
        lease = self.start(body, **more)
        end = self.ended(lease)
        assert end.exit_code == 0, self.complaints()
        result = self.store.result(lease)
        assert result is not None
        return result

    def complaints(self) -> str:
        """The launcher's log."""
        path = self.root / "state" / "launcher.log"
        return path.read_text() if path.exists() else ""

    def started(self, lease: Lease) -> Lease:
        """Wait until the runner owns the lease."""

        def owned() -> Lease | None:
            now = self.store.lease(lease.task_id)
            return now if now is not None and now.state is LeaseState.STARTED else None

        return until(owned, f"the start of {lease.task_id}; {self.complaints()}")

    def marked(self, lease: Lease) -> list[ProcessIdentity]:
        """The attempt's living processes that still carry its mark."""
        return marked_processes(mark_of(self.run_dir(lease)))

    def close(self) -> None:
        """End everything that is left of this test."""
        self.launcher.close()
        for lease in self.leases:
            now = self.store.lease(lease.task_id)
            for process in (now.owner, now.guardian) if now else ():
                if process is not None and process.pid != os.getpid():
                    kill_processes([process], clock=SystemClock(), limit_s=5)
            kill_processes(self.marked(lease), clock=SystemClock(), limit_s=5)
        # A launcher that a test has stopped would never go by itself.
        kill_processes(self.launchers, clock=SystemClock(), limit_s=5)
        self.store.close()
        self.log.close()


@contextlib.contextmanager
def arena(folder: Path, **environ: str) -> Iterator[Arena]:
    """An arena that is cleared away."""
    made = Arena(folder, **environ)
    try:
        yield made
    finally:
        made.close()


def pids_in(path: Path, count: int = 1) -> list[int]:
    """Wait until a program of the test has written so many pids, and read them."""

    def read() -> list[int]:
        words = path.read_text().split() if path.exists() else []
        return [int(word) for word in words] if len(words) >= count else []

    return until(read, f"{count} pids in {path.name}")


def alive(pid: int) -> bool:
    """Whether a process of this number lives (a zombie does not)."""
    try:
        return bool(is_alive(identify(pid)))
    except ProcessLookupError:
        return False


def kill(process: ProcessIdentity | int) -> None:
    """SIGKILL."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process if isinstance(process, int) else process.pid, signal.SIGKILL)
