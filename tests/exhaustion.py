"""What a process has open or locked, and running out of it on purpose."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["lockers", "no_more_files", "open_below"]


@contextmanager
def no_more_files(spare: int = 0) -> Iterator[None]:
    """This process can open ``spare`` files more and no other, whatever it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [os.dup(1) for _ in range(spare + 1)]
    for fd in free:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[-1], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_below(folder: str) -> list[str]:
    """Every file below the folder that this process has open, of those that were deleted, too; Linux only."""
    targets = (_target(number) for number in os.listdir("/proc/self/fd"))
    return sorted(target for target in targets if target.startswith(folder))


def lockers() -> set[int]:
    """The pids of all who hold a lock (flock), where the system tells; Linux only."""
    try:
        with open("/proc/locks", encoding="ascii") as file:
            locks = [line.split() for line in file]
    except OSError:
        return set()
    return {int(words[4]) for words in locks if words[1] == "FLOCK"}


def _target(number: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""
