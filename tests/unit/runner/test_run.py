"""A runner in this very process, for what cannot be brought about from outside."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
import types
from datetime import UTC, datetime, timedelta

import pytest

from autopilot import Executor, Outcome, Progress, hookimpl
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Lease,
    LeaseSignal,
    LeaseState,
    Limits,
    OutcomeKind,
    PluginRef,
    TaskRecord,
)
from autopilot.models.wire import dump, load
from autopilot.runner.origin import Origin
from autopilot.runner.run import run_attempt
from autopilot.system.clock import SystemClock
from autopilot.system.processes import identify


class Store:
    """Takes everything."""

    def __init__(self) -> None:
        self.reported = []
        self.events = []

    def start(self, lease, *, owner, guardian, events):
        self.events += events
        return lease

    def renew(self, lease):
        return LeaseSignal()

    def report(self, lease, result):
        self.reported.append(result)

    def notify(self):
        pass


def spec_in(folder, **changes) -> AttemptSpec:
    return AttemptSpec(
        **{
            "root": str(folder),
            "store_url": "file:",
            "task_id": "t",
            "token": 1,
            "task_text": "---\nid: t\ntitle: t\n---\n",
            "executor": "x",
            "executor_plugin": PluginRef(name="x", value="acting_plugin"),
            "workdir": str(folder),
            "run_dir": str(folder / "runs" / "t" / "1"),
            **changes,
        }
    )


LEASE = Lease(
    record=TaskRecord(task_id="t", token=1),
    state=LeaseState.CLAIMED,
    executor="x",
    owner=identify(),
    claimed_at=datetime.now(UTC),
    beat=0.0,
    ttl_s=30.0,
)


@pytest.fixture
def signals():
    import signal

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_no_process_for_the_executor_is_nobodys_failure(tmp_path, monkeypatch, signals):
    def refuse():
        raise BlockingIOError(11, "again")

    monkeypatch.setattr(os, "fork", refuse)
    store = Store()
    spec = spec_in(tmp_path, verify=("true",))
    assert run_attempt(spec, LEASE, store=store, origin=Origin.here(), clock=SystemClock(), log=[].append) == 0
    (result,) = store.reported
    assert result.outcome.kind is OutcomeKind.UNAVAILABLE
    assert "Resource temporarily unavailable" in result.outcome.message
    assert result.verified is None
    (event,) = store.events
    assert event.event_type == "attempt.started"
    assert (event.payload["attempt"], event.payload["executor"], event.payload["pid"]) == (1, "x", os.getpid())


# ---------------------------------------------------------------------- clocks that jump


class JumpingClock(SystemClock):
    """A wall clock that jumps at each look; the monotonic one is the machine's."""

    def __init__(self, jumps) -> None:
        self._jumps = itertools.cycle(jumps)

    def now(self):
        return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=next(self._jumps))


class Acting(Executor):
    """Works for a moment, with signs of life."""

    name = "x"

    def run(self, context):
        for _ in range(5):
            context.report(Progress(message="working"))
            time.sleep(0.05)
        return Outcome(kind=OutcomeKind.SUCCEEDED)


def in_a_runner(spec, clock, monkeypatch):
    """Run the attempt in a child, as a launcher would; its exit code and result."""
    module = types.ModuleType("acting_plugin")
    module.autopilot_executors = hookimpl(lambda config: [Acting()])
    monkeypatch.setitem(sys.modules, "acting_plugin", module)
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            store = Store()
            code = run_attempt(spec, LEASE, store=store, origin=Origin.here(), clock=clock, log=[].append)
            os.write(writing, json.dumps(dump(store.reported[0])).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return load(AttemptResult, json.loads(text))


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
@pytest.mark.parametrize("jumps", [[0], [0, 3650], [0, -3650], [3650, -3650, 1, -1]], ids=str)
def test_a_wall_clock_that_jumps_neither_stops_nor_spares_anybody(tmp_path, monkeypatch, jumps):
    limits = Limits(deadline_s=60, idle_s=30, grace_s=1)
    result = in_a_runner(spec_in(tmp_path, limits=limits), JumpingClock(jumps), monkeypatch)
    assert result.outcome.kind is OutcomeKind.SUCCEEDED
    assert 0.2 <= result.duration_s < 60
    late = in_a_runner(
        spec_in(tmp_path, limits=Limits(deadline_s=0.01, grace_s=0.1)), JumpingClock(jumps), monkeypatch
    )
    assert late.outcome.kind is OutcomeKind.TIMED_OUT
