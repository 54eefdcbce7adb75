"""Dispatchers in other namespaces than the runner, for real: they must neither take its task nor touch it.

Each looks at one lease of a living runner through the whole of ``Control``, and tells its verdict and what
``reconcile`` did.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from autopilot.system.processes import host_id, identify, is_alive
from tests.process.runner_support import Arena, arena

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's"),
]

LOOK = """
import json, sys
from autopilot.config.root import Root
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.tick import Dispatcher
from autopilot.system.processes import identify

control = Control.open(Root(sys.argv[1]))
lease = control.store.lease(sys.argv[2])
verdict = control.lease_verdict(lease)
Dispatcher(control).tick()
now = control.store.lease(sys.argv[2])
print(json.dumps({"verdict": verdict, "token": now.token, "pid": now.owner.pid, "host": identify().host}))
"""

DAY_S = 86400
ELSEWHERE = {
    "another clock": ["--time", "--fork", "--monotonic", str(DAY_S), "--boottime", str(DAY_S)],
    "an earlier clock": ["--time", "--fork", "--monotonic", "-100", "--boottime", "-100"],
    "other pids": ["--pid", "--fork", "--mount-proc"],
    "other pids and another clock": ["--pid", "--fork", "--mount-proc", "--time", "--boottime", str(DAY_S)],
}


def unshared(flags: list[str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["unshare", *flags, *command], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    with arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_dispatcher_elsewhere_leaves_a_living_runner_alone(place: Arena, where: str) -> None:
    flags = ELSEWHERE[where]
    tried = unshared(flags, "true")
    if tried.returncode:
        pytest.skip(f"unshare {' '.join(flags)}: {tried.stderr.strip()}")
    place.fresh()
    runner = place.started(place.start("import time; time.sleep(1000)")).owner
    said = unshared(flags, sys.executable, "-c", LOOK, str(place.root), place.task_id)
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    assert told == {"verdict": "unknown", "token": 1, "pid": runner.pid, "host": host_id()}
    assert is_alive(runner)
    place.calm()


def test_another_host_name_is_the_same_machine() -> None:
    tried = unshared(["--uts"], "true")
    if tried.returncode:
        pytest.skip(f"unshare --uts: {tried.stderr.strip()}")
    code = "from autopilot.system.processes import *; import socket; print(socket.gethostname(), identify().host)"
    said = unshared(["--uts"], "sh", "-c", 'hostname elsewhere; exec "$0" -c "$1"', sys.executable, code)
    assert said.stdout.split() == ["elsewhere", identify().host], said.stderr
    assert os.uname().nodename != "elsewhere"
