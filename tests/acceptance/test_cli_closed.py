"""What may not be read or entered of one task stops that task, and no other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.bench import RIGHTLESS


@pytest.fixture
def close() -> Iterator[Any]:
    """Closes a folder until the test is over."""
    closed: list[Path] = []

    def shut(folder: Path) -> None:
        closed.append(folder)
        folder.chmod(0)

    yield shut
    for folder in closed:
        folder.chmod(0o700)


@pytest.fixture
def anybody(program: Any) -> Any:
    """The program with the rights of any user, and a task that can run."""
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        pytest.skip("root without setpriv (util-linux) may enter everything")
    program.task("fine", "true")
    program.prefix = RIGHTLESS if os.geteuid() == 0 else ()
    return program


def test_a_closed_repo(anybody: Any, close: Any) -> None:
    (anybody.folder / "locked").mkdir()
    for name in ("one", "two", "three"):
        anybody("task", "create", "--id", name, "--title", "T", "--repo", "locked", "--command", "true")
    close(anybody.folder / "locked")
    said = anybody("dispatch", "tick", "-o", "json")
    assert (said.code, [row["outcome"] for row in said.data]) == (0, ["succeeded"]), said.err
    why = anybody("why", "one", "-o", "json").data
    assert why["reason"]["code"] == "workspace"
    assert "locked cannot be entered: Permission denied" in why["reason"]["message"]


def test_a_closed_run_folder(anybody: Any, close: Any) -> None:
    anybody("task", "create", "--id", "odd", "--title", "T", "--command", "true")
    runs = anybody.root / "runs" / "odd"
    runs.mkdir(parents=True)
    close(runs)
    said = anybody("dispatch", "tick", "-o", "json")
    assert (said.code, [row["task_id"] for row in said.data]) == (4, ["fine"]), said.err
    sentence = f"cannot read {runs}: Permission denied"
    assert f"odd is left alone: {sentence} (check the owner and mode of that path)" in said.err
    why = anybody("why", "odd", "-o", "json").data
    assert (why["reason"]["code"], why["reason"]["message"]) == ("fault", sentence)


def test_a_closed_tasks_folder_is_told_as_what_it_is(anybody: Any, close: Any) -> None:
    close(anybody.root / "tasks")
    for command in ("task list", "dispatch tick"):
        said = anybody(*command.split())
        assert said.code == 4
        assert said.err.startswith(f"error: cannot read {anybody.root}/tasks: Permission denied"), said.err
