"""Every seed at once in a real root, with a sample of their mutants (T6, P3): nothing is skipped or touched.

What cannot be read is listed by `task list` and `doctor`, told once for each content, and left as it is.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from autopilot.cli.main import main
from autopilot.config.root import Root
from autopilot.config.settings import Settings
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.tick import Dispatcher
from autopilot.errors import TaskFormatError
from autopilot.taskfile import parse
from autopilot.testing.stores import FakeClock
from tests.campaign import record, size
from tests.property.seeds import all_seeds
from tests.property.taskfile_mutations import mutated
from tests.puppets import control_of

MUTANTS = size(300, 3_000)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Id -> bytes. Each seed has the id that its file's name says, wherever it had the one of all seeds."""
    rng = random.Random("files of a root")
    texts = [seed.data for seed in all_seeds()] + [mutated(rng) for _ in range(MUTANTS)]
    named = {f"f{number:05}": text for number, text in enumerate(texts)}
    made = {name: text.replace(b"id: seed", b"id: " + name.encode(), 1) for name, text in named.items()}
    folder = tmp_path / ".autopilot" / "tasks"
    folder.mkdir(parents=True)
    for name, text in made.items():
        (folder / f"{name}.md").write_bytes(text)
    return made


def readable(name: str, text: bytes) -> bool:
    try:
        parse(text, path="t.md", expected_id=name)
    except TaskFormatError:
        return False
    return True


@pytest.fixture
def control(tmp_path: Path) -> Control:
    """A control plane that looks and starts nothing."""
    root = Root(str(tmp_path / ".autopilot"))
    made = control_of(
        root, clock=FakeClock(), settings=Settings(durability="process"), executors={}, launcher=Mock()
    )
    made.pause("a test")
    return made


def say(capfd: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capfd.readouterr()
    main(arguments)
    return json.loads(capfd.readouterr().out)


def told_of(control: Control) -> Counter[tuple[str, str]]:
    events = [json.loads(line.line) for line in control.log.read(types="task.invalid")]
    assert all(event["payload"]["message"] and event["payload"]["hint"] for event in events)
    return Counter((event["trace_id"], event["payload"]["digest"]) for event in events)


def test_nothing_is_invisible(
    files: dict[str, bytes],
    control: Control,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = {name for name, text in files.items() if not readable(name, text)}
    for _ in range(2):
        Dispatcher(control).tick()
    expected = Counter((name, hashlib.sha256(seen(files[name])).hexdigest()) for name in broken)
    assert told_of(control) == expected, "one event for each content, whoever looks and how often"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPILOT_DURABILITY", "process")
    rows = say(capfd, "task", "list", "-o", "json")
    assert sorted(row["id"] for row in rows) == sorted(files)
    invalid = {row["id"]: row for row in rows if row["status"] == "invalid"}
    assert invalid.keys() == broken
    assert all(row["reason"]["message"] and row["reason"]["hint"] for row in invalid.values())
    findings = [row for row in say(capfd, "doctor", "-o", "json") if row["check"] == "tasks"]
    named = {Path(row["detail"].partition(".md:")[0]).name for row in findings if row["status"] == "fail"}
    assert named == broken

    for name in broken:
        assert (Path(control.root.tasks) / f"{name}.md").read_bytes() == files[name]
    record("T6", "files in one root", files=len(files), invalid=len(broken), invisible=0)


def seen(text: bytes) -> bytes:
    """What is read of a file: one byte more than a task may have."""
    return text[: 1024 * 1024 + 1]


def test_another_content_is_told_of_again(control: Control) -> None:
    path = Path(control.root.tasks) / "one.md"
    looking = Dispatcher(control)
    for text in (b"---\ntitle: a: b\n---\n", b"---\ntitle: a: b: c\n---\n"):
        path.write_bytes(text)
        looking.tick()
        looking.tick()
    assert list(told_of(control).values()) == [1, 1]
