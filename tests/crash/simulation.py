"""A month in minutes: real stores, logs and routers on one root, a clock that is set forward, and actors.

Three dispatchers tick in turn. Runners are small automata that start, beat and report through the store as real
ones do; some die, fall silent, or report too late. People add tasks, edit, break and delete files, and clear away
what has ended. Time goes from one event to the next in whole ticks, so that what is skipped is known to be idle.
"""

from __future__ import annotations

import heapq
import itertools
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import attrs

from autopilot.config.root import Root
from autopilot.config.settings import DispatcherSettings, EventSettings, Settings
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.loop import Loop
from autopilot.dispatcher.tick import Dispatcher
from autopilot.errors import AutopilotError, BusyError, LeaseLostError
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    InvalidTask,
    Lease,
    Outcome,
    OutcomeKind,
    Status,
    Task,
    TaskDraft,
)
from autopilot.store.filestore import FileStore
from autopilot.system import failpoints
from autopilot.system.processes import ProcessIdentity, identify
from autopilot.taskfile import render
from autopilot.testing.stores import FakeClock, gone_owner
from tests.puppets import Stage, control_of, puppet

__all__ = ["DISPATCHERS", "END", "EXECUTORS", "SLOTS", "TICK_S", "Month"]

TICK_S = 5.0
DISPATCHERS = 3
SLOTS = 6
_BEAT_S = 10.0
_LOOK_S = 120.0
"""While something runs, no more than this is skipped: silence is noticed by looking."""

SETTINGS = Settings(
    durability="process",
    dispatcher=DispatcherSettings(max_active=SLOTS),
    events=EventSettings(segment_mib=0.25, retention_days=0.1),
)

END = (Status.DONE, Status.CANCELLED, Status.BLOCKED)

EXECUTORS = {"able": 0.92, "fair": 0.75, "poor": 0.4}
"""Each with its chance to solve a task."""

REFUSALS = ["claim.lease.write", "claim.md.swap", "finish.lease.write", "finish.md.swap", "log.append.write"]


@attrs.define(eq=False)
class Runner:
    """One attempt. ``fate``: what becomes of it; ``beats``: whether it gives signs of life."""

    lease: Lease
    fate: str
    ends: float
    beats: bool = True


class MonthStage(Stage):
    """The launcher of one dispatcher."""

    def __init__(self, month: Month) -> None:
        self._month = month

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        self._month.begin(lease)


