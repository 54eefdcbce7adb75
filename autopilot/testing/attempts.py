"""One attempt of an executor under test, in processes of its own, judged from outside.

A keeper process (a child subreaper, like a runner) forks a host, which calls ``Executor.run``. The keeper
ends what hangs, counts what is left when the host has gone, and kills it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import attrs

from autopilot.executors.contract import AttemptContext, Executor, Progress
from autopilot.models import Outcome
from autopilot.models.wire import dump, load
from autopilot.system.clock import SystemClock
from autopilot.system.tree import become_subreaper, kill_tree

__all__ = ["Ran", "run_attempt"]

_REPORT_BYTES = 4 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Ran:
    """What an attempt came to, seen from outside.

    Attributes:
        outcome: what ``run`` returned, None where it raised, hung or died.
        fault: the traceback of what it raised, or a sentence.
        hung: it had to be ended after the limit.
        seconds: how long it took; only for comparing with generous limits.
        peak_mib: the largest resident size of the host, in MiB.
        progress: what it reported, as dicts without the empty fields.
        workdir, run_dir: the folders that it was given.
        folder: the folder that holds both.
    """

    outcome: Outcome | None
    fault: str
    hung: bool
    seconds: float
    peak_mib: float
    progress: tuple[dict[str, Any], ...]
    workdir: Path
    run_dir: Path

    def told(self) -> dict[str, Any]:
        """What the fake agent was given: argv, stdin, environ, cwd."""
        from autopilot.testing.fake_agent import TOLD

        noted: dict[str, Any] = json.loads((self.workdir / TOLD).read_text())
        return noted

    def written(self) -> bytes:
        """Everything that lies in the run folder, together."""
        return b"".join(path.read_bytes() for path in sorted(self.run_dir.rglob("*")) if path.is_file())


def run_attempt(executor: Executor, context: AttemptContext, *, limit_s: float = 60.0) -> Ran:
    """Run an attempt; never hangs and leaves nothing behind.

    Args:
        limit_s: after so many seconds whatever is left is killed.
    """
    read, write = os.pipe()
    started = time.monotonic()
    keeper = os.fork()
    if keeper == 0:
        os.close(read)
        _run_child(lambda: _keep(executor, context, write, limit_s))
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        report = json.loads(pipe.read(_REPORT_BYTES) or b"{}")
    os.waitpid(keeper, 0)
    outcome = report.get("outcome")
    return Ran(
        outcome=load(Outcome, outcome) if outcome else None,
        fault=report.get("fault", "" if outcome else "the host died without a word"),
        hung=report.get("hung", False),
        seconds=time.monotonic() - started,
        peak_mib=report.get("peak_mib", 0.0),
        progress=tuple(report.get("progress", ())),
        workdir=Path(context.workdir),
        run_dir=Path(context.run_dir),
    )


def _run_child(work: Any) -> None:
    code = 1
    try:
        os.setsid()
        work()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def _keep(executor: Executor, context: AttemptContext, write: int, limit_s: float) -> None:
    become_subreaper()
    told = Path(context.run_dir).parent / f"host-{os.getpid()}.json"
    host = os.fork()
    if host == 0:
        os.close(write)
        _run_child(lambda: _host(executor, context, told))
    hung = not _gone_within(host, limit_s)
    kill_tree(grace_s=0.2, clock=SystemClock())
    report = json.loads(told.read_bytes()) if told.exists() else {}
    with os.fdopen(write, "wb") as pipe:
        pipe.write(json.dumps({**report, "hung": hung}).encode())


def _gone_within(pid: int, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        time.sleep(0.005)
    return False


def _host(executor: Executor, context: AttemptContext, told: Path) -> None:
    progress: list[Progress] = []
    report: dict[str, Any] = {}
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    try:
        outcome = executor.run(attrs.evolve(context, report=progress.append))
        report["outcome"] = dump(outcome) if isinstance(outcome, Outcome) else None
        if report["outcome"] is None:
            report["fault"] = f"run() returned {type(outcome).__name__} and not Outcome"
        json.dumps(report)
    except BaseException:
        report = {"fault": traceback.format_exc()}
    report["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report["progress"] = [
        {key: value for key, value in attrs.asdict(one).items() if value not in (None, False)}
        for one in progress[-200:]
    ]
    told.write_text(json.dumps(report, default=str))
