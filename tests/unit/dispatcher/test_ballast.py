"""Space that is set aside, and what happens while there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autopilot.dispatcher import loop
from autopilot.dispatcher.ballast import Ballast
from autopilot.errors import StorageError
from autopilot.system import failpoints


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def test_it_is_there_once_and_its_space_is_taken(tmp_path: Path) -> None:
    ballast = Ballast(str(tmp_path))
    ballast.take_in()
    (path,) = tmp_path.iterdir()
    facts = path.stat()
    assert facts.st_size == facts.st_blocks * 512 == 1024 * 1024
    ballast.take_in()
    assert path.stat().st_ino == facts.st_ino
    ballast.drop()
    ballast.drop()
    assert os.listdir(tmp_path) == []


def test_a_state_that_somebody_cleared_away_is_made_anew(tmp_path: Path) -> None:
    Ballast(str(tmp_path / "state")).take_in()
    assert os.listdir(tmp_path / "state") == ["ballast"]


def test_what_a_killed_one_left_is_used(tmp_path: Path) -> None:
    """The kill comes when half of it is written."""
    child = os.fork()
    if child == 0:
        failpoints.arm("ballast.write=torn:half")
        Ballast(str(tmp_path)).take_in()
        os._exit(1)
    os.waitpid(child, 0)
    assert os.listdir(tmp_path) == ["ballast.tmp"]
    Ballast(str(tmp_path)).take_in()
    (path,) = tmp_path.iterdir()
    assert (path.name, path.stat().st_size) == ("ballast", 1024 * 1024)


def test_two_that_take_it_in_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.rename

    def rename(old: str, new: str) -> None:
        monkeypatch.setattr(os, "rename", real)
        Ballast(str(tmp_path)).take_in()
        real(old, new)

    monkeypatch.setattr(os, "rename", rename)
    Ballast(str(tmp_path)).take_in()
    (path,) = tmp_path.iterdir()
    assert (path.name, path.stat().st_size) == ("ballast", 1024 * 1024)


def test_no_room_for_it(tmp_path: Path) -> None:
    failpoints.arm("ballast.write=ENOSPC")
    with pytest.raises(StorageError, match="No space left"):
        Ballast(str(tmp_path)).take_in()
    assert os.listdir(tmp_path) == []


def test_a_process_that_may_write_no_such_file_does_without(tmp_path: Path) -> None:
    failpoints.arm("ballast.write=EFBIG")
    Ballast(str(tmp_path)).take_in()
    assert os.listdir(tmp_path) == []


def test_without_it_nothing_starts_and_what_runs_is_adopted(arena: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "_DISK_AGAIN_S", 0)
    arena.executor("coder")
    arena.task("one")
    failpoints.arm("ballast.write=ENOSPC@1,ballast.write=ENOSPC@2")
    reports: list[Any] = []
    arena.dispatcher.run(lambda: len(reports) >= 3, reports.append)
    assert [len(report.started) for report in reports] == [0, 0, 1]
    assert "No space left" in reports[0].notes[0]
    kinds = [event["event_type"] for event in arena.events()]
    assert kinds.index("storage.failed") < kinds.index("task.claimed") < kinds.index("storage.recovered")
