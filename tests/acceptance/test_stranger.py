"""A stranger's executor package: installed by pip, listed, chosen by the router, run, and conformant."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "third-party-executor"


def test_a_strangers_executor_works_from_its_wheel(wheels: Path, environment: Callable[[], Any]) -> None:
    env = environment()
    env.pip("install", "--find-links", str(wheels), "autopilot-core[local,testing]", "acme-autopilot-scribe[test]")

    rows = {row["name"]: row for row in json.loads(env.ctl("executors", "list", "-o", "json"))}
    assert set(rows) == {"local", "scribe"}
    assert rows["scribe"]["plugin"] == "acme-scribe"
    assert rows["scribe"]["healthy"] is True, rows["scribe"]

    env.ctl("task", "create", "--id", "milk", "--title", "Remember the milk", "--type", "notes")
    (row,) = json.loads(env.ctl("dispatch", "tick", "-o", "json"))
    assert (row["task_id"], row["executor"], row["outcome"]) == ("milk", "scribe", "succeeded")
    assert "Remember the milk" in (env.work / "NOTES.md").read_text()
    task = json.loads(env.ctl("task", "show", "milk", "-o", "json"))
    assert (task["status"], task["result"]["executor"]) == ("done", "scribe")

    shutil.copytree(EXAMPLE / "tests", env.work / "tests")
    done = env.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert " passed" in done.stdout
