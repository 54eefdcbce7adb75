"""Notes who belongs to the attempt, for a successor that finds runner and launcher dead."""

from __future__ import annotations

import os

from autopilot.errors import StorageError
from autopilot.runner.folders import write_tree
from autopilot.system.clock import Clock
from autopilot.system.process_table import descendant_rows
from autopilot.system.processes import boot_id

__all__ = ["Trail"]

_FIRST_S = 1.0
_LONGEST_S = 10.0


class Trail:
    """Keeps ``tree.json`` in step with the process tree; what cannot be written is left out.

    A look costs a pass over the process table, so that looks become rarer, from one a second to one in ten,
    while nothing changes. Nothing is noted in the first second: children of the runner that run our code die with
    it, and programs carry the mark.
    """

    def __init__(self, run_dir: str, clock: Clock) -> None:
        self._run_dir = run_dir
        self._clock = clock
        self._noted: list[tuple[int, str]] = []
        self._pause = _FIRST_S
        self._due = clock.monotonic() + _FIRST_S

    def look(self) -> None:
        """Note all descendants, when it is time to."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        found = [(row.pid, row.start) for row in descendant_rows(os.getpid()) if row.alive]
        if found == self._noted:
            self._pause = min(2 * self._pause, _LONGEST_S)
        else:
            self._pause = _FIRST_S
            self._write(found)
        self._due = now + self._pause

    def _write(self, processes: list[tuple[int, str]]) -> None:
        try:
            write_tree(self._run_dir, boot_id(), processes)
            self._noted = processes
        except (StorageError, OSError):
            # The disk is full: the processes are still marked in their environment.
            pass
