"""People move tracked task files about with git while programs write them (T13): git's lines all stay."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from autopilot.testing.stores import text_of
from tests.campaign import record, size
from tests.integration.people import program

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2 and leases"),
    pytest.mark.timeout(size(300, 4 * 3600)),
]

_TRIES = 50
_GIT = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "gc.auto=0")
_PARTS = {"main": b"## Main\n", "feature": b"## Feature\n"}
_APART = b"\n.\n.\n.\n.\n.\n\n"


class Desk:
    """A repository with one tracked task, whose lines on two branches a person adds to and brings together.

    Attributes:
        lines: what each branch's text must have.
        lost: lines that git had put into the file and that are not there, nor in a conflict copy.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / ".autopilot"
        self.path = self.root / "tasks" / "one.md"
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(text_of("one", status="pending") + _APART.join([*_PARTS.values(), b""]))
        self.branch = "main"
        self.lines: dict[str, list[bytes]] = {"main": [], "feature": []}
        self.count = self.operations = self.refused = 0
        self.lost: set[bytes] = set()
        for command in (
            ("init", "-q", "-b", "main"),
            ("add", "-f", ".autopilot/tasks"),
            ("commit", "-qm", "first"),
        ):
            self.git(*command, check=True)
        self.git("branch", "feature", check=True)

    def git(self, *arguments: str, check: bool = False) -> bool:
        done = subprocess.run([*_GIT, *arguments], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0 or not check, done.stderr
        self.said = done.stderr + done.stdout
        return done.returncode == 0

    def until_it_works(self, *arguments: str) -> None:
        """Git refuses when the program's own lines change under it."""
        for _ in range(_TRIES):
            if self.git(*arguments):
                break
            self.refused += 1
            said = self.said
            self.git("reset", "-q", "--hard")
            self.git(arguments[0], "--quit")
            self.git("checkout", "-q", "-f", self.branch)
        else:
            raise AssertionError(f"git {' '.join(arguments)} never worked: {said}")
        # What an autostash could not put back is the program's.
        self.git("stash", "clear")
        self.operations += 1
        self.look()

    def look(self) -> None:
        """Whether the branch's lines are in the file, or kept; a program's exchange may take a moment."""
        for pause in (0.0, 0.01, 0.1, 0.5):
            time.sleep(pause)
            missing = [line for line in self.lines[self.branch] if line not in self.everything()]
            if not missing:
                return
        self.lost.update(missing)
        self.lines[self.branch] = [line for line in self.lines[self.branch] if line not in missing]

    def everything(self) -> set[bytes]:
        copies = (self.root / "conflicts").glob("*")
        texts = [path.read_bytes() for path in (self.path, *copies) if path.exists()]
        return {line for text in texts for line in text.split(b"\n")}

    # ------------------------------------------------------------------ what a person does

    def write(self) -> None:
        line = f"line {self.count}".encode()
        self.count += 1
        text = self.path.read_bytes()
        beside = self.folder / "beside"
        beside.write_bytes(text.replace(_PARTS[self.branch], _PARTS[self.branch] + line + b"\n"))
        beside.replace(self.path)
        self.lines[self.branch].append(line)
        self.look()

    def change_to(self, branch: str) -> None:
        self.git("commit", "-qam", "a line")
        self.branch = branch
        self.until_it_works("checkout", "-q", "-f", branch)

    def stash_and_pop(self) -> None:
        self.write()
        stashed = self.lines[self.branch].pop()
        if self.git("stash", "push", "-q"):
            self.operations += 1
            if not self.git("stash", "pop", "-q"):
                # The program changed the same line as the stash: the person takes the stash's side.
                self.git("checkout", "-q", "stash@{0}", "--", ".", check=True)
                self.git("stash", "drop", "-q", check=True)
            self.operations += 1
        self.lines[self.branch].append(stashed)
        self.look()

    def rebase(self) -> None:
        self.change_to("feature")
        self.lines["feature"] = [*self.lines["main"], *self.lines["feature"]]
        self.until_it_works("rebase", "-q", "--autostash", "-X", "theirs", "main")
        self.change_to("main")
        self.lines["main"] = self.lines["feature"]
        self.until_it_works("merge", "-q", "--autostash", "-X", "theirs", "feature")
        self.lines["feature"] = list(self.lines["main"])

    def round(self) -> None:
        self.write()
        self.change_to("feature")
        self.write()
        self.stash_and_pop()
        self.change_to("main")
        self.write()
        self.rebase()


def test_git_and_the_program_share_a_task(tmp_path: Path) -> None:
    total: Counter[str] = Counter()
    for session in range(size(1, 25)):
        ours, naive = Desk(tmp_path / f"store{session}"), Desk(tmp_path / f"naive{session}")
        with program(str(ours.root), str(naive.path), 0.1) as counts:
            for _ in range(size(4, 20)):
                ours.round()
                naive.round()
        total.update(
            operations=ours.operations,
            refused_by_git=ours.refused,
            lines=ours.count,
            lost=len(ours.lost),
            program_writes=counts["writes"],
            naive_writes=counts["naive_writes"],
            naive_lost=len(naive.lost),
        )
    record("T13", "git checkout, rebase, merge, stash", **total)
    assert total["program_writes"]
    assert total["lost"] == 0
