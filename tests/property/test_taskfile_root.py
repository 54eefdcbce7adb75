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
from autopilot.store.markdown import LARGEST
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


def fault_of(name: str, text: bytes) -> TaskFormatError | None:
    try:
        parse(text, path="t.md", expected_id=name)
    except TaskFormatError as fault:
        return fault
    return None


def place_of(fault: TaskFormatError) -> str:
    """``line 3:7: ``, or as much of it as the fault has."""
    numbers = ":".join(str(number) for number in (fault.line, fault.column) if number)
    return f"line {numbers}: " if numbers else ""


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


def lines_told(control: Control) -> dict[str, tuple[int, int]]:
    events = [json.loads(line.line) for line in control.log.read(types="task.invalid")]
    return {event["trace_id"]: (event["payload"]["line"], event["payload"]["column"]) for event in events}


def test_nothing_is_invisible(
    files: dict[str, bytes],
    control: Control,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = {name: fault for name, text in files.items() if (fault := fault_of(name, text))}
    broken, places = faults.keys(), {name: place_of(fault) for name, fault in faults.items()}
    assert sum(map(bool, places.values())) > len(broken) / 2
    for _ in range(2):
        Dispatcher(control).tick()
    expected = Counter((name, hashlib.sha256(seen(files[name])).hexdigest()) for name in broken)
    assert told_of(control) == expected, "one event for each content, whoever looks and how often"
    assert lines_told(control) == {name: (fault.line, fault.column) for name, fault in faults.items()}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOPILOT_DURABILITY", "process")
    rows = say(capfd, "task", "list", "-o", "json")
    assert sorted(row["id"] for row in rows) == sorted(files)
    invalid = {row["id"]: row for row in rows if row["status"] == "invalid"}
    assert invalid.keys() == broken
    assert all(row["reason"]["hint"] for row in invalid.values())
    assert [name for name, row in invalid.items() if not says(row["reason"]["message"], places[name])] == []
    found = [row["detail"] for row in say(capfd, "doctor", "-o", "json") if row["check"] == "tasks"]
    details = {Path(path).name: said for path, _, said in (line.partition(".md: ") for line in found) if said}
    assert details.keys() == broken
    assert [name for name, said in details.items() if not says(said, places[name])] == []

    for name in broken:
        assert (Path(control.root.tasks) / f"{name}.md").read_bytes() == files[name]
    record("T6", "files in one root", files=len(files), invalid=len(broken), invisible=0)


def says(message: str, place: str) -> bool:
    """Whether it says something, and where."""
    return message.startswith(place) and len(message) > len(place)


def seen(text: bytes) -> bytes:
    """What is read of a file: one byte more than a task may ever have."""
    return text[: LARGEST + 1]


def test_another_content_is_told_of_again(control: Control) -> None:
    path = Path(control.root.tasks) / "one.md"
    looking = Dispatcher(control)
    for text in (b"---\ntitle: a: b\n---\n", b"---\ntitle: a: b: c\n---\n"):
        path.write_bytes(text)
        looking.tick()
        looking.tick()
    assert list(told_of(control).values()) == [1, 1]
