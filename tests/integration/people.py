"""People who save into a task file while programs write it, and who notice what they lose."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from autopilot.testing.stores import text_of
from tests.integration.editors import Save

__all__ = ["REPOSITORY", "Person", "program"]

REPOSITORY = Path(__file__).parents[2]
_SECOND_LOOK_S = 0.05


@contextlib.contextmanager
def program(root: str, naive: str, pause_s: float) -> Iterator[dict[str, Any]]:
    """The writer, at work in a process of its own; its counts when it has ended."""
    command = [sys.executable, "-m", "tests.integration.writer", root, naive, str(pause_s)]
    child = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    counts: dict[str, Any] = {}
    try:
        assert child.stdout and child.stdout.readline() == "ready\n"
        yield counts
        out, _ = child.communicate(timeout=60)
        counts.update(json.loads(out))
    finally:
        child.kill()
        child.wait()


class Person:
    """Adds a line at each save, and looks at each reading whether the earlier ones are still there.

    Attributes:
        saved: how many lines were saved.
        destroyed: lines that are nowhere: not in the file, and in no conflict copy.
        overwritten: lines that the person wrote over, having read the file in the instant in which another
            version stood there; a second look shows them in their place.
    """

    def __init__(self, root: str, save: Save) -> None:
        self.path = f"{root}/tasks/one.md"
        self.conflicts = f"{root}/conflicts"
        self.save = save
        self.saved = 0
        self.live: set[bytes] = set()
        self.destroyed: set[bytes] = set()
        self.overwritten: set[bytes] = set()
        os.makedirs(f"{root}/tasks", 0o700)
        Path(self.path).write_bytes(text_of("one", status="pending") + b"\n")

    def edit(self) -> None:
        base = self.look()
        line = f"line {self.saved}\n".encode()
        self.save(self.path, base, line)
        self.saved += 1
        self.live.add(line.strip())

    def look(self) -> bytes:
        """Read the file, and settle the account of what is not in it."""
        base = self.read()
        missing = self.live - set(base.split(b"\n"))
        if missing:
            time.sleep(_SECOND_LOOK_S)
            again = {*self.read().split(b"\n"), *self.kept()}
            self.destroyed |= missing - again
            self.overwritten |= missing & again - self.kept()
            self.live -= missing
        return base

    def read(self) -> bytes:
        # Nobody but this person ever takes the file away.
        return Path(self.path).read_bytes()

    def kept(self) -> set[bytes]:
        """Every line of every conflict copy."""
        with contextlib.suppress(FileNotFoundError):
            copies = [Path(self.conflicts, name).read_bytes() for name in os.listdir(self.conflicts)]
            return {line for copy in copies for line in copy.split(b"\n")}
        return set()

    def copies(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return len(os.listdir(self.conflicts))
        return 0
