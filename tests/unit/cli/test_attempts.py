"""Attempts and their logs, as run folders tell them; the folders are made by hand here."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from autopilot.models import AttemptResult, Outcome, OutcomeKind, Verdict
from autopilot.models.wire import dump

Cli = Callable[..., Any]
INSTANT = datetime(2026, 11, 22, 9, tzinfo=UTC)


def result(number: int, kind: OutcomeKind, **changes: Any) -> str:
    """The text of a ``result.json``."""
    made = AttemptResult(
        task_id="a",
        token=number,
        executor="local",
        outcome=Outcome(kind=kind, message="it said so", exit_code=1, cost_usd=0.5),
        started_at=INSTANT,
        ended_at=INSTANT,
        duration_s=2.0,
        **changes,
    )
    return json.dumps(dump(made))


@pytest.fixture
def runs(cli: Cli, project: Path) -> Path:
    """Three attempts: a failure, one whose runner died, and a success that failed its verification."""
    cli("task", "create", "--id", "a", "--title", "T")
    folder = project / ".autopilot" / "runs" / "a"
    for number in (1, 2, 10):
        (folder / str(number)).mkdir(parents=True)
    (folder / "1" / "result.json").write_text(result(1, OutcomeKind.FAILED))
    refused = Verdict(name="make test", ok=False, detail="2 failed")
    (folder / "10" / "result.json").write_text(result(10, OutcomeKind.SUCCEEDED, verdicts=(refused,)))
    (folder / "10" / "stdout.log").write_bytes("grüße\r\n\x1b[31mred\x1b[0m \u202e".encode() + b"\xff\xc3")
    (folder / "10" / "verify-1.log").write_text("one\n")
    (folder / "10" / "verify-10.log").write_text("ten\x1b\n")
    (folder / "10" / "verify-2.log").write_text("two\n")
    (folder / "10" / "verify-plugins.log").write_text("plugins\n")
    (folder / "10" / "verify-x.log").write_text("another's\n")
    (folder / "notes.txt").write_text("not an attempt")
    return folder


def test_attempts_in_order(cli: Cli, runs: Path) -> None:
    attempts = cli("task", "show", "a", "-o", "json").data["attempts"]
    assert [(one["attempt"], one["outcome"]) for one in attempts] == [(1, "failed"), (2, "lost"), (10, "failed")]
    assert attempts[0]["cost_usd"] == 0.5
    assert attempts[1]["executor"] is None
    assert "make test: 2 failed" in attempts[2]["message"]
    assert all(set(one) == set(attempts[0]) for one in attempts)
    out = cli("task", "show", "a").out
    assert "$0.50" in out
    assert "lost" in out


def test_the_last_attempt_has_its_executor_though_its_runner_died(
    cli: Cli, write_task: Callable[..., Path]
) -> None:
    path = write_task("b", "---\ntitle: T\nattempt: 2\nresult: {executor: local, outcome: lost}\n---\n")
    for number in "12":
        (path.parents[1] / "runs" / "b" / number).mkdir(parents=True)
    attempts = cli("task", "show", "b", "-o", "json").data["attempts"]
    assert [(one["executor"], one["outcome"]) for one in attempts] == [(None, "lost"), ("local", "lost")]


def test_a_damaged_result_counts_as_lost(cli: Cli, runs: Path) -> None:
    (runs / "1" / "result.json").write_text("{")
    assert cli("task", "show", "a", "-o", "json").data["attempts"][0]["outcome"] == "lost"


def test_logs_are_harmless(cli: Cli, runs: Path) -> None:
    out = cli("task", "logs", "a").out
    assert out == "grüße\n\\x1b[31mred\\x1b[0m \\u202e\ufffd"


def test_raw_logs_are_the_bytes(cli: Cli, runs: Path, capfdbinary: Any) -> None:
    from autopilot.cli.main import main

    capfdbinary.readouterr()
    assert main(["task", "logs", "a", "--raw"]) == 0
    assert capfdbinary.readouterr().out == (runs / "10" / "stdout.log").read_bytes()


def test_a_log_longer_than_a_chunk(cli: Cli, runs: Path) -> None:
    text = "ü" * 100_000 + "\n"
    (runs / "10" / "stdout.log").write_text("x" + text, encoding="utf-8")
    assert cli("task", "logs", "a").out == "x" + text


def test_following_an_attempt_that_has_ended(cli: Cli, runs: Path) -> None:
    assert "red" in cli("task", "logs", "a", "-f").out


def test_an_attempt_without_output(cli: Cli, runs: Path) -> None:
    said = cli("task", "logs", "a", "--attempt", "2")
    assert (said.code, said.out) == (0, "")
    assert "wrote nothing" in said.err


def test_what_verifications_wrote(cli: Cli, runs: Path) -> None:
    assert "task logs a --attempt 10 --verify" in cli("task", "logs", "a").err
    said = cli("task", "logs", "a", "--verify")
    assert said.out == "one\ntwo\nten\\x1b\nplugins\n"
    assert said.err.splitlines()[0] == "==> verify-1.log <=="
    assert "ten\x1b\n" in cli("task", "logs", "a", "--verify", "--raw").out
    assert "no verification" in cli("task", "logs", "a", "--verify", "--attempt", "1").err
    assert "verif" not in cli("task", "logs", "a", "--attempt", "1").err
    assert cli("task", "logs", "a", "--verify", "--stderr").code == 2


def test_an_attempt_that_there_was_not(cli: Cli, runs: Path) -> None:
    said = cli("task", "logs", "a", "--attempt", "3", "-o", "json")
    assert said.code == 2  # -o makes no sense here
    assert cli("task", "logs", "a", "--attempt", "3").code == 3


def test_a_log_that_is_a_link_is_refused(cli: Cli, runs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (runs / "2" / "stdout.log").symlink_to(secret)
    said = cli("task", "logs", "a", "--attempt", "2")
    assert said.code == 4
    assert "secret" not in said.out
