"""The unmodified program under wall clocks that are ten years off, beside a dispatcher whose clock is right."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autopilot.system.processes import ProcessIdentity, is_alive
from tests.process.runner_support import until

pytestmark = pytest.mark.skipif(
    shutil.which("faketime") is None, reason="needs faketime, of the Debian package of that name"
)

PROGRAM = [sys.executable, "-m", "autopilot.cli"]
WALL_ONLY = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}


class Place:
    """A root, and commands on it at any time."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / ".autopilot"
        self.root.mkdir(mode=0o700)
        (self.root / "config.yaml").write_text("durability: process\ndispatcher:\n  poll_s: 0.5\n")

    def do(self, *words: str, off: str = "") -> Any:
        before = ["faketime", "-f", off] if off else []
        done = subprocess.run(
            [*before, *PROGRAM, "--root", str(self.root), *words, "-o", "json"],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **WALL_ONLY},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout or "null")

    def lease(self, task_id: str) -> dict[str, Any]:
        try:
            return json.loads((self.root / "state" / "leases" / f"{task_id}.json").read_bytes())
        except FileNotFoundError:
            return {}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    command = [*PROGRAM, "--root", str(made.root), "dispatch", "run"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as dispatcher:
        yield made
        dispatcher.send_signal(signal.SIGTERM)
        dispatcher.wait(60)


def test_ten_years_change_no_owner_and_stop_no_task(place: Place) -> None:
    place.do("task", "create", "--id", "long", "--title", "long", "--command", "sleep 1000")
    until(lambda: place.lease("long").get("state") == "started", "the runner of the first dispatcher")
    owner = place.lease("long")["owner"]
    for number, off in enumerate(["+3650d", "-3650d"]):
        place.do("task", "create", "--id", f"quick-{number}", "--title", off, "--command", "true", off=off)
        place.do("dispatch", "tick", off=off)
        until(lambda number=number: place.do("task", "show", f"quick-{number}")["status"] == "done", "its end")
        assert place.lease("long")["owner"] == owner
        assert place.lease("long")["record"]["token"] == 1
        assert is_alive(ProcessIdentity(**owner))
    place.do("task", "cancel", "long", off="+3650d")
    until(lambda: place.do("task", "show", "long")["status"] == "cancelled", "the cancel")
    place.do("events", "verify")
    log = (place.root / "events" / "events.ndjson").read_text()
    for days in (3650, -3650):
        assert f'"timestamp":"{datetime.now(UTC) + timedelta(days=days):%Y-%m}' in log, "nobody's clock was off"
