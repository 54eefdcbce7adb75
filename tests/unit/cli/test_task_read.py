"""``task list``, ``show``, ``status``, ``why``, and ids as people type them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
Write = Callable[[str, str], Path]

LISTED = {"id", "title", "status", "priority", "executor", "task_type", "attempt", "result", "reason"}


@pytest.fixture
def queue(cli: Cli, write_task: Write) -> None:
    write_task("a-low", "---\ntitle: A\npriority: low\ntags: [x, y]\ncreated_at: 2026-01-01T00:00:00Z\n---\n")
    write_task(
        "b-high",
        "---\ntitle: B\npriority: high\ntags: [x]\nexecutor: local\ncreated_at: 2026-01-01T00:00:01Z\n---\n",
    )
    write_task("c-done", "---\ntitle: C\nstatus: done\ntask_type: docs\n---\n")
    write_task("d-bad", "---\ntitle: D\npriority: hgh\n---\n")


@pytest.mark.usefixtures("queue")
class TestList:
    def test_the_shape_of_json(self, cli: Cli) -> None:
        rows = cli("task", "list", "-o", "json").data
        assert [row["id"] for row in rows] == ["a-low", "b-high", "c-done", "d-bad"]
        assert all(LISTED <= set(row) for row in rows)
        assert rows[0]["reason"] is None
        assert rows[0]["result"] is None

    def test_an_invalid_file_is_listed_with_its_place(self, cli: Cli) -> None:
        row = cli("task", "list", "--status", "invalid", "-o", "json").data[0]
        assert (row["id"], row["status"]) == ("d-bad", "invalid")
        assert set(row["reason"]) == {"code", "message", "hint"}
        assert (row["line"], row["reason"]["code"]) == (3, "task_invalid")
        assert "line 3" in row["reason"]["message"]

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--status", "pending"], "a-low b-high"),
            (["--status", "pending", "--status", "done"], "a-low b-high c-done"),
            (["--tag", "x"], "a-low b-high"),
            (["--tag", "x", "--tag", "y"], "a-low"),
            (["--executor", "local"], "b-high"),
            (["--type", "docs"], "c-done"),
            (["--priority", "low"], "a-low"),
            (["--status", "blocked"], ""),
            (["--sort", "dispatch"], "b-high a-low c-done d-bad"),
        ],
        ids=str,
    )
    def test_filters_and_order(self, cli: Cli, arguments: list[str], expected: str) -> None:
        assert cli("task", "list", "-o", "name", *arguments).out.split() == expected.split()

    def test_ndjson(self, cli: Cli) -> None:
        rows = [json.loads(line) for line in cli("task", "list", "-o", "ndjson").out.splitlines()]
        assert rows == cli("task", "list", "-o", "json").data

    def test_the_table(self, cli: Cli) -> None:
        lines = cli("task", "list").out.splitlines()
        assert lines[0].split() == ["ID", "STATUS", "PRIORITY", "TYPE", "EXECUTOR", "TRY", "TITLE"]
        assert lines[2].split() == ["b-high", "pending", "high", "general", "local", "B"]
        assert "hgh" in lines[4]

    def test_the_option_may_stand_in_front(self, cli: Cli) -> None:
        assert cli("-o", "name", "task", "list").out == cli("task", "list", "-o", "name").out

    def test_status_counts(self, cli: Cli) -> None:
        counts = {row["status"]: row["count"] for row in cli("task", "status", "-o", "json").data}
        assert counts == {"pending": 2, "done": 1, "invalid": 1}

    def test_show_of_an_invalid_file(self, cli: Cli) -> None:
        row = cli("task", "show", "d-bad", "-o", "json").data
        assert row["status"] == "invalid"
        assert {"body", "attempts"} <= set(row)


def test_show(cli: Cli, write_task: Write) -> None:
    write_task(
        "a",
        "---\ntitle: 'A \x7f'\nverify: [make test]\nmood: good\n---\n\nDo it.\n\x1b[31mNow.\n".replace(
            "\x1b", ""
        ).replace("\x7f", ""),
    )
    row = cli("task", "show", "a", "-o", "json").data
    assert LISTED | {"body", "attempts"} <= set(row)
    assert row["body"] == "Do it.\n[31mNow.\n"
    assert row["verify"] == ["make test"]
    assert row["extra"] == {"mood": "good"}
    assert row["attempts"] == []
    out = cli("task", "show", "a").out
    assert "verify:" in out
    assert "Do it." in out


def test_a_short_status(cli: Cli, write_task: Write) -> None:
    write_task("a", "---\ntitle: A\nstatus: blocked\n---\n")
    row = cli("task", "status", "a", "-o", "json").data
    assert row["reason"]["code"] == "blocked_by_hand"
    assert row["reason"]["hint"].endswith("task retry a")
    assert "blocked" in cli("task", "status", "a").out


@pytest.mark.usefixtures("queue")
class TestIds:
    def test_a_beginning_that_only_one_has(self, cli: Cli) -> None:
        assert cli("task", "show", "b", "-o", "json").data["id"] == "b-high"

    def test_a_whole_id_wins_over_longer_ones(self, cli: Cli, write_task: Write) -> None:
        write_task("b-high-2", "---\ntitle: B2\n---\n")
        assert cli("task", "show", "b-high", "-o", "json").data["id"] == "b-high"

    def test_one_that_several_have(self, cli: Cli, write_task: Write) -> None:
        write_task("b-2", "---\ntitle: B2\n---\n")
        said = cli("task", "show", "b-", "-o", "json")
        assert (said.code, said.error["code"]) == (2, "ambiguous")
        assert "b-2, b-high" in said.error["message"]

    @pytest.mark.parametrize("wanted", ["zzz", "", "../x", "B-HIGH", "b-higher"])
    def test_one_that_nobody_has(self, cli: Cli, wanted: str) -> None:
        said = cli("task", "show", wanted, "-o", "json")
        assert (said.code, said.error["code"]) == (3, "not_found")

    @pytest.mark.parametrize(
        "command",
        ["task why", "why", "task logs", "task wait", "task cancel", "task retry", "task edit", "route explain"],
    )
    def test_every_command_says_not_found(self, cli: Cli, command: str) -> None:
        assert cli(*command.split(), "zzz").code == 3

    def test_the_nearest_is_proposed(self, cli: Cli) -> None:
        assert "b-high" in cli("task", "show", "b_high").err


@pytest.mark.usefixtures("queue")
class TestWhy:
    @pytest.mark.parametrize("task_id", ["a-low", "b-high", "c-done", "d-bad"])
    def test_the_shape_of_json(self, cli: Cli, task_id: str) -> None:
        answer = cli("why", task_id, "-o", "json").data
        assert {"task_id", "status", "runnable", "gates", "candidates"} <= set(answer)
        assert all({"name", "ok", "detail", "hint"} <= set(gate) for gate in answer["gates"])
        assert all({"executor", "eligible", "score", "why"} <= set(one) for one in answer["candidates"])
        assert answer == cli("task", "why", task_id, "-o", "json").data

    def test_it_names_what_is_in_the_way(self, cli: Cli) -> None:
        assert cli("why", "d-bad").out.startswith("d-bad is invalid: ")
        assert "NO" in cli("why", "a-low").out

    def test_route_explain(self, cli: Cli) -> None:
        answer = cli("route", "explain", "b-high", "-o", "json").data
        assert {"task_id", "executor", "reason", "candidates", "status"} <= set(answer)
        assert cli("route", "explain", "c-done").out.startswith("c-done -> ")

    def test_route_explain_answers_for_a_file_that_cannot_be_read(self, cli: Cli) -> None:
        said = cli("route", "explain", "d-bad", "-o", "json")
        assert (said.code, said.data["executor"], said.data["reason_code"]) == (0, None, "task_invalid")
        assert (said.data["status"], said.data["candidates"]) == ("invalid", [])
        assert cli("route", "explain", "d-bad").out.startswith("d-bad -> nobody: the file cannot be read: ")


class TestWithoutARoot:
    READS = [
        "task list", "task status", "stats", "executors list", "plugins list", "events tail", "events verify",
        "events subscribe ch", "config show", "config show --origin",
    ]  # fmt: skip

    @pytest.mark.parametrize("command", READS)
    def test_reading_answers_and_makes_nothing(self, cli: Cli, project: Path, command: str) -> None:
        for form in ("table", "json", "ndjson", "name"):
            assert cli(*command.split(), "-o", form).code == 0, (command, form)
        assert list(project.iterdir()) == []

    def test_doctor_makes_nothing(self, cli: Cli, project: Path) -> None:
        cli("doctor")
        assert list(project.iterdir()) == []

    def test_lists_are_empty(self, cli: Cli) -> None:
        assert cli("task", "list", "-o", "json").data == []
        assert cli("events", "tail", "-o", "json").data == []
        assert cli("task", "list").out == ""

    def test_an_unknown_id_is_not_found(self, cli: Cli) -> None:
        assert cli("task", "show", "x").code == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
class TestReadOnly:
    @pytest.fixture(autouse=True)
    def sealed(self, queue: None, project: Path) -> Any:
        folders = [project / ".autopilot", project / ".autopilot" / "tasks"]
        for folder in folders:
            folder.chmod(0o500)
        yield
        for folder in folders:
            folder.chmod(0o700)

    @pytest.mark.parametrize("command", [*TestWithoutARoot.READS, "task show a-low", "why a-low"])
    def test_reading_works(self, cli: Cli, command: str) -> None:
        assert cli(*command.split()).code == 0

    def test_writing_is_4_in_one_line(self, cli: Cli) -> None:
        said = cli("task", "create", "--title", "T")
        assert said.code == 4
        assert said.err.startswith("error: ")


def test_texts_of_tasks_cannot_move_the_cursor(cli: Cli, write_task: Write) -> None:
    write_task("evil", '---\ntitle: "A \\e[2J \\u202e"\n---\n')
    for arguments in (["task", "list"], ["task", "show", "evil"], ["task", "list", "-o", "json"], ["why", "evil"]):
        out = cli(*arguments).out
        assert "\x1b" not in out
        assert "\u202e" not in out
