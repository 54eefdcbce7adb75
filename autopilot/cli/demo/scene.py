"""The scene of the demo: a small git repository with a failing test, and the tasks that mend it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from autopilot.errors import SetupError

__all__ = ["TASKS", "Scene", "build", "run_tests"]

PYTHON = shlex.quote(sys.executable)
TESTS = f"{PYTHON} -m unittest -q"

_FILES = {
    "stats.py": "def mean(values):\n    return sum(values) / (len(values) + 1)\n",
    "test_stats.py": (
        "import unittest\n\nfrom stats import mean\n\n\n"
        "class MeanTest(unittest.TestCase):\n"
        "    def test_mean(self):\n"
        "        self.assertEqual(mean([2, 4, 6]), 4)\n"
    ),
    ".gitignore": "/.autopilot/\n/data.csv\n__pycache__/\n",
}

_FIX = """\
from pathlib import Path
file = Path("stats.py")
file.write_text(file.read_text().replace("(len(values) + 1)", "len(values)"))
"""

_DOWNLOAD = (
    'if [ -e ../server-is-up ]; then echo "a,b" > data.csv; '
    "else touch ../server-is-up; echo 'the server is not ready yet' >&2; exit 1; fi"
)

TASKS: tuple[tuple[Mapping[str, Any], str], ...] = (
    (
        {
            "id": "count-lines",
            "title": "Count the lines of code",
            "priority": "low",
            "task_type": "chore",
            "command": "wc -l *.py",
        },
        "Nothing verifies this one: it ends as done, and is shown as unverified.\n",
    ),
    (
        {
            "id": "download-data",
            "title": "Fetch the data from a server that is slow to start",
            "priority": "medium",
            "task_type": "chore",
            "command": _DOWNLOAD,
            "verify": ["test -s data.csv"],
        },
        "The first attempt fails, the second one succeeds.\n",
    ),
    (
        {
            "id": "write-notes",
            "title": "Write the release notes",
            "priority": "high",
            "task_type": "docs",
            "depends_on": ["fix-mean"],
            "command": "echo '- mean() divides by the right number' > NOTES.md && "
            "git add NOTES.md && git commit -q -m 'Add release notes'",
            "verify": ["grep -q mean NOTES.md"],
        },
        "Waits until the bug is fixed.\n",
    ),
    (
        {
            "id": "fix-mean",
            "title": "Fix mean(): its test fails",
            "priority": "critical",
            "task_type": "bugfix",
            "command": f"{PYTHON} -c {shlex.quote(_FIX)} && git commit -q -a -m 'Fix mean()'",
            "touches": ["stats.py"],
            "verify": [TESTS],
        },
        "Done means: the test passes. That is checked, and not believed.\n",
    ),
)
"""Frontmatter and body of each task, queued in this order on purpose: the one to start first comes last."""


class Scene(NamedTuple):
    """Where it plays.

    Attributes:
        folder: the temporary folder, removed at the end.
        repository: the git repository in it, and the project's folder of the root.
    """

    folder: str
    repository: str

    @property
    def root(self) -> str:
        """The Autopilot root."""
        return os.path.join(self.repository, ".autopilot")


def build(folder: str) -> Scene:
    """Make the repository in ``folder``.

    Raises:
        SetupError: git is missing, or refuses.
    """
    scene = Scene(folder, os.path.join(folder, "project"))
    os.mkdir(scene.repository)
    for name, text in _FILES.items():
        with open(os.path.join(scene.repository, name), "w", encoding="utf-8") as file:
            file.write(text)
    _git(scene, "init", "-q")
    for key, value in (
        ("user.name", "Autopilot demo"),
        ("user.email", "demo@localhost"),
        ("commit.gpgsign", "false"),
        ("core.hooksPath", os.devnull),
    ):
        _git(scene, "config", key, value)
    _git(scene, "add", "-A")
    _git(scene, "commit", "-q", "-m", "A program with a bug")
    return scene


def run_tests(scene: Scene) -> bool:
    """Whether the repository's own test passes."""
    done = subprocess.run(
        [sys.executable, "-m", "unittest", "-q"], cwd=scene.repository, capture_output=True, check=False
    )
    return done.returncode == 0


def _git(scene: Scene, *words: str) -> None:
    try:
        subprocess.run(["git", *words], cwd=scene.repository, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise SetupError("the demo needs git, which is not on PATH", hint="install git") from None
    except subprocess.CalledProcessError as fault:
        raise SetupError(f"git {words[0]} failed: {fault.stderr.strip()}") from fault
