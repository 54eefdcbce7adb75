"""A whole control plane in one process: real store, log and router; executors that do as they are told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from autopilot.config.root import Root
from autopilot.config.settings import DispatcherSettings, Settings
from autopilot.dispatcher.reports import TickReport
from autopilot.dispatcher.tick import Dispatcher
from autopilot.errors import SetupError
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Health,
    Lease,
    Outcome,
    OutcomeKind,
    Task,
    TaskDraft,
)
from autopilot.plugins.executors import LoadedExecutor
from autopilot.system.processes import identify
from autopilot.taskfile import render
from tests.puppets import Stage, control_of, puppet


class Hands:
    """The clock, moved by hand."""

    def __init__(self) -> None:
        self.wall = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        self.steady = 1000.0

    def now(self) -> datetime:
        self.wall += timedelta(microseconds=1)
        return self.wall

    def monotonic(self) -> float:
        return self.steady

    def pass_by(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds


class ScriptedStage(Stage):
    """A launcher whose runners end when told to, or by a script: task id -> outcomes in order."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.started: list[AttemptSpec] = []
        self.script: dict[str, list[Outcome]] = {}
        self.refuse: str = ""
        self.unable = False

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        if self.refuse:
            raise SetupError(self.refuse)
        self.started.append(spec)
        if self.unable:
            return
        begun = self._arena.control.store.start(lease, owner=identify())
        outcomes = self.script.get(spec.task_id)
        if outcomes:
            self._arena.report(begun, outcomes.pop(0))


class Arena:
    """A root with settings, puppets and a stage."""

    def __init__(self, folder: Path) -> None:
        self.clock = Hands()
        self.root = Root(str(folder / ".autopilot"))
        self.healths: dict[str, Health] = {}
        self._settings = Settings(durability="process", dispatcher=DispatcherSettings(max_active=4))
        self._executors: dict[str, LoadedExecutor] = {}
        self.stage = ScriptedStage(self)
        self.open()

    def open(self) -> None:
        """A control plane as a new process would have it."""
        self.control = control_of(
            self.root,
            clock=self.clock,
            settings=self._settings,
            executors=self._executors,
            launcher=self.stage,
        )
        self._dispatcher: Dispatcher | None = None

    @property
    def dispatcher(self) -> Dispatcher:
        if self._dispatcher is None:
            self._dispatcher = Dispatcher(self.control)
        return self._dispatcher

    def another_dispatcher(self) -> Dispatcher:
        self.open()
        return self.dispatcher

    def settings(self, **sections: Any) -> None:
        self._settings = attrs.evolve(self._settings, **sections)
        self.open()

    def executor(
        self, name: str, *capabilities: str, slots: int | None = None, pool: str = "", tier: str = ""
    ) -> None:
        self.healths.setdefault(name, Health(ok=True, reason="ready"))
        self._executors[name] = puppet(
            name, *capabilities, health=lambda: self.healths[name], slots=slots, pool=pool, tier=tier
        )

    def task(self, name: str, **fields: Any) -> None:
        given: Mapping[str, Any] = {"id": name, "title": name, "created_at": self.clock.now(), **fields}
        self.control.create_task(TaskDraft(id=name, text=render(given, "Do it.\n")))

    def tick(self, **options: Any) -> TickReport:
        self.clock.pass_by(0.01)
        return self.dispatcher.tick(**options)

    def report(self, lease: Lease, outcome: Outcome, **more: Any) -> None:
        now = self.clock.now()
        self.control.store.report(
            lease,
            AttemptResult(
                task_id=lease.task_id,
                token=lease.token,
                executor=lease.executor,
                outcome=outcome,
                started_at=now,
                ended_at=now,
                duration_s=1.0,
                **more,
            ),
        )

    def end(self, name: str, kind: OutcomeKind | str = OutcomeKind.SUCCEEDED, **more: Any) -> None:
        lease = self.control.store.lease(name)
        assert lease is not None
        self.report(lease, Outcome(kind=OutcomeKind(kind), message="as told", **more))

    def status(self, name: str) -> str:
        return str(self.read(name).status)

    def read(self, name: str) -> Task:
        return self.control.read_task(name)

    def reason(self, name: str) -> str:
        record = self.control.store.record(name)
        return record.reason.code if record.reason else ""

    def events(self, *types: str) -> list[Any]:
        import json

        found = [json.loads(record.line) for record in self.control.log.tail(10_000)]
        return [event for event in found if not types or event["event_type"] in types]

    def digest(self, name: str) -> str:
        return hashlib.sha256(self.file(name).read_bytes()).hexdigest()

    def file(self, name: str) -> Path:
        return Path(self.root.tasks) / f"{name}.md"


@pytest.fixture
def arena(tmp_path: Path) -> Iterator[Arena]:
    made = Arena(tmp_path)
    yield made
    made.control.close()
