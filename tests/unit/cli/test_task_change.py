"""``task edit``, ``cancel``, ``retry`` and ``wait``, where nothing runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.cli.task.assign import assignments
from autopilot.errors import UsageError
from autopilot.taskfile import parse

Cli = Callable[..., Any]
Write = Callable[[str, str], Path]

TEXT = "---\n# a comment\ntitle: T   # another\npriority: low\nmood: good\n---\nbody"


def test_set_changes_only_those_bytes(cli: Cli, write_task: Write) -> None:
    path = write_task("a", TEXT)
    said = cli("task", "edit", "a", "--set", "priority=high", "--set", "tags=x, z", "-o", "json")
    assert (said.code, said.data[0]["priority"]) == (0, "high")
    assert path.read_text() == TEXT.replace("low", "high").replace("good\n", "good\ntags: [x, z]\n")


def test_unset(cli: Cli, write_task: Write) -> None:
    path = write_task("a", TEXT)
    assert cli("task", "edit", "a", "--unset", "mood", "--unset", "missing").code == 0
    assert path.read_text() == TEXT.replace("mood: good\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--set", "priority=hgh"],
        ["--set", "priority"],
        ["--set", "=high"],
        ["--set", "status=done"],
        ["--set", "attempt=9"],
        ["--set", "id=b"],
        ["--set", "schema=9"],
        ["--unset", "schema"],
        ["--unset", "result"],
        ["--set", "body=x"],
        ["--set", "tags=[x"],
        ["--set", "tags=[[x]]"],
        ["--set", "max_attempts=many"],
        [],
    ],
    ids=str,
)
def test_bad_values_are_usage_and_change_nothing(cli: Cli, write_task: Write, arguments: list[str]) -> None:
    path = write_task("a", TEXT)
    assert cli("task", "edit", "a", *arguments).code == 2
    assert path.read_text() == TEXT


def test_a_key_that_no_task_has_is_kept_and_told(cli: Cli, write_task: Write) -> None:
    path = write_task("a", TEXT)
    said = cli("task", "edit", "a", "--set", "boddy=x", "--set", "a b=foo", "--set", "title=U", "--unset", "mood")
    assert said.code == 0
    assert said.err.splitlines() == [
        "`boddy` is no key of a task, and is kept for plugins; did you mean body?",
        "`a b` is no key of a task, and is kept for plugins",
    ]
    assert "boddy: x\na b: foo\n" in path.read_text()


def test_a_broken_file_is_5(cli: Cli, write_task: Write) -> None:
    write_task("a", TEXT.replace("low", "hgh"))
    said = cli("task", "edit", "a", "--set", "title=U")
    assert said.code == 5
    assert "a.md:" in said.err


def test_assignments() -> None:
    assert assignments(
        ["title=a=b", "tags=[a, 'b, c']", "depends_on=x,y", "command=[make, test]", "verify=make", "own=1.10"],
        ["model"],
    ) == {
        "title": "a=b",
        "tags": ["a", "b, c"],
        "depends_on": ["x", "y"],
        "command": ["make", "test"],
        "verify": ["make"],
        "own": "1.10",
        "model": None,
    }
    with pytest.raises(UsageError):
        assignments(["no"], [])


def test_cancel_and_retry(cli: Cli, write_task: Write) -> None:
    path = write_task("a", TEXT)
    assert cli("task", "cancel", "a", "-o", "json").data == [{"task_id": "a", "cancel": "cancelled"}]
    assert parse(path.read_bytes(), expected_id="a").status == "cancelled"
    assert cli("task", "cancel", "a").code == 2
    said = cli("task", "retry", "a", "-o", "json")
    assert (said.code, said.error["code"]) == (2, "transition_refused")
    assert "--force" in said.error["hint"]
    assert cli("task", "retry", "a", "--force", "-o", "json").data[0]["status"] == "pending"
    assert parse(path.read_bytes(), expected_id="a").status == "pending"


def test_several_at_once(cli: Cli, write_task: Write) -> None:
    for task_id in "ab":
        write_task(task_id, TEXT)
    assert cli("task", "cancel", "a", "b", "--wait").out.count("cancelled") == 2
    assert cli("task", "cancel", "a", "zzz").code == 3


@pytest.mark.parametrize("command", [["cancel"], ["cancel", "--wait"], ["retry", "--force"]], ids=str)
def test_one_that_cannot_does_not_stop_the_others(cli: Cli, write_task: Write, command: list[str]) -> None:
    for task_id in ("x1", "x2"):
        write_task(task_id, "---\ntitle: T\nnot_before: 2999-01-01T00:00:00Z\n---\n")
    write_task("a", "---\ntitle: T\nschema: 9\n---\n")
    write_task("b", "---\ntitle: T\nstatus: " + ("done" if "cancel" in command else "pending") + "\n---\n")
    said = cli("task", *command, "x1", "a", "b", "x2", "x1", "-o", "name")
    assert said.out == "x1\nx2\n"
    assert said.code == 5
    first, second = (line for line in said.err.splitlines() if line.startswith("error: "))
    assert "format 9" in first
    assert "task b is" in second


def test_unknown_ids_are_told_before_anything_is_done(cli: Cli, write_task: Write) -> None:
    path = write_task("a", TEXT)
    assert cli("task", "cancel", "a", "zzz").code == 3
    assert path.read_text() == TEXT


def test_each_fault_is_an_object_in_json(cli: Cli, write_task: Write) -> None:
    for task_id in "ab":
        write_task(task_id, "---\ntitle: T\nstatus: done\n---\n")
    said = cli("task", "cancel", "a", "b", "-o", "json")
    assert (said.code, said.data) == (2, [])
    assert [json.loads(line)["error"]["code"] for line in said.err.splitlines()] == ["transition_refused"] * 2


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("---\ntitle: T\nstatus: done\n---\n", 0),
        ("---\ntitle: T\nstatus: blocked\n---\n", 1),
        ("---\ntitle: T\nstatus: cancelled\n---\n", 1),
        ("---\ntitle: T\npriority: hgh\n---\n", 1),
        ("---\ntitle: T\n---\n", 124),
    ],
)
def test_wait(cli: Cli, write_task: Write, text: str, code: int) -> None:
    write_task("a", text)
    said = cli("task", "wait", "a", "--timeout", "0.2", "-o", "json")
    assert said.code == code
    assert said.data[0]["id"] == "a"
    if code == 124:
        assert said.error["code"] == "timeout"
        assert "why a" in said.error["hint"]


def test_wait_says_what_it_waits_for(cli: Cli, write_task: Write) -> None:
    write_task("a", "---\ntitle: T\n---\n")
    write_task("b", "---\ntitle: T\n---\n")
    assert "waiting for a: pending" in cli("task", "wait", "a", "--timeout", "0.1").err
    assert "waiting for 2 tasks: 2 pending" in cli("task", "wait", "a", "b", "--timeout", "0.1").err


def test_logs_before_the_first_attempt(cli: Cli, write_task: Write) -> None:
    write_task("a", "---\ntitle: T\n---\n")
    said = cli("task", "logs", "a")
    assert said.code == 3
    assert "why a" in said.err
