"""A whole control plane in one process, for being crashed: real store, event log, router and tick.

Only the runners are missing: the ``Hands`` do an attempt at once, in the same process, in the order in which a
runner does it. What they and the person at the keyboard have really done they write into files of their own, and
those are the oracle: nothing of Autopilot writes them.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autopilot.config.root import Root
from autopilot.config.settings import DispatcherSettings, EventSettings, Settings
from autopilot.dispatcher.tick import Dispatcher
from autopilot.errors import AutopilotError, StorageError
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    EventDraft,
    Lease,
    Outcome,
    OutcomeKind,
    TaskDraft,
)
from autopilot.system.clock import SystemClock
from autopilot.system.processes import identify
from tests.puppets import Stage, control_of, puppet

__all__ = ["BODY", "World", "notes", "text"]

BODY = b"\r\nDo it, and mind the \xe2\x82\xac.\r\nNo newline at the end"
SEGMENT_BYTES = 2500
"""So small that every scenario closes segments of the log."""

_TRIES = 5


def text(task_id: str, *lines: str) -> bytes:
    """A task file with a comment, an unknown key and CRLF in its body."""
    head = [f"id: {task_id}", f"title: {task_id}", "# kept", "x-team:   blue   # kept, too", *lines]
    return ("---\n" + "\n".join(head) + "\n---").encode() + BODY


def note(path: Path, *words: object) -> None:
    """Append a line to a file of the oracle."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, json.dumps(words).encode() + b"\n")
    finally:
        os.close(fd)


def notes(path: Path) -> list[list[Any]]:
    """The lines of a file of the oracle."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Hands(Stage):
    """A launcher whose runner is this process.

    Attributes:
        reach: how far attempts get: ``claimed`` (nothing starts), ``started`` or ``reported``.
        outcomes: what attempts come to, in order, by task; success is not told.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.reach = "reported"
        self.outcomes: dict[str, list[OutcomeKind]] = {}

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        if self.reach == "claimed":
            return
        with contextlib.suppress(AutopilotError, OSError):
            begun = self._begin(spec, lease)
            if self.reach == "reported":
                self._end(begun)

    def _begin(self, spec: AttemptSpec, lease: Lease) -> Lease:
        store = self._world.control.store
        os.makedirs(spec.run_dir, exist_ok=True)
        event = EventDraft(event_type="attempt.started", payload={"attempt": spec.token, "pid": os.getpid()})
        begun = store.start(lease, owner=identify(), events=[event])
        note(self._world.ran, spec.task_id, spec.token)
        return begun

    def _end(self, begun: Lease) -> None:
        kinds = self.outcomes.get(begun.task_id)
        outcome = Outcome(kind=kinds.pop(0) if kinds else OutcomeKind.SUCCEEDED, message="as told")
        for _ in range(_TRIES):
            # A runner goes on until the disk lets it.
            with contextlib.suppress(StorageError, OSError):
                self._world.control.store.renew(begun)
                self._world.control.store.report(begun, self._world.result(begun, outcome))
                self._world.ack("reported", begun.task_id, begun.token, str(outcome.kind))
                return


class World:
    """One root as a new process sees it."""

    def __init__(self, folder: Path, durability: str = "process") -> None:
        self.folder = folder
        self.ran = folder / "ran"
        self.acks = folder / "acks"
        self.root = Root(str(folder / ".autopilot"))
        self.hands = Hands(self)
        self.control = control_of(
            self.root,
            clock=SystemClock(),
            settings=Settings(
                durability=durability,
                dispatcher=DispatcherSettings(max_active=3, backoff_s=0, backoff_max_s=0),
                events=EventSettings(segment_mib=SEGMENT_BYTES / 1024 / 1024),
            ),
            executors={"hand": puppet("hand", "code", "shell")},
            launcher=self.hands,
            made=False,
        )
        self.dispatcher = Dispatcher(self.control)

    def ack(self, *words: object) -> None:
        """Note what a call that returned has promised."""
        note(self.acks, *words)

    def create(self, task_id: str, *lines: str) -> None:
        self.control.create_task(TaskDraft(id=task_id, text=text(task_id, *lines)))
        self.ack("created", task_id)

    def edit(self, task_id: str, values: Mapping[str, Any]) -> None:
        self.control.store.edit(task_id, values)
        self.ack("edited", task_id, dict(values))

    def save(self, task_id: str, change: Callable[[bytes], bytes], mark: str) -> None:
        """A person's editor: the whole file is replaced, with ``mark`` in it."""
        path = Path(self.root.tasks, f"{task_id}.md")
        beside = path.with_name(f"{task_id}.md~")
        beside.write_bytes(change(path.read_bytes()).replace(b"# kept\n", f"# kept\n# {mark}\n".encode()))
        beside.replace(path)
        self.ack("saved", task_id, mark)

    def append(self, *types: str) -> None:
        events = self.control.log.append([EventDraft(event_type=kind, payload={"by": "a test"}) for kind in types])
        self.ack("logged", *(event.id for event in events))

    def tick(self) -> None:
        self.dispatcher.tick()

    def result(self, lease: Lease, outcome: Outcome) -> AttemptResult:
        now = self.control.clock.now()
        return AttemptResult(
            task_id=lease.task_id,
            token=lease.token,
            executor=lease.executor,
            outcome=outcome,
            started_at=now,
            ended_at=now,
            duration_s=1.0,
        )

    def close(self) -> None:
        self.control.close()
        self.control.log.close()
