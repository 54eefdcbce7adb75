"""Which descriptors can be read or written now: poll(2), because select(2) fails from descriptor 1024 on."""

from __future__ import annotations

import select
from collections.abc import Iterable

__all__ = ["wait_ready"]


def wait_ready(
    reads: Iterable[int], writes: Iterable[int] = (), *, timeout: float | None = None
) -> tuple[frozenset[int], frozenset[int]]:
    """Block until one of the descriptors is ready.

    Args:
        timeout: seconds at most; None waits for ever.

    Returns:
        Those that can be read (an end of file or a fault can be, too) and those that can be written.
    """
    wanted = dict.fromkeys(reads, select.POLLIN)
    for fd in writes:
        wanted[fd] = wanted.get(fd, 0) | select.POLLOUT
    poll = select.poll()
    for fd, events in wanted.items():
        poll.register(fd, events)
    found = poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
    over = select.POLLHUP | select.POLLERR | select.POLLNVAL
    readable = frozenset(fd for fd, seen in found if wanted[fd] & select.POLLIN and seen & (select.POLLIN | over))
    writable = frozenset(
        fd for fd, seen in found if wanted[fd] & select.POLLOUT and seen & (select.POLLOUT | over)
    )
    return readable, writable
