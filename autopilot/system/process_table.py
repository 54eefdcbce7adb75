"""Who is whose child: the process table, read in one pass.

``/proc/<pid>/task/<tid>/children`` needs a kernel option that many kernels lack, and is exact only for stopped
processes. One pass over ``/proc/*/stat`` costs about 6 µs a process and works everywhere on Linux; elsewhere
``ps`` answers the same question.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from typing import NamedTuple

__all__ = ["GONE", "Row", "descendant_rows", "descendants", "every_pid", "row_of", "table"]

GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
"""How ``/proc`` refuses to tell of a process that is gone, or is somebody else's. Any other refusal, such as too
many open files, is no sign of death."""


class Row(NamedTuple):
    """One process.

    Attributes:
        state: ``R``, ``S``, ``D``, ``T``, ``t``, ``Z`` … as ``ps`` shows it.
        start: the kernel's start time as text, which tells two holders of one pid apart.
        threads: how many it has.
    """

    pid: int
    parent: int
    state: str
    start: str
    threads: int = 1

    @property
    def alive(self) -> bool:
        """Whether it still can do anything. A zombie cannot, unless just its first thread has ended."""
        return self.state not in ("Z", "X") or self.threads > 1


def row_of(pid: int) -> Row | None:
    """One process's row, None where there is no such process, or none that we may look at.

    Raises:
        OSError: it cannot be known now, such as with too many files open.
    """
    if sys.platform != "linux":
        return _rows_of_ps(["-p", str(pid)]).get(pid)
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except GONE:
        return None
    try:
        text = os.read(fd, 1024)
    except ProcessLookupError:  # it ended between open and read
        return None
    finally:
        os.close(fd)
    # The command name is in parentheses and may hold any byte: count from the last parenthesis.
    fields = text[text.rfind(b")") + 2 :].decode("ascii", "replace").split(None, 20)
    return Row(pid, int(fields[1]), fields[0], fields[19], int(fields[17])) if len(fields) > 20 else None


def every_pid() -> Iterator[int]:
    """The pids of this host, in ``/proc``, and then of those that appeared meanwhile, until nobody new does.

    A process that forks and goes, again and again, is missed by a single pass: gone before its turn came, and its
    child not yet listed. Here one of that line is met while it lives.

    Raises:
        OSError: there is no ``/proc``.
    """
    seen: set[int] = set()
    while fresh := {int(name) for name in os.listdir("/proc") if name.isdigit()} - seen:
        seen |= fresh
        yield from sorted(fresh)


def table() -> dict[int, Row]:
    """All processes of this host that we can see, by pid."""
    if sys.platform != "linux":
        return _rows_of_ps(["-ax"])
    found = (row_of(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {row.pid: row for row in found if row is not None}


def _rows_of_ps(selection: list[str]) -> dict[int, Row]:
    command = ["ps", *selection, "-o", "pid=,ppid=,stat=,lstart="]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return {}
    rows = {}
    for line in done.stdout.splitlines():
        fields = line.split(None, 3)
        if len(fields) == 4 and fields[0].isdigit():
            rows[int(fields[0])] = Row(int(fields[0]), int(fields[1]), fields[2][0], fields[3].strip())
    return rows


def descendant_rows(*pids: int, without: Collection[int] = ()) -> list[Row]:
    """All processes below these, parents before children, zombies included; one pass for all of them.

    Args:
        without: pids to leave out, with everything below them.
    """
    children: dict[int, list[Row]] = {}
    for row in table().values():
        children.setdefault(row.parent, []).append(row)
    found: list[Row] = []
    parents = list(pids)
    while parents:
        below = [row for row in children.pop(parents.pop(0), ()) if row.pid not in without]
        found += below
        parents += [row.pid for row in below]
    return found


def descendants(pid: int) -> list[int]:
    """The pids of all live processes below ``pid``, parents before children."""
    return [row.pid for row in descendant_rows(pid) if row.alive]
