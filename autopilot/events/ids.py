"""Ids of events: unique at any rate, in any number of writers, and after any fork."""

from __future__ import annotations

import itertools
import os
import re

__all__ = ["task_event_id", "task_of", "unique_event_id"]

_TASK_EVENT = re.compile(r"evt-(.+)\.\d+\.\d+", re.DOTALL)


def _reseed() -> None:
    global _seed, _counter
    _seed = f"{os.getpid():x}-{os.urandom(8).hex()}"
    _counter = itertools.count()


_seed: str
_counter: itertools.count[int]
_reseed()
# A child of fork inherits seed and counter; without a new seed it would repeat its parent's next ids.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed)


def unique_event_id(epoch_s: float) -> str:
    """``evt-<milliseconds>-<pid>-<64 random bits of this process>-<counter>``, all hexadecimal.

    Args:
        epoch_s: the wall time in seconds; it makes ids sort roughly by time and is not what makes them unique.
    """
    return f"evt-{max(0, int(epoch_s * 1000)):012x}-{_seed}-{next(_counter):x}"


def task_event_id(task_id: str, token: int, seq: int) -> str:
    """The id of an event that belongs to a task: the same commit projected twice gives the same id."""
    return f"evt-{task_id}.{token}.{seq}"


def task_of(event_id: str) -> str | None:
    """The task that an event id names; None for the unique ids."""
    found = _TASK_EVENT.fullmatch(event_id)
    return found[1] if found else None
