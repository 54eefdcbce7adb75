"""A runner in this very process, for what cannot be brought about from outside."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import sys
import time
import types
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from autopilot import Executor, Outcome, Progress, hookimpl
from autopilot.errors import LeaseLostError, StorageError
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
    Usage,
    Verdict,
)
from autopilot.models.wire import dump, load
from autopilot.runner.origin import Origin
from autopilot.runner.run import LOST, NOT_STARTED, REFUSED, run_attempt
from autopilot.system.clock import SystemClock
from autopilot.system.processes import identify
from autopilot.system.tree import become_subreaper


class Store:
    """Takes everything, but for the calls that it refuses."""

    def __init__(self, **refused: Exception) -> None:
        self.reported = []
        self.started = []
        self.refused = refused

    def _call(self, name):
        if name in self.refused:
            raise self.refused[name]

    def start(self, lease, *, owner, guardian, events):
        self._call("start")
        self.started.append((lease, owner, guardian, *events))
        return lease

    def renew(self, lease):
        self._call("renew")
        return LeaseSignal()

    def report(self, lease, result):
        self._call("report")
        self.reported.append(result)

    def record(self, task_id):
        return TaskRecord(task_id=task_id, token=2)

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


GUARDIAN = attrs.evolve(identify(), pid=1)
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
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    yield
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


def attempt_here(spec, store):
    """The exit code of an attempt that starts nothing, and what it has logged."""
    logged = []
    origin = Origin.here(GUARDIAN)
    code = run_attempt(spec, LEASE, store=store, origin=origin, clock=SystemClock(), log=logged.append)
    return code, logged


def test_no_process_for_the_executor_is_nobodys_failure(tmp_path, monkeypatch, signals):
    def refuse():
        raise BlockingIOError(11, "again")

    monkeypatch.setattr(os, "fork", refuse)
    store = Store()
    assert attempt_here(spec_in(tmp_path, verify=("true",)), store) == (0, [])
    (result,) = store.reported
    assert result.outcome == Outcome(
        kind=OutcomeKind.UNAVAILABLE,
        message="no process could be started for the executor: Resource temporarily unavailable",
        hint="check `ulimit -u` and memory",
        host_fault=True,
    )
    assert (result.verified, result.killed) == (None, 0)
    ((lease, owner, guardian, event),) = store.started
    assert (lease, owner, guardian) == (LEASE, identify(), GUARDIAN)
    assert event.event_type == "attempt.started"
    assert event.payload == {
        "attempt": 1,
        "executor": "x",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "workdir": str(tmp_path),
    }


def test_a_start_that_is_refused_is_a_fact(tmp_path, signals):
    store = Store(start=LeaseLostError("too late", hint="nothing"))
    code, (event,) = attempt_here(spec_in(tmp_path), store)
    assert (code, store.reported) == (REFUSED, [])
    reason = {"code": "lease_lost", "message": "too late", "hint": "nothing"}
    assert event.event_type == "attempt.refused"
    assert event.payload == {"attempt": 1, "executor": "x", "reason": reason}


@pytest.mark.parametrize("fault", [StorageError("no room"), OSError(5, "no room")])
def test_a_start_that_cannot_be_written_down_starts_nothing(tmp_path, signals, capsys, fault):
    store = Store(start=fault)
    assert attempt_here(spec_in(tmp_path), store) == (NOT_STARTED, [])
    assert store.reported == []
    assert capsys.readouterr().err == f"t.1: not started: {fault}\n"


def test_the_attempts_text_is_kept_as_it_was_byte_for_byte(tmp_path, signals):
    text = "---\nid: t\n---\n\udcff\n"
    attempt_here(spec_in(tmp_path, task_text=text), Store(start=LeaseLostError("too late")))
    kept = tmp_path / "runs" / "t" / "1" / "task.md"
    assert kept.read_bytes() == text.encode("utf-8", "surrogateescape")


# ---------------------------------------------------------------------- what comes back


class Acting(Executor):
    """Works for a moment, with signs of life."""

    name = "x"

    def __init__(self, act=lambda context: None) -> None:
        self.act = act

    def run(self, context):
        for _ in range(5):
            context.report(Progress(message="working"))
            time.sleep(0.05)
        return self.act(context) or Outcome(kind=OutcomeKind.SUCCEEDED)


def life_of(spec, monkeypatch, executor=None, *, clock=None, store=None, log=lambda event: None):
    """Run the attempt in a child, as a launcher would; its exit code, its results, and what it logged."""
    module = types.ModuleType("acting_plugin")
    module.autopilot_executors = hookimpl(lambda config: [executor or Acting()])
    monkeypatch.setitem(sys.modules, "acting_plugin", module)
    store = store or Store()
    logged = []

    def told(event):
        logged.append(event)
        log(event)

    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            become_subreaper()
            origin = Origin.here()
            code = run_attempt(spec, LEASE, store=store, origin=origin, clock=clock or SystemClock(), log=told)
            facts = [[event.event_type, dict(event.payload)] for event in logged]
            os.write(writing, json.dumps([[dump(result) for result in store.reported], facts]).encode())
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    results, facts = json.loads(text)
    return code, [load(AttemptResult, result) for result in results], facts


def in_a_runner(spec, monkeypatch, executor=None, **more):
    code, (result,), facts = life_of(spec, monkeypatch, executor, **more)
    assert (code, facts) == (0, [])
    return result


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")


@linux_only
def test_what_an_attempt_came_to_is_reported_whole(tmp_path, monkeypatch):
    outcome = Outcome(
        kind=OutcomeKind.NO_CHANGE_NEEDED,
        message="nothing to do",
        hint="look elsewhere",
        reset_at=datetime(2026, 6, 7, tzinfo=UTC),
        usage=Usage(input_tokens=1, output_tokens=2, cached_tokens=3),
        cost_usd=0.5,
        turns=4,
        model="m-1",
        session_id="s-1",
        exit_code=0,
        evidence={"a": [1, None]},
    )
    (tmp_path / "work").mkdir()
    spec = spec_in(
        tmp_path,
        workdir=str(tmp_path / "work"),
        workspace="repo",
        protected=("AGENTS.md",),
        verify=("touch verified",),
    )

    def act(context):
        (tmp_path / "work" / "made").touch()
        return outcome

    began = time.monotonic()
    result = in_a_runner(spec, monkeypatch, Acting(act), clock=JumpingClock([0, 1]))
    assert 0.2 <= result.duration_s <= time.monotonic() - began
    assert result.duration_s == round(result.duration_s, 3)
    (verdict,) = result.verdicts
    assert attrs.evolve(verdict, duration_s=0.0) == Verdict(name="touch verified", ok=True, exit_code=0)
    assert attrs.evolve(result, verdicts=(), duration_s=0.0) == AttemptResult(
        task_id="t",
        token=1,
        executor="x",
        outcome=outcome,
        started_at=datetime(2026, 6, 1, tzinfo=UTC),
        ended_at=datetime(2026, 6, 2, tzinfo=UTC),
        duration_s=0.0,
        verified=True,
        changed=("made",),
        violations=(),
        killed=0,
    )


@linux_only
def test_secrets_are_hidden_wherever_the_executor_puts_them(tmp_path, monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "correct-horse-battery")
    said = "correct-horse-battery"
    outcome = Outcome(
        kind=OutcomeKind.FAILED, message=said, hint=said, model=said, session_id=said, evidence={"a": [said]}
    )
    shown = in_a_runner(spec_in(tmp_path), monkeypatch, Acting(lambda context: outcome)).outcome
    for text in (shown.message, shown.hint, shown.model, shown.session_id, shown.evidence["a"][0]):
        assert text.startswith("[redacted:DEPLOY_TOKEN:")


@linux_only
def test_a_host_has_its_grace_after_its_last_word(tmp_path, monkeypatch):
    def act(context):
        def slowly(code):
            time.sleep(0.5)
            (tmp_path / "late").touch()
            leave(code)

        leave, os._exit = os._exit, slowly

    limits = Limits(linger_s=0.1, grace_s=30.0)
    result = in_a_runner(spec_in(tmp_path, limits=limits), monkeypatch, Acting(act))
    assert (result.outcome.kind, result.killed) == (OutcomeKind.SUCCEEDED, 0)
    assert (tmp_path / "late").exists()


@linux_only
@pytest.mark.parametrize("fault", [None, StorageError("full"), OSError(28, "full")], ids=repr)
def test_who_lost_the_lease_ends_everything_at_once_and_says_so(tmp_path, monkeypatch, capfd, fault):
    def log(event):
        if fault is not None:
            raise fault

    def act(context):
        signal.signal(signal.SIGTERM, lambda *_: (tmp_path / "asked").touch())
        time.sleep(1000)

    store = Store(renew=LeaseLostError("gone"))
    code, results, facts = life_of(spec_in(tmp_path, beat_s=0.5), monkeypatch, Acting(act), store=store, log=log)
    assert (code, results) == (LOST, [])
    assert facts == [["lease.stale", {"attempt": 1, "current": 2, "what": "beat"}]]
    assert "t.1: stopped: gone\n" in capfd.readouterr().err
    assert not (tmp_path / "asked").exists()


@linux_only
def test_a_result_that_comes_too_late_is_a_fact_too(tmp_path, monkeypatch):
    store = Store(report=LeaseLostError("gone"))
    code, results, facts = life_of(spec_in(tmp_path), monkeypatch, store=store)
    assert (code, results) == (LOST, [])
    assert facts == [["lease.stale", {"attempt": 1, "current": 2, "what": "result"}]]


# ---------------------------------------------------------------------- clocks that jump


class JumpingClock(SystemClock):
    """A wall clock that jumps at each look; the monotonic one is the machine's."""

    def __init__(self, jumps) -> None:
        self._jumps = itertools.cycle(jumps)

    def now(self):
        return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(days=next(self._jumps))


@linux_only
@pytest.mark.parametrize("jumps", [[0], [0, 3650], [0, -3650], [3650, -3650, 1, -1]], ids=str)
def test_a_wall_clock_that_jumps_neither_stops_nor_spares_anybody(tmp_path, monkeypatch, jumps):
    limits = Limits(deadline_s=60, idle_s=30, grace_s=1)
    result = in_a_runner(spec_in(tmp_path, limits=limits), monkeypatch, clock=JumpingClock(jumps))
    assert result.outcome.kind is OutcomeKind.SUCCEEDED
    assert 0.2 <= result.duration_s < 60
    short = spec_in(tmp_path, limits=Limits(deadline_s=0.01, grace_s=0.1))
    late = in_a_runner(short, monkeypatch, clock=JumpingClock(jumps))
    assert late.outcome.kind is OutcomeKind.TIMED_OUT
