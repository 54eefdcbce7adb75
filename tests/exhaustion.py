"""Running out of what a process may have, on purpose."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["no_more_files"]


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
