"""The command line with real attempts: dispatch, wait, cancel, retry, logs, and what they print."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Program = Any
Until = Callable[[Callable[[], object], str], None]

pytest.importorskip("autopilot_adapter_local", reason="the local adapter does the work here")


def test_from_create_to_done(program: Program) -> None:
    program.task("hello", "echo hello; echo oops >&2", "--verify", "true")
    rows = program("dispatch", "tick", "-o", "json").data
    assert [set(row) for row in rows] == [{"task_id", "executor", "attempt", "confidence", "reason", "outcome"}]
    assert (rows[0]["task_id"], rows[0]["executor"], rows[0]["attempt"]) == ("hello", "local", 1)
    assert rows[0]["outcome"] == "succeeded"
    assert 0 < rows[0]["confidence"] < 1
    shown = program("task", "show", "hello", "-o", "json").data
    assert (shown["status"], shown["attempt"], shown["result"]["verified"]) == ("done", 1, True)
    assert [one["outcome"] for one in shown["attempts"]] == ["succeeded"]
    assert program("task", "logs", "hello").out == "hello\n"
    assert program("task", "logs", "hello", "--stderr").out == "oops\n"
    assert program("task", "wait", "hello").code == 0
    assert program("events", "verify").code == 0
    types = [row["event_type"] for row in program("events", "tail", "--task", "hello", "-o", "json").data]
    assert types[0] == "task.created"
    assert types[-1] == "task.done"
    assert {"dispatch.decision", "attempt.started", "dispatch.result"} <= set(types)


def test_an_unverified_task_is_shown_so(program: Program) -> None:
    program.task("a", "true")
    program("dispatch", "tick")
    assert program("task", "list", "-o", "json").data[0]["result"]["verified"] is False
    assert "done (unverified)" in program("task", "list").out


def test_a_failing_task_is_blocked_in_the_end(program: Program) -> None:
    program.task("a", "exit 3", "--max-attempts", "2")
    for attempt in (1, 2):
        said = program("dispatch", "tick", "-o", "json")
        assert (said.code, said.data[0]["outcome"], said.data[0]["attempt"]) == (0, "failed", attempt)
    row = program("task", "list", "-o", "json").data[0]
    assert (row["status"], row["reason"]["code"]) == ("blocked", "attempts_exhausted")
    assert row["reason"]["hint"]
    assert program("task", "wait", "a").code == 1
    assert program("dispatch", "tick", "-o", "json").data == []
    assert program("task", "retry", "a", "-o", "json").data[0]["status"] == "pending"
    assert program("dispatch", "tick", "-o", "json").data[0]["attempt"] == 3


def test_a_dry_run_changes_nothing(program: Program) -> None:
    program.task("a", "true")
    path = program.root / "tasks" / "a.md"
    before = path.read_bytes()
    rows = program("dispatch", "tick", "--dry-run", "-o", "json").data
    assert [(row["task_id"], row["outcome"]) for row in rows] == [("a", None)]
    assert path.read_bytes() == before
    assert [row["event_type"] for row in program("events", "tail", "-o", "json").data] == ["task.created"]


def test_not_waiting_leaves_it_to_a_later_tick(program: Program, until: Until) -> None:
    program.task("a", "echo done")
    rows = program("dispatch", "tick", "--no-wait", "-o", "json").data
    assert rows[0]["outcome"] is None
    until((program.root / "runs" / "a" / "1" / "result.json").exists, "the runner reports")
    said = program("dispatch", "tick")
    assert "a attempt 1 succeeded, now done" in said.err
    assert program.status("a") == "done"


def test_waiting_adopts_what_no_dispatcher_does(program: Program) -> None:
    program.task("a", "true")
    program("dispatch", "tick", "--no-wait")
    said = program("task", "wait", "a", "--timeout", "120", "-o", "json")
    assert (said.code, said.data[0]["status"]) == (0, "done")


def test_cancelling_a_running_task(program: Program) -> None:
    program.task("a", "echo $$ > pid; sleep 600")
    program("dispatch", "tick", "--no-wait")
    said = program("task", "cancel", "a", "--wait", "--timeout", "120", "-o", "json")
    assert (said.code, said.data) == (0, [{"task_id": "a", "cancel": "requested"}])
    assert program.status("a") == "cancelled"


def test_following_the_log_of_a_running_attempt(program: Program, until: Until) -> None:
    program.task("a", "echo one; while [ ! -e go ]; do sleep 0.1; done; printf 'two \\033[31m\\n'")
    program("dispatch", "tick", "--no-wait")
    child = program.start("task", "logs", "a", "-f")
    assert child.stdout.readline() == "one\n"
    (program.folder / "go").touch()
    assert child.stdout.readline() == "two \\x1b[31m\n"
    assert child.wait(timeout=120) == 0
    assert program("task", "logs", "a", "--raw").out == "one\ntwo \x1b[31m\n"
    assert program("task", "logs", "a", "--attempt", "7").code == 3


def test_at_most_so_many_at_once(program: Program) -> None:
    for task_id in ("a", "b", "c"):
        program.task(task_id, "true")
    assert len(program("dispatch", "tick", "--max-active", "2", "-o", "json").data) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_running_for_ever_ends_politely(program: Program, until: Until, number: int) -> None:
    program.task("first", "true")
    child = program.start("dispatch", "run")
    until(lambda: program.status("first") == "done", "the dispatcher does the first task")
    program.task("long", "echo started; while [ ! -e go ]; do sleep 0.1; done; echo ended")
    until((program.root / "runs" / "long" / "1" / "stdout.log").exists, "the second one starts")
    child.send_signal(number)
    assert child.wait(timeout=120) == 0
    assert program.status("long") == "in_progress"
    (program.folder / "go").touch()
    assert program("task", "wait", "long", "--timeout", "120").code == 0
    assert program("task", "logs", "long").out == "started\nended\n"


def test_an_interrupted_tick_leaves_the_agents_alone(program: Program, until: Until) -> None:
    program.task("a", "echo started; while [ ! -e go ]; do sleep 0.1; done")
    child = program.start("dispatch", "tick", "-o", "json")
    until((program.root / "runs" / "a" / "1" / "stdout.log").exists, "the attempt starts")
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert program.status("a") == "in_progress"
    (program.folder / "go").touch()
    assert program("task", "wait", "a", "--timeout", "120").code == 0


def test_figures_and_executors(program: Program) -> None:
    program.task("a", "true", "--type", "chore")
    program("dispatch", "tick")
    stats = program("stats", "-o", "json").data
    assert stats["tasks"] == {"done": 1}
    assert [(row["executor"], row["task_type"]) for row in stats["executors"]] == [("local", "chore")]
    assert "chore" in program("stats").out
    (row,) = (row for row in program("executors", "list", "-o", "json").data if row["name"] == "local")
    keys = {"name", "plugin", "capabilities", "healthy", "reason", "running", "slots", "cooldown_until"}
    assert keys <= set(row)
    assert (row["healthy"], row["running"], row["capabilities"]) == (True, 0, ["shell"])
    (row,) = (row for row in program("plugins", "list", "-o", "json").data if row["name"] == "local")
    assert set(row) == {"name", "distribution", "version", "status", "reason", "hooks"}
    assert (row["distribution"], row["status"]) == ("autopilot-adapter-local", "loaded")
    assert row["hooks"] == ["autopilot_executors"]
    probed = program("executors", "probe", "local", "-o", "json")
    assert (probed.code, probed.data[0]["healthy"]) == (0, True)
    assert program("executors", "probe", "nobody").code == 3
    assert program("executors", "reset", "local").code == 0
    assert program("executors", "reset", "nobody").code == 3


def test_a_prose_task_waits_and_says_for_what(program: Program) -> None:
    program("task", "create", "--id", "prose", "--title", "Think hard")
    assert program("dispatch", "tick", "-o", "json").data == []
    answer = program("why", "prose", "-o", "json").data
    assert (answer["status"], answer["runnable"]) == ("pending", False)
    assert any(not gate["ok"] and gate["hint"] for gate in answer["gates"])
    assert "local" in [one["executor"] for one in answer["candidates"]]
    assert "NO" in program("why", "prose").out


def test_nothing_reads_beyond_the_work_tree(program: Program, tmp_path: Path) -> None:
    """Every command works from a folder below, on the same root."""
    program.task("a", "pwd")
    below = program.folder / "deep" / "down"
    below.mkdir(parents=True)
    program.folder = below
    assert program("dispatch", "tick", "-o", "json").data[0]["outcome"] == "succeeded"
    assert program("task", "logs", "a").out.strip() == str(tmp_path / "project")
