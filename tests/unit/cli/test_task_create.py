"""``task create``: from options, from a file, from an editor."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.taskfile import parse

Cli = Callable[..., Any]


def only_task(project: Path) -> Path:
    (path,) = (project / ".autopilot" / "tasks").glob("*.md")
    return path


def test_it_prints_the_id(cli: Cli, project: Path) -> None:
    said = cli("task", "create", "--title", "Say hello", "--command", "echo hello")
    assert said.code == 0
    assert re.fullmatch(r"req-\d{8}-[0-9a-f]{8}\n", said.out)
    assert "made the root" in said.err
    task = parse(only_task(project).read_bytes())
    assert (task.id, task.title, task.command) == (said.out.strip(), "Say hello", "echo hello")
    assert task.created_at is not None
    assert "made the root" not in cli("task", "create", "--title", "Again").err


def test_every_option_reaches_the_file(cli: Cli, project: Path) -> None:
    arguments = (
        "--id full --title T --priority high --type bugfix --command ls --executor local --timeout 2.5 --tag a "
        "--tag b --depends-on other --verify true --verify false --requires code --touches src/** "
        "--criteria works --repo . --workspace repo --max-attempts 5 --budget 1.5 --model opus --body text"
    )
    assert cli("task", "create", *arguments.split()).code == 0
    task = parse(only_task(project).read_bytes())
    assert (task.priority, task.task_type, task.command, task.executor) == ("high", "bugfix", "ls", "local")
    assert (task.timeout_minutes, task.tags, task.depends_on) == (2.5, ("a", "b"), ("other",))
    assert (task.verify, task.requires, task.touches) == (("true", "false"), {"code"}, ("src/**",))
    assert (task.acceptance_criteria, task.repo, task.workspace) == (("works",), ".", "repo")
    assert (task.max_attempts, task.budget_usd, task.model, task.body) == (5, 1.5, "opus", "text\n")


@pytest.mark.parametrize(
    ("typed", "written"), [("x", "below/x"), ("..", "."), ("/abs", "/abs"), ("https://x/y", "https://x/y")]
)
def test_a_repository_is_meant_from_here(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, typed: str, written: str
) -> None:
    cli("init")
    (project / "below").mkdir()
    monkeypatch.chdir(project / "below")
    cli("task", "create", "--title", "T", "--repo", typed)
    assert parse(only_task(project).read_bytes()).repo == written


def test_json_is_the_object(cli: Cli) -> None:
    said = cli("task", "create", "--id", "a", "--title", "T", "-o", "json")
    assert said.data["id"] == "a"
    assert said.data["status"] == "pending"


def test_a_command_is_its_own_title(cli: Cli, project: Path) -> None:
    cli("task", "create", "--command", "make test\nmake lint")
    assert parse(only_task(project).read_bytes()).title == "make test"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--id", "../x", "--title", "T"],
        ["--id", "UPPER", "--title", "T"],
        ["--id", "", "--title", "T"],
        ["--title", ""],
        ["--title", "T", "--timeout", "-1"],
        ["--title", "T", "--timeout", "soon"],
        ["--title", "T", "--priority", "hgh"],
        ["--title", "T", "--max-attempts", "0"],
        ["--title", "T", "--depends-on", "no good"],
        ["--title", "T\0"],
        ["--title", "T", "--body", "x\0"],
        [],
        ["-F", "missing.md"],
        ["-F", "-", "--body", "-"],
        ["-F", "-", "--body", "x"],
    ],
    ids=str,
)
def test_a_bad_value_on_the_command_line_is_usage(cli: Cli, project: Path, arguments: list[str]) -> None:
    said = cli("task", "create", *arguments, "-o", "json")
    assert said.code == 2, said
    assert set(said.error) == {"code", "message", "hint"}
    assert not list(project.glob(".autopilot/tasks/*.md"))


def test_a_taken_id_is_refused_and_nothing_overwritten(cli: Cli, project: Path) -> None:
    cli("task", "create", "--id", "a", "--title", "First")
    said = cli("task", "create", "--id", "a", "--title", "Second", "-o", "json")
    assert (said.code, said.error["code"]) == (2, "already_exists")
    assert b"First" in only_task(project).read_bytes()


def test_from_a_file_byte_for_byte(cli: Cli, project: Path) -> None:
    text = b"---\r\ntitle: 'T'  # why\r\nunknown: kept\r\n---\r\nbody \r\n"
    (project / "my-task.md").write_bytes(text)
    said = cli("task", "create", "-F", "my-task.md")
    assert said.out == "my-task\n"
    stored = project / ".autopilot" / "tasks" / "my-task.md"
    assert stored.read_bytes() == text
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600


def test_from_a_file_with_changes(cli: Cli, project: Path) -> None:
    text = b"---\nid: old\ntitle: T\n---\nbody\n"
    (project / "x.md").write_bytes(text)
    assert cli("task", "create", "-F", "x.md", "--id", "new", "--priority", "low").out == "new\n"
    task = parse((project / ".autopilot" / "tasks" / "new.md").read_bytes())
    assert (task.id, task.priority, task.body) == ("new", "low", "body\n")


def test_from_stdin(cli: Cli, project: Path) -> None:
    assert cli("task", "create", "-F", "-", stdin=b"---\nid: piped\ntitle: T\n---\n").out == "piped\n"
    assert cli("task", "create", "--id", "b", "--title", "T", "-b", "-", stdin="grüße".encode()).code == 0
    assert parse((project / ".autopilot" / "tasks" / "b.md").read_bytes()).body == "grüße\n"


def test_a_bad_file_is_5_with_its_place(cli: Cli, project: Path) -> None:
    (project / "x.md").write_bytes(b"---\ntitle: T\npriority: hgh\n---\n")
    said = cli("task", "create", "-F", "x.md", "-o", "json")
    assert (said.code, said.error["code"]) == (5, "task_invalid")
    assert "x.md:3:" in said.error["message"]
    assert cli("task", "create", "-F", "-", stdin=b"no frontmatter").code == 5
