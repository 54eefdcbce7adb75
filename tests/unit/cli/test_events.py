"""``autopilotctl events``."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
DEADLINE_S = 60


@pytest.fixture
def log(cli: Cli, project: Path) -> Path:
    """The file of a log with five events of two tasks."""
    for task_id in ("a", "b"):
        cli("task", "create", "--id", task_id, "--title", "T")
    cli("task", "cancel", "a")
    cli("events", "publish", "news", "one")
    cli("dispatch", "pause")
    return project / ".autopilot" / "events" / "events.ndjson"


def test_ndjson_is_the_log_as_it_is(cli: Cli, log: Path) -> None:
    assert cli("events", "tail", "-o", "ndjson").out.encode() == log.read_bytes()
    assert (
        cli("events", "tail", "-n", "2", "-o", "ndjson").out.encode().splitlines()
        == log.read_bytes().splitlines()[-2:]
    )


def test_json_has_the_contract_s_keys(cli: Cli, log: Path) -> None:
    rows = cli("events", "tail", "-o", "json").data
    assert len(rows) == 5
    keys = {"id", "event_type", "timestamp", "source", "trace_id", "payload", "prev"}
    assert all(set(row) == keys for row in rows)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--task", "a"], "task.created task.cancelled"),
        (["--type", "task.*"], "task.created task.created task.cancelled"),
        (["--type", "*.paused", "--type", "message.*"], "message.published dispatcher.paused"),
        (["-n", "1"], "dispatcher.paused"),
        (["-n", "0"], ""),
        (["--since", "1h", "--task", "b"], "task.created"),
        (["--since", "2999-01-01"], ""),
        (["--task", "gone"], ""),
    ],
    ids=str,
)
def test_filters(cli: Cli, log: Path, arguments: list[str], expected: str) -> None:
    rows = cli("events", "tail", "-o", "json", *arguments).data
    assert [row["event_type"] for row in rows] == expected.split()


def test_since_alone_shows_more_than_the_usual_number(cli: Cli, log: Path) -> None:
    for number in range(25):
        cli("events", "publish", "news", str(number))
    assert len(cli("events", "tail", "-o", "name").out.splitlines()) == 20
    assert len(cli("events", "tail", "--since", "1d", "-o", "name").out.splitlines()) == 30


def test_a_repeated_id_is_shown_once(cli: Cli, log: Path) -> None:
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([*lines, lines[-1]]))
    assert len(cli("events", "tail", "-o", "json").data) == 5
    assert len(cli("events", "tail", "-o", "ndjson").out.splitlines()) == 6


def test_the_table(cli: Cli, log: Path) -> None:
    lines = cli("events", "tail").out.splitlines()
    assert lines[0].split() == ["TIME", "EVENT", "TASK", "DETAIL"]
    assert "message=one" in lines[4]


@pytest.mark.parametrize("since", ["soon", "10"])
def test_a_bad_since_is_usage(cli: Cli, log: Path, since: str) -> None:
    assert cli("events", "tail", "--since", since).code == 2


def test_verify(cli: Cli, log: Path) -> None:
    report = cli("events", "verify", "-o", "json").data
    assert (report["ok"], report["events"], report["faults"]) == (True, 5, [])
    assert "the chain holds" in cli("events", "verify").out
    head = f"{report['head']['events']}:{report['head']['digest']}"
    assert cli("events", "verify", "--anchor", head).code == 0
    assert cli("events", "verify", "--anchor", "5:" + "0" * 64).code == 1
    assert cli("events", "verify", "--anchor", "nonsense").code == 2


def test_verify_finds_a_changed_line(cli: Cli, log: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b'"one"', b'"two"'))
    said = cli("events", "verify", "-o", "json")
    assert said.code == 1
    assert said.data["ok"] is False
    assert said.data["faults"]
    assert "DOES NOT HOLD" in cli("events", "verify").out


def test_publish_and_subscribe(cli: Cli, log: Path) -> None:
    said = cli("events", "publish", "news", "two", "--ttl", "10m", "-o", "json")
    assert said.data["payload"] == {"channel": "news", "message": "two", "ttl_s": 600}
    cli("events", "publish", "other", "three")
    cli("events", "publish", "news", "-", stdin=b"from stdin")
    rows = cli("events", "subscribe", "news", "-o", "json").data
    assert [row["message"] for row in rows] == ["one", "two", "from stdin"]
    later = cli("events", "subscribe", "news", "--since", rows[0]["cursor"], "-o", "json").data
    assert [row["message"] for row in later] == ["two", "from stdin"]
    assert cli("events", "subscribe", "news", "--since", "1h", "-o", "json").data == rows
    assert cli("events", "subscribe", "news", "--since", "2999-01-01", "-o", "json").data == []
    assert "two" in cli("events", "subscribe", "news").out


@pytest.mark.parametrize("character", ["x", "ü", "\n"])
def test_a_message_that_no_event_can_hold_is_refused(cli: Cli, project: Path, character: str) -> None:
    for size in (2_100_000, 5_000_000):
        data = character.encode() * (size // len(character.encode()))
        said = cli("events", "publish", "news", "-", "-o", "json", stdin=data)
        assert (said.code, said.error["code"]) == (5, "too_large")
        assert "2,093,056 bytes" in said.error["message"]
    assert cli("events", "subscribe", "news", "-o", "json").data == []


def test_a_message_is_text(cli: Cli, project: Path) -> None:
    said = cli("events", "publish", "news", "-", "-o", "json", stdin=b"ab\xff")
    assert (said.code, said.error["code"]) == (5, "input_invalid")
    assert "byte 3" in said.error["message"]


def test_an_expired_message_is_not_shown(cli: Cli, project: Path) -> None:
    cli("events", "publish", "news", "short", "--ttl", "0.01s")
    time.sleep(0.05)
    assert cli("events", "subscribe", "news", "-o", "json").data == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["publish", "no good", "x"],
        ["publish", "news", "x", "--ttl", "soon"],
        ["publish", "news", "x", "--ttl", "0"],
        ["subscribe", "../x"],
        ["subscribe", "news", "--since", "soon"],
        ["gc"],
        ["gc", "--older-than", "soon"],
    ],
    ids=str,
)
def test_bad_values_are_usage(cli: Cli, log: Path, arguments: list[str]) -> None:
    assert cli("events", *arguments).code == 2


def test_gc(cli: Cli, log: Path) -> None:
    before = log.read_bytes()
    assert cli("events", "gc", "--older-than", "30d", "-o", "json").data == {
        "removed": [],
        "events": 0,
        "bytes": 0,
    }
    assert log.read_bytes() == before


@pytest.fixture
def following(project: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the program in the background; it is ended by its pid at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, "-u", "-m", "autopilot.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate(timeout=DEADLINE_S)


def test_following(cli: Cli, log: Path, following: Callable[..., subprocess.Popen[str]]) -> None:
    child = following("events", "tail", "-n", "1", "-f", "-o", "ndjson", "--type", "message.*")
    assert child.stdout is not None
    assert json.loads(child.stdout.readline())["payload"]["message"] == "one"
    cli("task", "create", "--title", "not wanted")
    cli("events", "publish", "news", "two")
    assert json.loads(child.stdout.readline())["payload"]["message"] == "two"


def test_subscribing_for_good(cli: Cli, log: Path, following: Callable[..., subprocess.Popen[str]]) -> None:
    child = following("events", "subscribe", "news", "-f")
    assert child.stdout is not None
    assert child.stdout.readline().endswith("one\n")
    cli("events", "publish", "news", "two")
    assert child.stdout.readline().endswith("two\n")
