"""A dispatcher is killed while an attempt runs; the next tick adopts the attempt and does not repeat it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def ctl(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "autopilot.cli", "--root", str(root), *words]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL, check=False
    )


def ctl_json(root: Path, *words: str) -> Any:
    done = ctl(root, *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / ".autopilot"
    (folder / "tasks").mkdir(parents=True, mode=0o700)
    return folder


def test_a_long_attempt_outlives_its_dispatcher_and_is_adopted(root: Path) -> None:
    log, go = root.parent / "exec.log", root.parent / "go"
    command = f"echo start >> {log}; until [ -e {go} ]; do sleep 0.05; done; echo end >> {log}"
    assert ctl(root, "task", "create", "--id", "long", "--title", "Long", "--command", command).returncode == 0

    dispatcher = subprocess.Popen(
        [sys.executable, "-m", "autopilot.cli", "--root", str(root), "dispatch", "tick"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until(log.exists, "the attempt to start")
    dispatcher.kill()
    dispatcher.wait()

    assert ctl_json(root, "dispatch", "tick", "--no-wait") == []
    (task,) = ctl_json(root, "task", "list")
    assert (task["status"], task["attempt"]) == ("in_progress", 1)
    assert "running on local" in ctl(root, "why", "long").stdout

    go.touch()
    until(lambda: (root / "runs" / "long" / "1" / "result.json").exists(), "the runner's report")
    ctl_json(root, "dispatch", "tick")
    (task,) = ctl_json(root, "task", "list")
    assert (task["status"], task["attempt"], task["result"]["outcome"]) == ("done", 1, "succeeded")
    assert log.read_text().split() == ["start", "end"], "the attempt was run again"


def test_a_tick_that_does_not_wait_leaves_its_attempts_to_their_runners(root: Path) -> None:
    ctl(root, "task", "create", "--id", "quick", "--title", "Quick", "--command", "echo done > quick.txt")
    (row,) = ctl_json(root, "dispatch", "tick", "--no-wait")
    assert (row["task_id"], row["outcome"]) == ("quick", None)
    until(lambda: (root / "runs" / "quick" / "1" / "result.json").exists(), "the runner's report")
    ctl_json(root, "dispatch", "tick")
    assert ctl_json(root, "task", "show", "quick")["status"] == "done"


def test_files_that_an_attempt_makes_are_the_users_own(root: Path) -> None:
    ctl(
        root,
        "task",
        "create",
        "--id",
        "make",
        "--title",
        "Make",
        "--command",
        "echo data > made.txt; umask > umask.txt",
    )
    ctl_json(root, "dispatch", "tick")
    mine = os.umask(0o022)
    os.umask(mine)
    assert int((root.parent / "umask.txt").read_text(), 8) == mine
    assert (root.parent / "made.txt").stat().st_mode & 0o777 == 0o666 & ~mine


def test_a_cancel_ends_every_process_of_the_attempt(root: Path) -> None:
    pids = root.parent / "pids"
    command = f"trap '' TERM; (trap '' TERM; setsid sleep 600 & echo $! >> {pids}; wait) & echo $$ >> {pids}; wait"
    (root / "config.yaml").write_text("limits:\n  grace_s: 1\n")
    ctl(root, "task", "create", "--id", "stubborn", "--title", "Stubborn", "--command", command)
    ctl_json(root, "dispatch", "tick", "--no-wait")
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2, "the processes")
    assert ctl(root, "task", "cancel", "stubborn").returncode == 0
    until(lambda: (root / "runs" / "stubborn" / "1" / "result.json").exists(), "the runner's report")
    ctl_json(root, "dispatch", "tick")
    assert ctl_json(root, "task", "show", "stubborn")["status"] == "cancelled"
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
