"""A runner in this very process, for what cannot be brought about from outside."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from autopilot.models import AttemptSpec, Lease, LeaseSignal, LeaseState, OutcomeKind, PluginRef, TaskRecord
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
    spec = AttemptSpec(
        root=str(tmp_path),
        store_url="file:",
        task_id="t",
        token=1,
        task_text="",
        executor="x",
        executor_plugin=PluginRef(name="x", value="x"),
        workdir=str(tmp_path),
        run_dir=str(tmp_path / "runs" / "t" / "1"),
        verify=("true",),
    )
    lease = Lease(
        record=TaskRecord(task_id="t", token=1),
        state=LeaseState.CLAIMED,
        executor="x",
        owner=identify(),
        claimed_at=datetime.now(UTC),
        beat=0.0,
        ttl_s=30.0,
    )
    store = Store()
    assert run_attempt(spec, lease, store=store, guardian=None, clock=SystemClock()) == 0
    (result,) = store.reported
    assert result.outcome.kind is OutcomeKind.UNAVAILABLE
    assert "Resource temporarily unavailable" in result.outcome.message
    assert result.verified is None
    (event,) = store.events
    assert event.event_type == "attempt.started"
    assert (event.payload["attempt"], event.payload["executor"], event.payload["pid"]) == (1, "x", os.getpid())