class Month:
    """The world.

    Args:
        fault: the chance of each kind of fault, per attempt or per event.
        per_hour: how many tasks arrive.
        names: how many ids there are; they are used again after their task was cleared away.
        kept_s: how long ended tasks are kept by the people.
    """

    def __init__(
        self, folder: str, rng: random.Random, *, fault: float, per_hour: float, names: int, kept_s: float
    ) -> None:
        self.rng = rng
        self.fault = fault
        self.quiet = False
        self.clock = FakeClock(tick_s=1e-6)
        self.root = Root(os.path.join(folder, ".autopilot"))
        self.executors = {name: puppet(name, slots=SLOTS) for name in EXECUTORS}
        self.ticks = self.steps = 0
        self.seen: Counter[str] = Counter()
        self.waited_s = 0.0
        self.begun = self.clock.steady
        self.running: list[Runner] = []
        self.gap_s = 3600 / per_hour
        self._free = [f"job-{number}" for number in range(names)]
        self._kept_s = kept_s
        self._born: dict[str, float] = {}
        self._ended: list[tuple[float, str]] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._places = itertools.count(1)
        self.loops: list[Loop] = []
        self.dispatchers: list[Dispatcher] = []
        self.controls: list[Control] = []
        for _ in range(DISPATCHERS):
            self._open_dispatcher()
        self.log = self._control().log
        self.store = FileStore(
            self.root.folder, publish=self.log.publish, clock=self.clock, durability="process", watch=False
        )
        self.at(0, self._arrive)
        self.at(0, self._look_back)

    def close(self) -> None:
        for control in self.controls:
            control.close()
        self.store.close()

    # ---------------------------------------------------------------- time

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return self.clock.steady - self.begun

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        """Have something happen later."""
        heapq.heappush(self._agenda, (self.now + delay_s, next(self._count), what))

    def run(self, until_s: float) -> None:
        """Let the world go on to an instant."""
        while self.now < until_s:
            self.step(until_s)

    def come_to_rest(self, most_steps: int) -> int:
        """Faults, arrivals and people end; how many steps it takes until nothing is under way or waits."""
        self.fault, self.quiet = 0.0, True
        for steps in range(most_steps):
            if self._at_rest():
                return steps
            self.step(self.now + 3600)
        raise AssertionError(f"not at rest after {most_steps} steps: {self._open()} {self.store.leases()}")

    def _at_rest(self) -> bool:
        return not (self.running or self._agenda or self.store.leases() or self._open())

    def _open(self) -> list[Task | InvalidTask]:
        return [task for task in self.store.tasks() if isinstance(task, InvalidTask) or task.status not in END]

    def step(self, until_s: float) -> None:
        """Go to the next event, in whole ticks; let it happen; tick every dispatcher once."""
        pause = max(0.0, min(until_s, self._next()) - self.now)
        self.clock.advance(max(1, -(-pause // TICK_S)) * TICK_S)
        while self._agenda and self._agenda[0][0] <= self.now:
            heapq.heappop(self._agenda)[2]()
        self._beat()
        self.steps += 1
        for index in self.rng.sample(range(DISPATCHERS), DISPATCHERS):
            self._tick(index)

    def _next(self) -> float:
        wall = self.clock.now().timestamp()
        alarms = [alarm for alarm in (one.next_alarm() for one in self.dispatchers) if alarm is not None]
        instants = [self.now + alarm - wall for alarm in alarms]
        instants += [runner.ends for runner in self.running]
        if self.running:
            instants.append(self.now + _LOOK_S)
        return min([self._agenda[0][0] if self._agenda else float("inf"), *instants])

    def chance(self) -> bool:
        """Whether a fault happens."""
        return self.rng.random() < self.fault

    # ---------------------------------------------------------------- dispatchers

    def _control(self) -> Control:
        return control_of(
            self.root,
            clock=self.clock,
            settings=SETTINGS,
            executors=self.executors,
            launcher=MonthStage(self),
        )

    def _open_dispatcher(self, index: int | None = None) -> None:
        index = len(self.controls) if index is None else index
        control = self._control()
        dispatcher = Dispatcher(control)
        me = self._place()
        for part in (dispatcher, dispatcher._starter, dispatcher._reconciler):
            part._me = me
        self.controls[index:] = [control, *self.controls[index + 1 :]]
        self.dispatchers[index:] = [dispatcher, *self.dispatchers[index + 1 :]]
        self.loops[index:] = [Loop(dispatcher, control), *self.loops[index + 1 :]]

    def _place(self) -> ProcessIdentity:
        """A process that lives where its like cannot see it."""
        me = identify()
        return attrs.evolve(me, pid_space=me.pid_space + next(self._places))

    def _tick(self, index: int) -> None:
        # The first one lives through it all: what it forgets to forget would show.
        if index and self.chance() and self.rng.random() < 0.1:
            self.controls[index].close()
            self._open_dispatcher(index)
            self.seen["dispatcher restarted"] += 1
        refuse = self.chance()
        if refuse:
            failpoints.arm(f"{self.rng.choice(REFUSALS)}={self.rng.choice(['ENOSPC', 'EIO'])}")
        try:
            report = self.loops[index].once()
        finally:
            failpoints.disarm()
        self.ticks += 1
        self.seen["disk refused"] += refuse
        for ended in report.adopted:
            self.seen[f"ended {ended.outcome}"] += 1

    # ---------------------------------------------------------------- runners

    def begin(self, lease: Lease) -> None:
        """A runner comes to life, or does not."""
        self.seen[f"executor {lease.executor}"] += 1
        born = self._born.get(lease.task_id)
        if born is not None and lease.token == self.store.record(lease.task_id).token:
            self.waited_s = max(self.waited_s, self.now - born)
            self._born[lease.task_id] = self.now
        fate = self._fate(lease.executor)
        self.seen[f"fate {fate}"] += 1
        if fate == "never started":
            return
        owner = gone_owner() if fate == "dies" else self._place()
        started = self.store.start(lease, owner=owner)
        if fate not in ("dies", "silent"):
            took = self.rng.uniform(30, 600) + (7200 if fate == "late" else 0)
            self.running.append(Runner(started, fate, self.now + took, beats=fate != "late"))

    def _fate(self, executor: str) -> str:
        for fate in ("dies", "silent", "late", "never started", "rate_limited", "unavailable", "needs_input"):
            if self.chance():
                return fate
        return "succeeded" if self.rng.random() < EXECUTORS[executor] else "failed"

    def _beat(self) -> None:
        for runner in list(self.running):
            try:
                if runner.ends <= self.now:
                    self.running.remove(runner)
                    self.store.report(runner.lease, self._result(runner))
                elif runner.beats and self.store.renew(runner.lease).cancel is not None:
                    runner.fate, runner.ends = "cancelled", self.now
            except LeaseLostError:
                self.seen["refused as stale"] += 1
                self.running = [other for other in self.running if other is not runner]

    def _result(self, runner: Runner) -> AttemptResult:
        kind = OutcomeKind("succeeded" if runner.fate == "late" else runner.fate)
        reset = self.clock.now() + timedelta(minutes=30) if kind is OutcomeKind.RATE_LIMITED else None
        outcome = Outcome(kind=kind, message="as its fate was", reset_at=reset)
        lease = runner.lease
        return AttemptResult(
            task_id=lease.task_id,
            token=lease.token,
            executor=lease.executor,
            outcome=outcome,
            started_at=lease.claimed_at,
            ended_at=self.clock.now(),
            duration_s=60.0,
        )

    # ---------------------------------------------------------------- people

    def _arrive(self) -> None:
        if self.quiet:
            return
        self.at(self.rng.expovariate(1 / self.gap_s), self._arrive)
        if not self._free:
            self.seen["no name free"] += 1
            return
        name = self._free.pop(0)
        fields = {
            "id": name,
            "title": name,
            "priority": self.rng.choice(["low", "medium", "high", "critical"]),
            "task_type": self.rng.choice(["coding", "debugging", "docs"]),
            "created_at": self.clock.now(),
        }
        self.controls[0].create_task(TaskDraft(id=name, text=render(fields, "Do it.\n")))
        self._born[name] = self.now
        self.seen["arrived"] += 1
        if self.chance():
            self.at(self.rng.uniform(0, 600), lambda: self._edit(name))

    def _edit(self, name: str) -> None:
        path = os.path.join(self.root.tasks, f"{name}.md")
        with open(path, "rb") as file:
            text = file.read()
        kind = self.rng.choice(["line", "cancel", "break", "again"])
        self.seen[f"hand edit {kind}"] += 1
        if kind == "break":
            self._save(path, b"---\ntitle: [\n---\n")
            self.at(self.rng.uniform(60, 3600), lambda: self._save(path, text))
            return
        lines = text.split(b"\n")
        status = next((line for line in lines if line.startswith(b"status:")), b"")
        if kind == "cancel":
            text = b"\n".join([lines[0], b"status: cancelled", *(line for line in lines[1:] if line != status)])
        elif kind == "again" and status not in (b"status: claimed", b"status: in_progress"):
            text = text.replace(status, b"status: pending", 1) if status else text
        self._save(path, text if kind != "line" else text + b"One more line.\n")

    def _save(self, path: str, text: bytes) -> None:
        with open(f"{path}.swp", "wb") as file:
            file.write(text)
        os.rename(f"{path}.swp", path)

    def _look_back(self) -> None:
        """Every so often: answer questions, retry what is blocked, clear away what ended long ago."""
        if self.quiet:
            return
        self.at(900, self._look_back)
        ended = {name for _, name in self._ended}
        for task in self.store.tasks():
            if isinstance(task, InvalidTask):
                continue
            if task.status is Status.BLOCKED and self.rng.random() < 0.5:
                self._retry(task.id)
            elif task.status in (Status.DONE, Status.CANCELLED, Status.BLOCKED) and task.id not in ended:
                self._ended.append((self.now, task.id))
        while self._ended and self._ended[0][0] + self._kept_s < self.now:
            self._clear_away(self._ended.pop(0)[1])

    def _retry(self, name: str) -> None:
        try:
            self.controls[0].retry(name)
        except (AutopilotError, BusyError):
            return
        self._born[name] = self.now
        self.seen["retried by hand"] += 1

    def _clear_away(self, name: str) -> None:
        path = os.path.join(self.root.tasks, f"{name}.md")
        task = self.store.get(name) if os.path.exists(path) else None
        if isinstance(task, InvalidTask) or task is None:
            return
        if task.status not in (Status.DONE, Status.CANCELLED) or self.store.lease(name) is not None:
            return
        os.unlink(path)
        shutil.rmtree(os.path.join(self.root.runs, name), ignore_errors=True)
        self._born.pop(name, None)
        self._free.append(name)
        self.seen["cleared away"] += 1
