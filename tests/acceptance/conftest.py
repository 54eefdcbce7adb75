"""Running the installed program as people do: a process, a folder, and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DEADLINE_S = 180


class Said(NamedTuple):
    """What a run of the program came to."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """stdout as JSON."""
        return json.loads(self.out)


class Program:
    """``autopilotctl`` in one project folder.

    Args:
        folder: the project's folder; the program's working folder.
        prefix: an argv to put in front, such as a command that makes a folder read-only.
    """

    def __init__(self, folder: Path, prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.root = folder / ".autopilot"
        self.prefix = prefix
        self.children: list[subprocess.Popen[str]] = []

    def argv(self, *arguments: str) -> list[str]:
        return [*self.prefix, sys.executable, "-m", "autopilot.cli", *arguments]

    @property
    def environ(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPILOT_")}
        return {**kept, "AUTOPILOT_DURABILITY": "process", "PYTHONUNBUFFERED": "1"}

    def __call__(self, *arguments: str) -> Said:
        done = subprocess.run(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In the background; ended with the test."""
        child = subprocess.Popen(
            self.argv(*arguments),
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.children.append(child)
        return child

    def task(self, task_id: str, command: str, *arguments: str) -> None:
        """Queue a shell command."""
        said = self("task", "create", "--id", task_id, "--command", command, *arguments)
        assert said.code == 0, said.err

    def status(self, task_id: str) -> str:
        return str(self("task", "status", task_id, "-o", "json").data["status"])


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that is bound to happen."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_S} s: {what}"
        time.sleep(0.1)


@pytest.fixture(name="until")
def until_fixture() -> Callable[[Callable[[], object], str], None]:
    return until


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """The program in an empty folder. What it left running is cancelled, and ended by its pid."""
    yield from running_in(tmp_path / "project")


@pytest.fixture(scope="module")
def shared_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The same for a whole module: for tests that cannot disturb each other."""
    yield from running_in(tmp_path_factory.mktemp("shared") / "project")


def running_in(folder: Path) -> Iterator[Program]:
    """The program in a new folder, until it is no longer needed."""
    folder.mkdir()
    program = Program(folder)
    yield program
    program.prefix = ()
    for child in program.children:
        child.kill()
        child.communicate(timeout=DEADLINE_S)
    held = [
        row["id"]
        for row in program("task", "list", "-o", "json").data
        if row["status"] in ("claimed", "in_progress")
    ]
    if held:
        program("task", "cancel", *held, "--wait", "--timeout", "60")


# ---------------------------------------------------------------------- wheels and clean environments

REPOSITORY = Path(__file__).resolve().parents[2]


class Environment:
    """A virtual environment, and a folder outside the checkout to work in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "env"
        self.work = folder / "work"
        self.work.mkdir()
        venv.create(self.folder, with_pip=False)
        self.bin = self.folder / "bin"

    def run(self, *words: str, code: int | None = 0, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of this environment, or one by its whole path; checks its exit code unless ``code`` is
        None."""
        ours = ("AUTOPILOT", "PYTHON", "COV")
        keep = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        env = {**keep, "PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "NO_COLOR": "1", **more}
        done = subprocess.run(
            [str(self.bin / words[0]), *words[1:]],
            cwd=self.work,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{words} gave {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def pip(self, *words: str) -> str:
        """Standard output of pip: ours, for this environment, which needs none of its own."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.bin / "python"), "--disable-pip-version-check"]
        return self.run(*pip, *words).stdout

    def ctl(self, *words: str, code: int | None = 0) -> str:
        """Standard output of ``autopilotctl``."""
        return self.run("autopilotctl", *words, code=code).stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheels of the core, the adapters and the example package."""
    folder = tmp_path_factory.mktemp("wheels")
    example = REPOSITORY / "examples" / "third-party-executor"
    packages = [REPOSITORY, *sorted(REPOSITORY.glob("autopilot-adapter-*")), example]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*pip, *map(str, packages)], check=True, capture_output=True)
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[], Environment]:
    """Make an empty environment."""
    return lambda: Environment(tmp_path)
