"""The program's half: the real store takes a task up and puts it down again, and beside it a naive program does.

    python -m tests.integration.writer STORE_ROOT NAIVE_FILE PAUSE_S

Until its input ends; then it tells its counts as JSON.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys

from autopilot.errors import AutopilotError
from autopilot.models import Ending, Lease, Status
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.system.processes import identify

TASK = "one"


class Writer:
    """One claim or one end at each step, so that both writes of a task's life are met."""

    def __init__(self, root: str, naive: str) -> None:
        self.store = FileStore(root, publish=lambda events: None, durability="process")
        self.naive = naive
        self.lease: Lease | None = None
        self.writes = self.put_off = self.naive_writes = 0

    def step(self) -> None:
        try:
            self.store.project()
            self.lease = self.claim() if self.lease is None else self.end(self.lease)
            self.writes += 1
        except (AutopilotError, OSError):
            self.put_off += 1
            self.repair()

    def claim(self) -> Lease:
        limits = SlotLimits(total=1)
        return self.store.claim(TASK, executor="x", owner=identify(), limits=limits, ttl_s=60.0)

    def end(self, lease: Lease) -> None:
        self.store.finish(lease, Ending(status=Status.PENDING, record=lease.record))

    def repair(self) -> None:
        """A save brought back the text of an attempt that has ended."""
        try:
            if self.lease is None and self.store.lease(TASK) is None:
                self.store.edit(TASK, {"status": "pending"})
        except (AutopilotError, OSError):
            self.put_off += 1

    def naive_step(self) -> None:
        """Read, change the status, rename over it: what everybody writes first."""
        word = b"claimed" if self.naive_writes % 2 else b"pending"
        try:
            with open(self.naive, "rb") as file:
                text = file.read()
            with open(f"{self.naive}.tmp", "wb") as file:
                file.write(re.sub(rb"(?m)^status: \w+$", b"status: " + word, text, count=1))
            os.replace(f"{self.naive}.tmp", self.naive)
        except FileNotFoundError:
            return
        self.naive_writes += 1


def main(root: str, naive: str, pause_s: str) -> None:
    writer = Writer(root, naive)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], float(pause_s))[0]:
        writer.step()
        writer.naive_step()
    counts = {"writes": writer.writes, "put_off": writer.put_off, "naive_writes": writer.naive_writes}
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
