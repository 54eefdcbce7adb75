"""A root with real dispatchers, stores and a real event log, and a made-up kernel: processes that live and die."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from unittest import mock

import attrs

from autopilot.config.root import Root
from autopilot.config.settings import DispatcherSettings, EventSettings, Settings
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.tick import Dispatcher
from autopilot.errors import LeaseLostError, SetupError
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    EventDraft,
    Lease,
    LeaseState,
    Outcome,
    OutcomeKind,
    Status,
    TaskDraft,
)
from autopilot.store import liveness, projection
from autopilot.system import failpoints
from autopilot.system.processes import ProcessIdentity, identify
from autopilot.taskfile import render
from autopilot.testing.stores import FakeClock
from tests.property.dispatch_model import Key, Trail
from tests.puppets import Stage, control_of, puppet

__all__ = ["SLOTS", "Runner", "Seat", "World"]

SLOTS = 2
RESETS_S = 60.0

_SETTINGS = Settings(
    durability="process",
    dispatcher=DispatcherSettings(max_active=SLOTS),
    events=EventSettings(segment_mib=0.01),
)


@attrs.define(eq=False)
class Runner:
    """One attempt's processes.

    Attributes:
        lease: as it holds it; in state ``claimed`` before the gate has opened.
        orphans: what the runner's death leaves behind and no kill has reached yet.
        last_words: what it reports when it is ended, if it has anything to say.
    """

    key: Key
    me: ProcessIdentity
    lease: Lease
    alive: bool = True
    orphans: bool = False
    last_words: str | None = None

    @property
    def working(self) -> bool:
        return self.alive and self.lease.state is LeaseState.STARTED


class Seat(Stage):
    """One dispatcher and its launcher. ``refuses``: no runner can be forked; ``silent``: one is, and is gone."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.me = world.new_process()
        self.refuses = self.silent = False
        self.control = self._control()
        self.dispatcher = Dispatcher(self.control)
        for part in (self.dispatcher, self.dispatcher._starter, self.dispatcher._reconciler):
            part._me = self.me  # type: ignore[attr-defined]

    def _control(self) -> Control:
        executors = {"able": puppet("able")}
        control = control_of(
            self.world.root, clock=self.world.clock, settings=_SETTINGS, executors=executors, launcher=self
        )
        control.clear = self.world.clear  # type: ignore[method-assign]
        return control

    # What a dispatcher asks of its launcher.

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        if self.refuses:
            raise SetupError("no more processes")
        self.world.fork(lease, alive=not self.silent)
        self.world.meanwhile()

    def has(self, task_id: str, token: int) -> bool:
        return any(runner.key == (task_id, token) and runner.alive for runner in self.world.runners)


