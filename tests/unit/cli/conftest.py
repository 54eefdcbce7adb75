"""Running ``autopilotctl`` in this process, on a root of the test's own."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from autopilot.cli.main import main


class Said(NamedTuple):
    """What a run of the program came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """stdout as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error object on stderr."""
        return json.loads(self.err.strip().splitlines()[-1])["error"]


Cli = Callable[..., Said]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the current one; no root in it yet, no plugins, and no fsync."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("AUTOPILOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AUTOPILOT_DURABILITY", "process")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def cli(project: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Call it with arguments; ``stdin`` is what the program reads."""

    def call(*arguments: str, stdin: bytes = b"") -> Said:
        capfdbinary.readouterr()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        code = main(arguments)
        sys.stdout.flush()
        told = capfdbinary.readouterr()
        return Said(code, told.out.decode(), told.err.decode())

    return call


@pytest.fixture
def write_task(project: Path) -> Callable[[str, str], Path]:
    """Put a task file into the queue, as an editor would."""

    def write(task_id: str, text: str) -> Path:
        folder = project / ".autopilot" / "tasks"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{task_id}.md"
        path.write_text(text, encoding="utf-8")
        return path

    return write
