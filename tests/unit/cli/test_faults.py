"""Every fault becomes a sentence, a hint and an exit code."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from autopilot import errors
from autopilot.cli.app import App
from autopilot.cli.faults import explain, guarded, wants_json
from autopilot.cli.main import main


def run(fault: BaseException, *, as_json: bool = False, debug: str = "") -> int:
    def call() -> object:
        raise fault

    return guarded(call, as_json=as_json, environ={"AUTOPILOT_DEBUG": debug})


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (errors.UsageError("x"), 2),
        (errors.TransitionError("x"), 2),
        (errors.AlreadyExistsError("x"), 2),
        (errors.NotFoundError("x"), 3),
        (errors.SetupError("x"), 4),
        (errors.StorageError("x"), 4),
        (errors.PluginError("x"), 4),
        (errors.ConfigError("x"), 5),
        (errors.TaskFormatError("x"), 5),
        (errors.BusyError("x"), 75),
        (errors.LeaseLostError("x"), 75),
        (errors.DeadlineError("x"), 124),
        (errors.AutopilotError("x"), 1),
        (click.UsageError("x"), 2),
        (click.BadParameter("x"), 2),
        (click.FileError("x"), 2),
        (OSError(errno.ENOSPC, "full", "/x"), 4),
        (OSError(errno.EROFS, "read-only", "/x"), 4),
        (PermissionError(errno.EACCES, "denied", "/x"), 4),
        (MemoryError(), 4),
        (OSError(errno.ENODEV, "other"), 1),
        (ValueError("x"), 1),
        (RecursionError("x"), 1),
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (BrokenPipeError(), 0),
        (click.exceptions.Exit(7), 7),
        (SystemExit(0), 0),
        (SystemExit(6), 6),
        (SystemExit(), 0),
        (SystemExit("text"), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_exit_codes(fault: BaseException, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot.cli.stdout._silence", lambda: None)
    assert run(fault) == code


def test_an_error_and_its_hint_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    run(errors.NotFoundError("no task 'x\x1b[31m'", hint="look\x07 again"))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "error: no task 'x\\x1b[31m'\nhint: look\\x07 again\n"


def test_json_errors_have_the_contract_s_shape(capsys: pytest.CaptureFixture[str]) -> None:
    run(errors.BusyError("somebody holds it", hint="wait", code="held"), as_json=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert json.loads(told.err) == {"error": {"code": "held", "message": "somebody holds it", "hint": "wait"}}


def test_places_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    run(errors.TaskFormatError("bad value", path="/t/a.md", line=3, column=4))
    run(errors.ConfigError("unknown key", path="/c.yaml"))
    run(errors.ConfigError("/c.yaml:3: unknown key", path="/c.yaml"))
    assert capsys.readouterr().err.splitlines() == [
        "error: /t/a.md:3:4: bad value",
        "error: /c.yaml: unknown key",
        "error: /c.yaml:3: unknown key",
    ]


def test_an_unexpected_fault_shows_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    run(ZeroDivisionError("division by zero"))
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "ZeroDivisionError: division by zero" in err
    assert "AUTOPILOT_DEBUG=1" in err


def test_debugging_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    run(ZeroDivisionError("division by zero"), debug="1")
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["task", "list", "-o", "json"], True),
        (["-ojson", "task"], True),
        (["--output", "ndjson"], True),
        (["x", "--output=json"], True),
        (["-o", "table"], False),
        (["-o"], False),
        (["--", "-o", "json"], False),
        ([], False),
    ],
)
def test_wants_json(arguments: list[str], expected: bool) -> None:
    assert wants_json(arguments) is expected


def test_answers_that_are_numbers_are_exit_codes() -> None:
    assert guarded(lambda: 5, as_json=False, environ={}) == 5
    assert guarded(lambda: None, as_json=False, environ={}) == 0
    assert guarded(lambda: True, as_json=False, environ={}) == 0
    assert explain(RuntimeError("x")).exit_code == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import sys\nfrom autopilot.cli.faults import guarded\n"
        "sys.exit(guarded(lambda: [print('x' * 1000) for _ in range(1000)], as_json=False, environ={}))"
    )
    reading, writing = os.pipe()
    child = subprocess.Popen([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    os.close(reading)
    _, err = child.communicate(timeout=60)
    assert err == b""
    assert child.returncode == 0


PROGRAM = [sys.executable, "-m", "autopilot.cli"]


@pytest.mark.parametrize(
    ("redirection", "code"),
    [("| head -c 0", 0), ("> /dev/full", 4), (">&-", 0), (">&- 2>&-", 0), ("< /dev/null", 0)],
)
def test_odd_streams(redirection: str, code: int, tmp_path: Path) -> None:
    folder = tmp_path / ".autopilot" / "tasks"
    folder.mkdir(parents=True)
    for number in range(200):
        (folder / f"task-{number}.md").write_text(f"---\ntitle: {'long ' * 100}\n---\n")
    line = f"{' '.join(PROGRAM)} task list -o json {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("fault", [OSError(5, "Input/output error"), errors.StorageError("no space")])
def test_what_cannot_be_closed_at_the_end_is_no_error(
    fault: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(app: App) -> None:
        raise fault

    monkeypatch.setattr(App, "close", refuse)
    assert main(["--version"]) == 0
    assert capsys.readouterr().err == ""
