"""The tables of commands: they load lazily, and say what the commands say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from autopilot.cli.lazy import LazyGroup
from autopilot.cli.main import cli, main

HEAVY = ("attr", "attrs", "yaml", "pluggy", "rich", "asyncio", "importlib.metadata", "cattrs", "pathspec")


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group, info_name="autopilotctl", resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(cli))

CONTRACT = """
init doctor demo why stats
task/create task/list task/show task/status task/edit task/wait task/cancel task/retry task/logs task/why
dispatch/tick dispatch/run dispatch/pause dispatch/resume dispatch/drain
route/explain executors/list executors/probe executors/reset plugins/list
events/tail events/verify events/publish events/subscribe events/gc config/show completion
""".split()


@pytest.mark.parametrize("path", CONTRACT)
def test_every_command_of_the_contract_is_there(path: str) -> None:
    assert tuple(path.split("/")) in ALL


@pytest.mark.parametrize("path", sorted(ALL), ids="/".join)
def test_every_command_explains_itself(path: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*path, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: autopilotctl {' '.join(path)}")
    assert ALL[path].help


def test_the_tables_say_what_the_commands_say() -> None:
    for path, command in ALL.items():
        parent = ALL.get(path[:-1], cli)
        assert isinstance(parent, LazyGroup)
        if path[-1] in parent.entries:
            told = (command.help or "").split("\n\n")[0].replace("\n", " ")
            expected = parent.entries[path[-1]].help
            assert path == ("why",) or told == expected


def python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout
    return done.stderr.strip()


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["task", "--help"], []])
def test_help_imports_nothing_heavy(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = "import sys\nfrom autopilot.cli.main import main\nmain(sys.argv[2:])\n"
    loaded = "print([name for name in sys.argv[1].split() if name in sys.modules], file=sys.stderr)"
    found = ""
    for _ in range(5):
        # The first run learns that no plugin adds a command. It doubts that as soon as a folder of the import path
        # changes, which may happen between the two.
        python(
            "from autopilot.cli import plugin_commands\nplugin_commands._SETTLED_NS = 0\n" + run, "", *arguments
        )
        found = python(run + loaded, " ".join(HEAVY), *arguments)
        if found == "[]":
            return
    pytest.fail(f"{arguments} imports {found}")


def test_a_group_alone_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task"]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_an_unknown_command_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["task", "lsit"]) == 2
    err = capsys.readouterr().err
    assert "lsit" in err
    assert "list" in err
