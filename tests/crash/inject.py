"""Ways to die, and how many of them there are in a piece of work.

A piece of work is done in a forked child. It dies at a named failpoint, or before the k-th line that it executes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import attrs

from autopilot.system import failpoints
from tests.crash.forks import in_child

__all__ = ["Lines", "actions_at", "dies_at_line", "is_deadly", "lines_of", "passes_of", "with_faults"]

Work = Callable[[], object]

_PACKAGE = os.path.dirname(os.path.dirname(failpoints.__file__)) + os.sep
_WRITING = {"write", "pwrite", "open", "rename", "replace", "link", "unlink", "mkdir", "ftruncate", "chmod"}
_WRITING |= {"exchange"}
"""What changes the disk: functions of ``os``, and the one of ours that goes around it."""


def passes_of(work: Work) -> list[tuple[str, int]]:
    """Every failpoint that the undisturbed work passes, in order, each with the number of the pass."""
    with tempfile.NamedTemporaryFile("r") as log:

        def watched() -> None:
            failpoints.arm("", log.name)
            work()

        assert in_child(watched) == 0
        names = log.read().split()
    count: Counter[str] = Counter()
    found = []
    for name in names:
        count[name] += 1
        found.append((name, count[name]))
    return found


def actions_at(name: str) -> list[str]:
    """What can happen at a failpoint: the process dies, the disk refuses, a write is cut short by death."""
    torn = ["torn:1", "torn:half", "torn:-1"] if name.endswith(".write") or name == "log.heal.side" else []
    return ["kill", "ENOSPC", "EIO", "EACCES", *torn]


def is_deadly(action: str) -> bool:
    """Whether the process does not survive it."""
    return action == "kill" or action.startswith("torn")


def with_faults(spec: str, work: Work) -> Work:
    """The work with failpoints armed; see ``autopilot.system.failpoints``."""

    def armed() -> None:
        failpoints.arm(spec)
        work()

    return armed


@attrs.frozen
class Lines:
    """The lines that a piece of work executes.

    Attributes:
        count: how many.
        telling: those before which something was written since the line before. Death before any other line
            leaves what death before the last of these leaves: the same disk, and no process.
    """

    count: int
    telling: tuple[int, ...]


def lines_of(work: Work, *places: str) -> Lines:
    """The lines of the package that the undisturbed work executes.

    Args:
        places: whose lines count: beginnings of paths, the whole package when there are none.
    """
    with tempfile.NamedTemporaryFile("r") as told:

        def counted() -> None:
            tracer = _Tracer(places, 0)
            tracer.run(work)
            Path(told.name).write_text(json.dumps([tracer.lines, tracer.telling]))

        assert in_child(counted) == 0
        count, telling = json.loads(told.read())
    return Lines(count, tuple(telling))


def dies_at_line(number: int, work: Work, *places: str) -> Work:
    """The work, killed before it executes its ``number``-th line."""
    return lambda: _Tracer(places, number).run(work)


class _Tracer:
    def __init__(self, places: tuple[str, ...], kill_at: int) -> None:
        self.lines = 0
        self.telling: list[int] = []
        self._prefixes = places or (_PACKAGE,)
        self._kill_at = kill_at
        self._wanted: dict[CodeType, bool] = {}
        self._me = os.getpid()
        self._written = True

    def run(self, work: Work) -> None:
        if not self._kill_at:
            sys.setprofile(self._note_writing)
        sys.settrace(self._enter)
        try:
            work()
        finally:
            sys.settrace(None)
            sys.setprofile(None)

    def _enter(self, frame: FrameType, _: str, __: Any) -> Any:
        code = frame.f_code
        if code not in self._wanted:
            self._wanted[code] = code.co_filename.startswith(self._prefixes)
        return self._line if self._wanted[code] else None

    def _line(self, frame: FrameType, kind: str, _: Any) -> Any:
        if kind == "line":
            self.lines += 1
            # A child of the work has inherited the count, and is somebody else.
            if self.lines == self._kill_at and os.getpid() == self._me:
                os.kill(self._me, signal.SIGKILL)
            if self._written:
                self._written = False
                self.telling.append(self.lines)
        return self._line

    def _note_writing(self, frame: FrameType, kind: str, called: Any) -> None:
        if kind == "c_return":
            self._written |= called.__name__ in _WRITING
        elif kind == "return":
            self._written |= frame.f_code.co_name in _WRITING
