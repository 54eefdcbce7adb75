"""How long the long campaigns are, and where their figures go.

``AUTOPILOT_TEST_SIZE`` is a factor, 1 by default: what every change is tested with. A campaign grows with it up to
its own full size, so that 1000 means "full" for all of them. The figures of the last full runs stand in
docs/reliability.md; a campaign tells its own on stdout (``pytest -s``), and as one JSON line in the file that
``AUTOPILOT_FIGURES`` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from datetime import date

__all__ = ["FAST", "FULL", "record", "sample", "size"]

_FACTOR = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))

FULL = _FACTOR > 1
"""Whether this is more than the everyday run: for campaigns that know only a sample and all of it."""

FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A folder on the fastest disk there is, for ``tempfile``; None for the default."""


def size(small: int, full: int) -> int:
    """How many of something: ``small`` by default, ``full`` at the most."""
    return min(small * _FACTOR, full)


def sample(names: Iterable[str], count: int) -> list[str]:
    """All of them at full size; else so many, others on every day."""
    ordered = sorted(names)
    first = date.today().toordinal() * count
    return ordered if FULL else [ordered[(first + offset) % len(ordered)] for offset in range(count)]


def record(test: str, campaign: str, **figures: float | str) -> None:
    """Publish what a campaign did.

    Args:
        test: the id in docs/reliability.md, such as ``T1``.
        campaign: which part of it, in a few words.
        figures: numbers with their names, such as ``injections=1500``.
    """
    print(f"{test} {campaign}: " + ", ".join(f"{name} {value}" for name, value in figures.items()))
    if path := os.environ.get("AUTOPILOT_FIGURES"):
        line = json.dumps({"test": test, "campaign": campaign, "size": _FACTOR, **figures})
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(fd, line.encode() + b"\n")
        finally:
            os.close(fd)