class World:
    """Everything that is not under test is here, and what is asked of it is what the kernel or a person does."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.clock = FakeClock(tick_s=1e-6)
        self.root = Root(f"{folder}/.autopilot")
        self.processes: dict[ProcessIdentity, bool] = {}
        self.runners: list[Runner] = []
        self.reports: dict[Key, str] = {}
        self.cancels: set[Key] = set()
        self.begun: set[Key] = set()
        self.needs: dict[str, tuple[str, ...]] = {}
        self.resting_until = 0.0
        self._meanwhile: Callable[[], None] | None = None
        self._patches = ExitStack()
        self._patches.enter_context(mock.patch.object(projection, "is_alive", self.alive))
        self._patches.enter_context(mock.patch.dict(liveness.verdict.__kwdefaults__, alive=self.alive))
        self.trail = Trail(
            reported=self.reports.get,
            living=lambda key: any(one.key == key and (one.working or one.orphans) for one in self.runners),
            cancel_asked=self.cancels.__contains__,
            needs=lambda task_id: self.needs.get(task_id, ()),
        )
        self._cursor: str | None = None
        self.seats = [Seat(self), Seat(self)]
        self.hand = Seat(self).control

    def close(self) -> None:
        for control in (self.hand, *(seat.control for seat in self.seats)):
            control.close()
            control.log.close()
        self._patches.close()

    # ------------------------------------------------------------------ the kernel

    def new_process(self) -> ProcessIdentity:
        me = attrs.evolve(identify(), start_time=f"made up {len(self.processes)}")
        self.processes[me] = True
        return me

    def alive(self, process: ProcessIdentity) -> bool:
        return self.processes.get(process, process == identify())

    def fork(self, lease: Lease, *, alive: bool) -> None:
        """The launcher's work: a runner that waits at the gate."""
        me = self.new_process()
        self.processes[me] = alive
        self.runners.append(Runner((lease.task_id, lease.token), me, lease, alive=alive))

    def end(self, runner: Runner, *, orphans: bool = False) -> None:
        runner.alive = self.processes[runner.me] = False
        runner.orphans = orphans

    def clear(self, lease: Lease) -> str | None:
        """End what is left of an attempt, as far as it can be ended."""
        self.meanwhile()
        with mock.patch.object(failpoints, "_armed", None):  # it is not the dispatcher who reports
            return self._clear(lease)

    def _clear(self, lease: Lease) -> str | None:
        if lease.state is LeaseState.CLAIMED:
            return None  # its runner, if there is one, waits at the gate, or is at work since the lease was read
        for runner in self.runners:
            if runner.key == (lease.task_id, lease.token):
                if runner.alive and runner.last_words:
                    self.report(runner, runner.last_words)
                self.end(runner, orphans=runner.orphans)
                if runner.orphans:
                    return "a process of it cannot be killed"
        return None

    def then(self, act: Callable[[], None]) -> None:
        """Have something happen in the middle of the next tick, where no lock is held."""
        self._meanwhile = act

    def meanwhile(self) -> None:
        act, self._meanwhile = self._meanwhile, None
        if act is not None:
            act()

    # ------------------------------------------------------------------ runners

    def begin(self, runner: Runner) -> None:
        """The runner registers itself, and only then starts the executor."""
        try:
            events = (EventDraft(event_type="attempt.started", payload={"attempt": runner.key[1]}),)
            runner.lease = self.hand.store.start(runner.lease, owner=runner.me, events=events)
        except LeaseLostError:
            self.end(runner)
            return
        assert runner.key not in self.begun, f"{runner.key} was started twice"
        self.begun.add(runner.key)
        others = [one for one in self.runners if one.key[0] == runner.key[0] and one is not runner]
        busy = [one.key for one in others if one.working or one.orphans]
        assert not busy, f"{runner.key} began while {busy} was alive"
        assert sum(one.working for one in self.runners) <= SLOTS

    def beat(self, runner: Runner) -> None:
        try:
            if self.hand.store.renew(runner.lease).cancel is not None:
                self.report(runner, "cancelled")
        except LeaseLostError:
            self.end(runner)

    def report(self, runner: Runner, kind: str) -> None:
        """The last thing that a runner does; a stale one does it in vain."""
        lease, now = runner.lease, self.clock.now()
        reset = now + timedelta(seconds=RESETS_S) if kind == "rate_limited" else None
        result = AttemptResult(
            task_id=lease.task_id,
            token=lease.token,
            executor=lease.executor,
            outcome=Outcome(kind=OutcomeKind(kind), message="as told", reset_at=reset),
            started_at=lease.claimed_at,
            ended_at=now,
            duration_s=1.0,
        )
        self.end(runner)
        try:
            self.hand.store.report(lease, result)
        except LeaseLostError:
            return
        self.reports.setdefault(runner.key, kind)
        if reset is not None:
            self.resting_until = max(self.resting_until, reset.timestamp())

    # ------------------------------------------------------------------ people

    def add(self, task_id: str, depends_on: tuple[str, ...]) -> None:
        fields = {"id": task_id, "title": task_id, "created_at": self.clock.now(), "depends_on": list(depends_on)}
        self.hand.create_task(TaskDraft(id=task_id, text=render(fields, "Do it.\n")))
        self.needs[task_id] = depends_on

    def path(self, task_id: str) -> str:
        return f"{self.root.tasks}/{task_id}.md"

    def text(self, task_id: str) -> bytes:
        with open(self.path(task_id), "rb") as file:
            return file.read()

    def save(self, task_id: str, text: bytes) -> None:
        with open(f"{self.folder}/save", "wb") as file:
            file.write(text)
        os.rename(f"{self.folder}/save", self.path(task_id))

    def put_line(self, task_id: str, key: str, value: str) -> None:
        lines = [line for line in self.text(task_id).split(b"\n") if not line.startswith(f"{key}:".encode())]
        self.save(task_id, b"\n".join([lines[0], f"{key}: {value}".encode(), *lines[1:]]))

    def ask_cancel(self, task_id: str) -> None:
        lease = self.hand.store.lease(task_id)
        if lease is not None and lease.state is not LeaseState.ENDED:
            self.cancels.add((task_id, lease.token))

    # ------------------------------------------------------------------ looking

    def read_log(self) -> None:
        """Take in what the log received since the last look."""
        for record in self.hand.log.read(self._cursor):
            self._cursor = record.cursor
            self.trail.take(json.loads(record.line))

    def held(self) -> Iterator[Lease]:
        return (lease for lease in self.hand.store.leases() if lease.state is not LeaseState.ENDED)

    def ended_untold(self, task_id: str) -> bool:
        """Whether an end is committed that was not projected yet."""
        leases = self.hand.store.leases()
        return any(lease.task_id == task_id and lease.state is LeaseState.ENDED for lease in leases)

    def written(self, task_id: str) -> Status | None:
        """The status that stands in the file."""
        loaded = self.hand.store._files.load(task_id)  # type: ignore[attr-defined]
        return getattr(loaded, "status", None)
