"""The wheels, installed into an empty environment and used outside the checkout, as the README says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MEGABYTE = 1_000_000
DIRECT = {"attrs", "cattrs", "click", "pathspec", "platformdirs", "pluggy", "pyyaml", "rich"}
THEIRS = {"markdown-it-py", "mdurl", "pygments", "typing-extensions"}
"""What the direct ones need themselves."""


def size_of(folder: Path) -> int:
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not path.is_symlink()
    )


def installed(environment: Any) -> set[str]:
    listed = json.loads(environment.pip("list", "--format", "json"))
    return {row["name"].lower().replace("_", "-") for row in listed}


def test_core_and_local_adapter_install_small_and_run_the_quickstart(
    wheels: Path, environment: Callable[[], Any]
) -> None:
    env = environment()
    site = next((env.folder / "lib").glob("python*/site-packages"))
    before, packages = size_of(env.folder), installed(env)
    env.pip("install", "--find-links", str(wheels), "autopilot-core[local]")
    added = size_of(env.folder) - before
    assert added < 16 * MEGABYTE, f"{added / MEGABYTE:.1f} MB in {site}"
    assert installed(env) - packages == {"autopilot-core", "autopilot-adapter-local"} | DIRECT | THEIRS & (
        installed(env) - packages
    )

    assert env.ctl(
        "task", "create", "--id", "hello", "--title", "Say hello", "--command", "echo hello > hello.txt"
    ) == ("hello\n")
    env.ctl(
        "task",
        "create",
        "--id",
        "check",
        "--title",
        "Check it",
        "--command",
        "grep hello hello.txt",
        "--depends-on",
        "hello",
    )
    listed = json.loads(env.ctl("task", "list", "-o", "json"))
    assert [(task["id"], task["status"]) for task in listed] == [("check", "pending"), ("hello", "pending")]
    (row,) = json.loads(env.ctl("dispatch", "tick", "-o", "json"))
    assert (row["task_id"], row["executor"], row["outcome"]) == ("hello", "local", "succeeded")
    assert (env.work / "hello.txt").read_text() == "hello\n"
    (row,) = json.loads(env.ctl("dispatch", "tick", "-o", "json"))
    assert (row["task_id"], row["outcome"]) == ("check", "succeeded")
    trail = [json.loads(line) for line in env.ctl("events", "tail", "-n", "50", "-o", "ndjson").splitlines()]
    assert [event["event_type"] for event in trail if event["trace_id"] == "check"][-1] == "task.done"
    env.ctl("events", "verify")
    assert "done" in env.ctl("why", "check")

    (local,) = json.loads(env.ctl("executors", "list", "-o", "json"))
    assert (local["name"], local["plugin"], local["healthy"]) == ("local", "local", True)
    plugins = {row["name"]: row for row in json.loads(env.ctl("plugins", "list", "-o", "json"))}
    assert (plugins["local"]["distribution"], plugins["local"]["status"]) == ("autopilot-adapter-local", "loaded")


def test_the_core_alone_says_which_package_to_install(wheels: Path, environment: Callable[[], Any]) -> None:
    env = environment()
    env.pip("install", "--find-links", str(wheels), "autopilot-core")
    env.ctl("task", "create", "--id", "hello", "--title", "Say hello", "--command", "echo hello")
    assert json.loads(env.ctl("dispatch", "tick", "-o", "json")) == []
    assert "autopilot-core[local]" in env.ctl("why", "hello")
    assert json.loads(env.ctl("executors", "list", "-o", "json")) == []


@pytest.mark.parametrize(
    ("adapter", "executor"),
    [("claude", "claude-code"), ("codex", "codex"), ("kimi", "kimi"), ("openclaw", "openclaw")],
)
def test_one_adapter_brings_its_executor_and_nothing_else(
    wheels: Path, environment: Callable[[], Any], adapter: str, executor: str
) -> None:
    if not list(wheels.glob(f"autopilot_adapter_{adapter}-*.whl")):
        pytest.fail(f"there is no wheel of autopilot-adapter-{adapter}")
    env = environment()
    env.pip("install", "--find-links", str(wheels), "autopilot-core", f"autopilot-adapter-{adapter}")
    (row,) = json.loads(env.ctl("executors", "list", "-o", "json"))
    assert row["name"] == executor
    assert row["healthy"] or row["hint"], "an executor that cannot be used says how to mend it"
