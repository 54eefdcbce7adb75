"""``init``, ``config show``, ``completion``, the pauses, and errors of set-up."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]


def test_init(cli: Cli, project: Path) -> None:
    said = cli("init", "-o", "json")
    assert said.code == 0
    assert isinstance(said.data, list)
    root = project / ".autopilot"
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert "#dispatcher:" in (root / "config.yaml").read_text()
    ignored = (root / ".gitignore").read_text().split()
    assert {"/runs/", "/state/", "/events/", "/worktrees/"} <= set(ignored)
    assert "/tasks/" not in ignored


def test_init_again_changes_nothing(cli: Cli, project: Path) -> None:
    cli("init")
    config = project / ".autopilot" / "config.yaml"
    config.write_text("durability: process\n")
    assert cli("init").code == 0
    assert config.read_text() == "durability: process\n"


def test_init_makes_a_root_here_and_not_above(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli("init")
    below = project / "below"
    below.mkdir()
    monkeypatch.chdir(below)
    assert cli("task", "list").code == 0
    assert not (below / ".autopilot").exists()
    cli("init")
    assert (below / ".autopilot" / "config.yaml").exists()


@pytest.mark.parametrize("where", ["before", "after", "environment"])
def test_the_root_that_was_asked_for(
    cli: Cli, project: Path, tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = str(tmp_path / "elsewhere")
    arguments = ["task", "create", "--id", "a", "--title", "T"]
    if where == "environment":
        monkeypatch.setenv("AUTOPILOT_ROOT", root)
    named = {"before": ["--root", root, *arguments], "after": [*arguments, "--root", root]}.get(where, arguments)
    assert cli(*named).code == 0
    assert (tmp_path / "elsewhere" / "tasks" / "a.md").exists()
    assert not (project / ".autopilot").exists()


def test_config_show_hides_what_should_not_stand_there(cli: Cli, project: Path) -> None:
    cli("init")
    (project / ".autopilot" / "config.yaml").write_text(
        "executors:\n  local:\n    set_env: {API_TOKEN: hunter2hunter2, COLOUR: blue-green}\n"
    )
    for form in ("table", "json", "ndjson"):
        out = cli("config", "show", "-o", form).out
        assert "hunter2" not in out
        assert "[redacted:API_TOKEN:" in out
        assert "blue-green" in out


def test_config_show(cli: Cli, project: Path) -> None:
    cli("init")
    (project / ".autopilot" / "config.yaml").write_text("dispatcher:\n  max_active: 7\n")
    rows = {row["key"]: row for row in cli("config", "show", "--origin", "-o", "json").data}
    assert rows["dispatcher.max_active"]["value"] == 7
    assert rows["dispatcher.max_active"]["origin"].endswith("config.yaml:2")
    assert rows["durability"]["origin"] == "environment AUTOPILOT_DURABILITY"
    assert rows["store"]["origin"] == "default"
    assert "origin" not in cli("config", "show", "-o", "json").data[0]
    assert "dispatcher.max_active" in cli("config", "show").out


@pytest.mark.parametrize("command", ["config show", "task list", "dispatch tick", "task create --title T"])
def test_a_wrong_setting_is_5_with_its_place(cli: Cli, project: Path, command: str) -> None:
    cli("init")
    (project / ".autopilot" / "config.yaml").write_text("dispatcher:\n  max_actve: 7\n")
    said = cli(*command.split(), "-o", "json")
    assert (said.code, said.error["code"]) == (5, "config_invalid")
    assert "config.yaml" in said.error["message"]
    assert "max_actve" in said.error["message"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(cli: Cli, shell: str) -> None:
    out = cli("completion", shell).out
    assert "_AUTOPILOTCTL_COMPLETE" in out
    assert cli("completion", "tcsh").code == 2


def test_completion_of_ids(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for task_id in ("alpha", "beta"):
        cli("task", "create", "--id", task_id, "--title", "T")
    monkeypatch.setenv("_AUTOPILOTCTL_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "autopilotctl task show al")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert cli().out.split() == ["plain,alpha"]
    monkeypatch.setenv("COMP_WORDS", "autopilotctl ta")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert cli().out.split() == ["plain,task"]


def test_pause_resume_drain(cli: Cli, project: Path) -> None:
    assert "paused" in cli("dispatch", "pause").err
    assert "paused by user" in cli("dispatch", "tick").err
    assert "resumed" in cli("dispatch", "resume").err
    assert "neither" in cli("dispatch", "resume").err
    cli("dispatch", "drain")
    assert cli("dispatch", "run").code == 0
    types = [row["event_type"] for row in cli("events", "tail", "--type", "dispatcher.*", "-o", "json").data]
    asked = [name for name in types if name not in ("dispatcher.started", "dispatcher.stopped")]
    assert asked == ["dispatcher.paused", "dispatcher.resumed", "dispatcher.drained"]


def test_the_names_of_the_figures_are_the_executors(cli: Cli, project: Path) -> None:
    cli("task", "create", "--id", "a", "--title", "A", "--command", "true")
    assert cli("stats", "-o", "name").out == ""
    cli("dispatch", "tick")
    assert cli("stats", "-o", "name").out == "local\n"


def test_the_name_of_a_verified_log_is_its_head(cli: Cli, project: Path) -> None:
    assert cli("events", "verify", "-o", "name").out == ""
    cli("task", "create", "--id", "a", "--title", "A")
    head = cli("events", "verify", "-o", "json").data["head"]
    assert cli("-o", "name", "events", "verify").out == f"{head['events']}:{head['digest']}\n"
    assert cli("events", "gc", "--older-than", "1d", "-o", "name").out == ""


def test_a_root_that_others_may_write_is_refused(cli: Cli, project: Path) -> None:
    cli("init")
    (project / ".autopilot").chmod(0o777)
    said = cli("task", "list", "-o", "json")
    assert (said.code, said.error["code"]) == (4, "setup")
    assert "chmod" in said.error["hint"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nope"],
        ["task", "list", "--nope"],
        ["task", "show"],
        ["dispatch", "tick", "--max-active", "0"],
        ["task", "list", "-o", "xml"],
    ],
    ids=str,
)
def test_wrong_usage_is_2(cli: Cli, arguments: list[str]) -> None:
    said = cli(*arguments)
    assert said.code == 2
    assert said.err.startswith("error: ")
    said = cli("-o", "json", *arguments)
    assert said.error["code"] == "usage"


@pytest.mark.parametrize("below", ["plain-file/root", "/proc/root-of-nobody"])
def test_a_root_that_cannot_be_made_is_4_and_one_sentence(cli: Cli, project: Path, below: str) -> None:
    if below.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("no /proc here")
    (project / "plain-file").write_text("")
    said = cli("--root", below, "task", "create", "--title", "T", "-o", "json")
    assert (said.code, said.error["code"]) == (4, "storage")
    assert "cannot make the folder" in said.error["message"]
    assert "--root" in said.error["hint"]


@pytest.mark.parametrize("name", ["tasks", "events", "state"])
def test_a_file_in_place_of_a_folder_of_the_root_is_4(cli: Cli, project: Path, name: str) -> None:
    (project / ".autopilot").mkdir(mode=0o700)
    (project / ".autopilot" / name).write_text("")
    said = cli("task", "list", "-o", "json")
    assert (said.code, said.error["code"]) == (4, "setup")
    assert "is no folder" in said.error["message"]


@pytest.mark.parametrize("command", [("task", "list"), ("init",), ("--root", "/tmp/x", "task", "list")], ids=str)
def test_a_current_folder_that_is_gone_is_4(
    cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    gone = project / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    said = cli(*command, "-o", "json")
    assert (said.code, said.error["code"]) == (4, "setup")
    assert "was removed" in said.error["message"]
