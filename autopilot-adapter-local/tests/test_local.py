"""The local executor: what it takes, what it runs, and what it makes of the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autopilot import AttemptContext, Limits, Outcome, OutcomeKind, Task
from autopilot_adapter_local import LocalExecutor
from autopilot_adapter_local.plugin import autopilot_executors


class Place:
    """Folders for one attempt."""

    def __init__(self, folder: Path) -> None:
        self.work, self.run = folder / "work", folder / "run"
        self.work.mkdir()
        self.run.mkdir()
        self.executor = LocalExecutor()

    def do(self, **task: object) -> Outcome:
        context = AttemptContext(
            task=Task(id="t", title="T", **task),
            number=1,
            prompt="never used",
            workdir=str(self.work),
            run_dir=str(self.run),
            environment={"PATH": os.environ["PATH"]},
            limits=Limits(),
        )
        return self.executor.run(context)

    def said(self) -> str:
        return (self.run / "stdout.log").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_plugin_supplies_it_with_its_options():
    (executor,) = autopilot_executors({"local": {"slots": 2, "shell": "/bin/bash"}})
    assert (executor.name, executor.shell) == ("local", "/bin/bash")
    info = executor.describe()
    assert (info.name, info.capabilities, info.slots) == ("local", {"shell"}, 2)
    (executor,) = autopilot_executors({})
    assert executor.shell == "/bin/sh" and executor.describe().slots is None


# ---------------------------------------------------------------- what it takes


def task(**more: object) -> Task:
    return Task(id="t", title="T", **more)


@pytest.mark.parametrize(
    "mine",
    [
        task(command="true"),
        task(command=("true",)),
        task(executor="local", body="echo x"),
        task(executor="local", command="x"),
    ],
)
def test_what_it_takes(mine):
    assert LocalExecutor().accepts(mine) is None


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (task(body="Please mend the roof."), "prose"),
        (task(body="rm -rf /", executor="claude-code"), "prose"),
        (task(command="true", origin="importer"), "importer"),
        (task(body="echo x", executor="local", origin="importer"), "importer"),
        (task(executor="local", body=" \n "), "nothing to run"),
        (task(command="  "), "nothing to run"),
        (task(command=("",)), "nothing to run"),
        (task(command=()), "nothing to run"),
    ],
)
def test_what_it_leaves_alone(other, why):
    assert why in str(LocalExecutor().accepts(other))


def test_what_it_leaves_alone_it_does_not_run_either(place):
    outcome = place.do(body="touch made", command=None)
    assert outcome.kind is OutcomeKind.CONFIG_ERROR and "prose" in outcome.message
    assert list(place.work.iterdir()) == []


# ---------------------------------------------------------------- what it runs


def test_a_line_goes_to_the_shell(place):
    outcome = place.do(command='echo "$0 $((1 + 2))" | tr 3 4; pwd')
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.SUCCEEDED, 0)
    assert place.said().endswith(f"4\n{place.work}\n")


def test_an_argv_is_seen_by_no_shell(place):
    place.do(command=("printf", "%s|", "$HOME", "a b", "*", "; touch made"))
    assert place.said() == "$HOME|a b|*|; touch made|"
    assert list(place.work.iterdir()) == []


def test_a_body_is_a_script(place):
    place.do(executor="local", body="\nx=1\nif [ $x = 1 ]; then\r\n  echo yes\nfi\n")
    assert place.said() == "yes\n"
    assert (place.run / "script.sh").stat().st_mode & 0o777 == 0o700


def test_its_first_line_names_the_interpreter(place):
    outcome = place.do(executor="local", body="#!/usr/bin/env python3\nprint(sum(range(10)))\n")
    assert (outcome.kind, place.said()) == (OutcomeKind.SUCCEEDED, "45\n")


def test_a_command_comes_before_the_body(place):
    place.do(executor="local", command="echo command", body="echo body")
    assert place.said() == "command\n"


def test_another_shell(place, tmp_path):
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "shell got: $*"\n')
    shell.chmod(0o755)
    place.executor = LocalExecutor({"shell": str(shell)})
    place.do(command="the line")
    assert place.said() == "shell got: -c the line\n"
    assert place.executor.probe().ok


def test_its_standard_input_is_empty(place):
    assert place.do(command="cat; test -t 0 || echo no terminal").kind is OutcomeKind.SUCCEEDED
    assert place.said() == "no terminal\n"


# ---------------------------------------------------------------- how it judges


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("exit 3", "exit code 3"),
        ("echo first >&2; echo the reason >&2; exit 1", "exit code 1: the reason"),
        ("echo FAILED tests; exit 2", "exit code 2: FAILED tests"),
        ("kill -TERM $$", "ended by SIGTERM"),
        ("kill -9 $$", "ended by SIGKILL"),
        ("exit 137", "exit code 137 (a command in it was ended by SIGKILL)"),
        ("exit 200", "exit code 200"),
        ("exit 128", "exit code 128"),
    ],
)
def test_what_failed_says_how(place, command, message):
    outcome = place.do(command=command)
    assert (outcome.kind, outcome.message) == (OutcomeKind.FAILED, message)


def test_commands_that_are_not_there_or_may_not_run(place):
    missing = place.do(command="no-such-command-at-all")
    assert missing.kind is OutcomeKind.FAILED and "127: the command was not found" in missing.message
    assert "PATH" in missing.hint
    (place.work / "tool").write_text("#!/bin/sh\n")
    forbidden = place.do(command="./tool")
    assert "126" in forbidden.message and "chmod +x" in forbidden.hint


@pytest.mark.parametrize("argv", [("no-such-command-at-all",), ("./tool",), ("true", "x" * 200_000)])
def test_a_program_that_cannot_start_is_the_tasks_failure(place, argv):
    (place.work / "tool").write_text("#!/bin/sh\n")
    outcome = place.do(command=argv)
    assert outcome.kind is OutcomeKind.FAILED
    assert outcome.message and outcome.hint


def test_a_long_last_line_is_cut(place):
    outcome = place.do(command="head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1")
    assert len(outcome.message) < 600


def test_a_shell_that_is_not_there():
    health = LocalExecutor({"shell": "/no/such/shell"}).probe()
    assert not health.ok and "/no/such/shell" in health.reason and "config" in health.hint
