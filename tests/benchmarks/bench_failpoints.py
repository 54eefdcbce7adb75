"""What failpoints cost when they are off: of one pass, and of a task's whole life in the file store.

    python tests/benchmarks/bench_failpoints.py

The life is that of the crash campaign, without fsync, which is when the share is largest. Best of five rounds.
"""

from __future__ import annotations

import sys
import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from autopilot.system.failpoints import failpoint
from tests.campaign import FAST
from tests.crash.inject import passes_of
from tests.crash.life import Life

ROUNDS = 5
LIVES = 20
CALLS = 200_000


def nothing(name: str) -> None:
    """A call that does nothing: the least that a named place can cost."""


def lives(count: int) -> None:
    """So many tasks, from creation to done, each in a root of its own."""
    for _ in range(count):
        with tempfile.TemporaryDirectory(dir=FAST) as folder:
            Life(Path(folder)).live()


def best(call: Callable[[str], object]) -> float:
    """Seconds of one call."""
    names = {"call": call}
    return min(timeit.repeat("call('a')", number=CALLS, repeat=ROUNDS, globals=names)) / CALLS


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        passes = len(passes_of(lambda: Life(Path(folder)).live()))
    off, bare = best(failpoint), best(nothing)
    life = min(timeit.repeat(lambda: lives(LIVES), number=1, repeat=ROUNDS)) / LIVES
    print(f"a pass, off: {off / bare:.2f} times an empty call ({off * 1e9:.0f} ns)")
    print(f"a task's life: {passes} passes, {100 * passes * off / life:.3f} % of it")


if __name__ == "__main__":
    main()
