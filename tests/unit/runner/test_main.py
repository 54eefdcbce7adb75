"""The launcher process: what it has ready for its runners, and how long it stays."""

from __future__ import annotations

import select
import socket
import subprocess
import sys

import attrs
import pytest

from autopilot.executors.contract import Progress
from autopilot.models import LeaseState, Usage
from autopilot.models.wire import dump, load, warm
from autopilot.runner.__main__ import _samples
from autopilot.runner.lines import LineReader
from tests.unit.models.values import LEASE, RESULT, SPEC

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
    """What a runner or its host reads or writes; a lease that has ended is no matter of theirs."""
    running = attrs.evolve(LEASE, state=LeaseState.STARTED, ending=None)
    progress = Progress(message="going", usage=Usage(input_tokens=1))
    return SPEC, running, RESULT, RESULT.outcome, *RESULT.verdicts, progress


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
