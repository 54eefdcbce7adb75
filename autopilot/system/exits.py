"""Keep ``os._exit`` in code of others from ending this process: a slip of theirs, as ``sys.exit`` would be."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import NoReturn, TypeVar

__all__ = ["ExitRefused", "refuse_exits", "staying"]

Result = TypeVar("Result")

_leave = os._exit
_guarded = threading.local()


class ExitRefused(Exception):  # noqa: N818 - what happened, as a sentence without its subject
    """Code that runs under ``staying`` wanted to end the process; the text says how."""


def refuse_exits() -> None:
    """Make ``staying`` work in this process. To be called before code of others is imported, which may keep the
    function that it finds."""
    os._exit = _exit_or_refuse


def staying(work: Callable[[], Result]) -> Result:
    """Run ``work``; ``os._exit`` in it, in this thread, raises ExitRefused. A child that it forks ends as ever."""
    _guarded.pid = os.getpid()
    try:
        return work()
    finally:
        _guarded.pid = None


def _exit_or_refuse(status: int) -> NoReturn:
    if getattr(_guarded, "pid", None) == os.getpid():
        raise ExitRefused(f"it called os._exit({status!r})")
    _leave(status)
