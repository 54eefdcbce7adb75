"""Ways to die, and how many of them there are in a piece of work.

A piece of work is done in a forked child. It dies at a named failpoint, or before the k-th line that it executes.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from autopilot.system import failpoints
from tests.crash.forks import in_child

__all__ = ["actions_at", "dies_at_line", "line_count", "passes_of", "with_faults"]

Work = Callable[[], object]

_PACKAGE = os.path.dirname(os.path.dirname(failpoints.__file__)) + os.sep


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


def with_faults(spec: str, work: Work) -> Work:
    """The work with failpoints armed; see ``autopilot.system.failpoints``."""

    def armed() -> None:
        failpoints.arm(spec)
        work()

    return armed


def line_count(work: Work, *places: str) -> int:
    """How many lines of the package the undisturbed work executes.

    Args:
        places: whose lines count: paths of files or folders, those of the package when there are none.
    """
    with tempfile.NamedTemporaryFile("r") as told:

        def counted() -> None:
            Path(told.name).write_text(str(_trace(work, places, 0)))

        assert in_child(counted) == 0
        return int(told.read())


def dies_at_line(number: int, work: Work, *places: str) -> Work:
    """The work, killed before it executes its ``number``-th line of the package."""
    return lambda: _trace(work, places, number)


def _trace(work: Work, places: tuple[str, ...], kill_at: int) -> int:
    prefixes = places or (_PACKAGE,)
    me, lines = os.getpid(), 0
    wanted: dict[CodeType, bool] = {}

    def local(frame: FrameType, kind: str, _: Any) -> Any:
        nonlocal lines
        if kind == "line":
            lines += 1
            # A child of the work has inherited the count, and is somebody else.
            if lines == kill_at and os.getpid() == me:
                os.kill(me, signal.SIGKILL)
        return local

    def trace(frame: FrameType, _: str, __: Any) -> Any:
        code = frame.f_code
        if code not in wanted:
            wanted[code] = code.co_filename.startswith(prefixes)
        return local if wanted[code] else None

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return lines
