"""What a control plane looks like that nobody has crashed: the baseline that the campaigns must find wanting.

The status is rewritten in place in the Markdown, the log is a plain append, the claim is a status like any other,
and what a crash left ``in_progress`` is begun again. It has failpoints as the real one has, and nothing else.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from autopilot.system.failpoints import failpoint, write_all
from tests.crash.oracle import Facts
from tests.crash.world import note, notes, text

__all__ = ["IDS", "Naive", "facts_of"]

IDS = ("one", "two")


class Naive:
    """One root of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tasks = folder / "tasks"
        self.tasks.mkdir(exist_ok=True)

    def live(self) -> None:
        """Create all tasks and do them."""
        for task_id in IDS:
            self.write(task_id, text(task_id, "status: pending", "attempt: 0"), "naive.create")
            self.log("task.created", task_id, 0)
            note(self.folder / "acks", "created", task_id)
        self.settle()

    def settle(self) -> None:
        """Do whatever is not done."""
        for task_id in IDS:
            status, attempt = self.read(task_id)
            if status in ("pending", "in_progress"):
                self.attempt(task_id, attempt + 1)

    def attempt(self, task_id: str, token: int) -> None:
        self.set(task_id, "in_progress", token)
        self.log("task.claimed", task_id, token)
        note(self.folder / "ran", task_id, token)
        note(self.folder / "acks", "reported", task_id, token, "succeeded")
        self.log("dispatch.result", task_id, token)
        self.set(task_id, "done", token)
        self.log("task.done", task_id, token)

    def read(self, task_id: str) -> tuple[str, int]:
        path = self.tasks / f"{task_id}.md"
        found = re.search(rb"\nstatus: (\w+)\nattempt: (\d+)\n", path.read_bytes()) if path.exists() else None
        return (found[1].decode(), int(found[2])) if found else ("missing", 0)

    def set(self, task_id: str, status: str, token: int) -> None:
        data = (self.tasks / f"{task_id}.md").read_bytes()
        lines = f"\nstatus: {status}\nattempt: {token}\n".encode()
        self.write(task_id, re.sub(rb"\nstatus: \w+\nattempt: \d+\n", lambda _: lines, data), "naive.status")

    def write(self, task_id: str, data: bytes, point: str) -> None:
        fd = os.open(self.tasks / f"{task_id}.md", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        failpoint(f"{point}.opened")
        write_all(fd, data, f"{point}.write")
        os.close(fd)
        failpoint(f"{point}.done")

    def log(self, event_type: str, task_id: str, token: int) -> None:
        event = {"id": os.urandom(8).hex(), "event_type": event_type, "trace_id": task_id}
        fd = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        write_all(fd, json.dumps({**event, "payload": {"attempt": token}}).encode() + b"\n", "naive.log.write")
        os.close(fd)
        failpoint("naive.log.done")


def facts_of(folder: Path) -> Facts:
    """What is there, for the same judge."""
    naive = Naive(folder)
    files = {path.stem: path.read_bytes() for path in naive.tasks.glob("*.md")}
    lines = (folder / "log").read_bytes().splitlines() if (folder / "log").exists() else []
    statuses = {task_id: naive.read(task_id)[0] for task_id in files}
    return Facts(notes(folder / "acks"), notes(folder / "ran"), files, statuses, [_event(line) for line in lines])


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        return dict(json.loads(line))
    except ValueError:
        return None
