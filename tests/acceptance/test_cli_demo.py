"""The demo does the real thing, and is honest about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("autopilot_adapter_local", reason="the local adapter does the work here")

REPOSITORY = Path(__file__).parents[2]
IN_ORDER = [
    "A git repository with a bug",
    "The queue",
    "Dispatching",
    "What became of them",
    "The decisions",
    "The trail",
    "The result",
]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def check(out: str) -> None:
    places = [out.index(title) for title in IN_ORDER]
    assert places == sorted(places)
    assert "FAILS, as it should for now" in out
    assert "download-data: failed" in out
    assert "All tasks ended as expected" in out
    assert "task.done" in out


def test_the_demo(program: Any, temporary: Path) -> None:
    said = program("demo")
    assert said.code == 0, said.out + said.err
    check(said.out)
    assert list(temporary.iterdir()) == []
    assert list(program.folder.iterdir()) == []


def test_the_script_is_the_same(temporary: Path) -> None:
    script = REPOSITORY / "examples" / "quickstart" / "run_demo.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    check(done.stdout)


def test_keeping_the_folder(program: Any, temporary: Path) -> None:
    assert program("demo", "--keep").code == 0
    (folder,) = temporary.iterdir()
    program.folder = folder / "project"
    assert sorted(program("task", "list", "-o", "name").out.split()) == [
        "count-lines",
        "download-data",
        "fix-mean",
        "write-notes",
    ]
    log = subprocess.run(
        ["git", "log", "--format=%s"], cwd=program.folder, capture_output=True, text=True, check=True
    )
    assert log.stdout.splitlines() == ["Add release notes", "Fix mean()", "A program with a bug"]


def test_without_git_it_says_what_is_missing(
    program: Any, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    said = program("demo")
    assert said.code == 4
    assert "hint: install git" in said.err


def test_a_demo_that_goes_wrong_says_so(temporary: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    from autopilot.cli.demo import play, verdict

    monkeypatch.setattr(play, "MOST_TICKS", 1)
    assert play.run_demo() == 1
    out = capfd.readouterr().out
    assert "Not as expected" in out
    assert "write-notes is pending, not done" in out
    assert set(verdict.ATTEMPTS) == {"fix-mean", "write-notes", "download-data", "count-lines"}
