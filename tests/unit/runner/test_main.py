"""The launcher process: what it has ready for its runners, and how long it stays."""

from __future__ import annotations

import select
import socket
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from autopilot.executors.contract import Progress
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Event,
    Lease,
    LeaseState,
    Outcome,
    OutcomeKind,
    PluginRef,
    Reason,
    TaskRecord,
    Usage,
    Verdict,
)
from autopilot.models.wire import dump, load, warm
from autopilot.runner.__main__ import _samples
from autopilot.runner.lines import LineReader
from autopilot.system.processes import identify

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")


def test_it_serves_until_the_dispatcher_is_gone(tmp_path):
    ours, theirs = socket.socketpair()
    argv = [sys.executable, "-m", "autopilot.runner", str(tmp_path), str(theirs.fileno())]
    with ours, subprocess.Popen(argv, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        ours.sendall(b"{}\n")
        assert select.select([ours], [], [], 60)[0]
        (answer,) = LineReader(ours.fileno(), limit=10_000).read()
        assert "makes no sense" in answer["refused"]
        ours.close()
        assert process.wait(60) == 0


def values():
    """One of everything that crosses between the processes of an attempt."""
    now, me = datetime.now(UTC), identify()
    ref = PluginRef(name="x", value="y")
    usage = Usage(input_tokens=1)
    outcome = Outcome(
        kind=OutcomeKind.FAILED, reset_at=now, usage=usage, evidence={"a": [1, {"b": [None]}], "c": {"d": 2}}
    )
    verdict = Verdict(name="true", ok=True, exit_code=0)
    record = TaskRecord(task_id="t", token=1, not_before=now, reason=Reason(code="x", message="y"))
    yield AttemptSpec(
        root="/r",
        store_url="file:",
        task_id="t",
        token=1,
        task_text="",
        executor="x",
        executor_plugin=ref,
        workdir="/w",
        run_dir="/r/runs/t/1",
        verify=("true",),
        prompt_plugins=(ref,),
        verify_plugins=(ref,),
        store_plugin=ref,
        executor_options={"a": 1},
        environment_values={"A": "1"},
    )
    yield Lease(
        record=record,
        state=LeaseState.STARTED,
        executor="x",
        owner=me,
        guardian=me,
        claimed_at=now,
        beat=0.0,
        ttl_s=30.0,
        outbox=(Event(id="e", event_type="task.created", timestamp="2026-01-01T00:00:00Z"),),
    )
    yield AttemptResult(
        task_id="t",
        token=1,
        executor="x",
        outcome=outcome,
        started_at=now,
        ended_at=now,
        duration_s=1.0,
        verdicts=(verdict,),
        changed=("a",),
    )
    yield from (outcome, verdict, Progress(message="going", usage=usage))


def generated() -> list[str]:
    """What is compiled for these values once the launcher has made itself ready."""
    warm(*_samples())
    compiled = []
    sys.addaudithook(lambda event, args: compiled.append(args[1]) if event == "compile" else None)
    for value in values():
        assert load(type(value), dump(value)) == value
    return compiled


def test_nothing_is_left_to_generate_for_a_runner():
    """The code that reads and writes a class is made at the first use, which would be each runner's own."""
    script = "from tests.unit.runner.test_main import generated; print(generated())"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"
