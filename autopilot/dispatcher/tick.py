"""The tick: reconcile, scan, order, gate, route, claim, start."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.dispatcher.board import ENDED, Board
from autopilot.dispatcher.endings import backoff_of
from autopilot.dispatcher.faults import Faults, TaskFault, hits_all
from autopilot.dispatcher.gates import REMOVABLE, Circumstances, Dependencies, Refusal, Running, refusals
from autopilot.dispatcher.reconcile import Adopted, Means, Reconciler
from autopilot.dispatcher.reports import Started, TickReport, started_by
from autopilot.dispatcher.routes import route_class
from autopilot.dispatcher.spec import protected_touch, running_of, workdir_of
from autopilot.dispatcher.starting import Starter
from autopilot.errors import BusyError, NotFoundError, TaskFormatError
from autopilot.models import (
    AttemptResult,
    Decision,
    Ending,
    EventDraft,
    InvalidTask,
    Lease,
    LeaseState,
    Reason,
    Status,
    Task,
    TaskRecord,
)
from autopilot.store.contract import TaskSummary
from autopilot.system.processes import identify

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["Dispatcher"]

_ROUTES_AGAIN_S = 30.0
_GATE_AGAIN_S = 5.0
_BUSY_AGAIN_S = 1.0
_FAULT_AGAIN_S = 30.0
_PATIENCE_S = 0.25
"""How long one tick of ``run`` may judge tasks before it looks after the running ones again."""


class Dispatcher:
    """Ticks over one root. Several of them, in several processes, are safe.

    Args:
        control: the parts of this root.
        max_active: attempts at once over all dispatchers; None takes the config's.
        name: shown in events.
    """

    def __init__(self, control: Control, *, max_active: int | None = None, name: str = "") -> None:
        self._control = control
        self._settings = control.settings
        self._store = control.store
        self._clock = control.clock
        self._name = name
        self._max_active = max_active if max_active is not None else self._settings.dispatcher.max_active
        self._me = identify()
        self._board = Board(aging_s=self._settings.dispatcher.aging_hours * 3600)
        self._dependencies = Dependencies(self._board)
        self._running: dict[tuple[str, int], Running] = {}
        self._mine: dict[tuple[str, int], Started] = {}
        self._outcomes: dict[tuple[str, int], str] = {}
        self._faults = Faults()
        self._starter = Starter(control, self._me)
        self._begun = False
        self._busy: dict[str, str] = {}
        self._told_busy: frozenset[str] = frozenset()
        # Classes of tasks that nobody can take at this moment: one of each is judged, the others need not be.
        self._stuck: set[tuple[Any, ...]] = set()
        self._classes: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        self._patience_s = float("inf")
        self._reconciler = Reconciler(
            self._store,
            self._clock,
            backoff_of(self._settings.dispatcher),
            Means(
                verdict=control.lease_verdict,
                starting=lambda lease: control.launcher.has(lease.task_id, lease.token),
                clear=control.clear,
                bury=control.bury,
                onward=self._onward,
                pool=control.pool_of,
                log=lambda drafts, trace: control.append(drafts, trace_id=trace),
                forget=lambda held: control.beats.keep_only(held, control.clock.monotonic()),
            ),
            self._me,
            self._faults,
        )

    # ---------------------------------------------------------------- the tick

    def tick(self, *, dry_run: bool = False, start: bool = True) -> TickReport:
        """One tick.

        Args:
            dry_run: judge and route, but change nothing.
            start: False looks after what runs, and starts nothing.

        A fault with one task is in the report, and keeps no other from going on.

        Raises:
            StorageError: the disk refuses; nothing was claimed that could not be recorded.
        """
        self._begin(dry_run)
        self._control.refresh_history()
        # What people wrote is read before an end writes over it.
        self._look_around(False, dry_run)
        adopted = [] if dry_run else self._sweep()
        if adopted:
            self._control.refresh_history()
            self._look_around(True, dry_run)
        hold = self._control.hold() if start else None
        started = tuple(self._fill(dry_run)) if start and hold is None else ()
        self._tell(dry_run)
        notes = [f"{hold}: nothing new is started (autopilotctl dispatch resume)"] if hold is not None else []
        return TickReport(
            started=started,
            adopted=tuple(adopted),
            faults=self._faults.take(),
            notes=(*notes, *self._news_of_waiting()),
        )

    def _news_of_waiting(self) -> tuple[str, ...]:
        """What this tick was kept from doing, unless the last tick said so already."""
        self._busy = {task_id: why for task_id, why in self._busy.items() if task_id in self._board.tasks}
        busy = dict.fromkeys((*self._reconciler.busy, *self._busy.values(), *self._store.faults()))
        told, self._told_busy = self._told_busy, frozenset(busy)
        return tuple(message for message in busy if message not in told)

    def _begin(self, dry_run: bool) -> None:
        if self._begun or dry_run:
            return
        self._control.ensure_root()
        if self._control.sinks is not None:
            self._control.sinks.begin()
        self._begun = True

    def _sweep(self) -> list[Adopted]:
        # Before the leases are read: a runner that has ended changes its lease no more.
        self._control.launcher.poll()
        adopted = self._reconciler.sweep()
        self._outcomes.update({(ended.task_id, ended.token): ended.outcome for ended in adopted})
        return adopted

    def _tell(self, dry_run: bool) -> None:
        if dry_run:
            return
        if self._control.sinks is not None:
            self._control.sinks.pump()
        self._control.memory.save()

    def look(self) -> None:
        """Know the tasks and what runs, without changing anything: for `why`."""
        self._look_around(False, True)

    def _look_around(self, ended: bool, dry_run: bool) -> None:
        self._scan(dry_run)
        self._look_at_leases(ended, dry_run)

    def _scan(self, dry_run: bool) -> None:
        changes = self._store.changes()
        if changes:
            self._board.apply(changes)
            for task_id in changes.removed:
                self._faults.forget(task_id)
            if not dry_run:
                self._control.report_invalid(changes.invalid)
        self._board.ring(self._clock.now())
        if self._control.executors_changed():
            self._wake_routes()

    def _look_at_leases(self, ended: bool, dry_run: bool) -> None:
        """Know what runs, and wake what waited for an end. Few files, read on every tick."""
        held = [lease for lease in self._store.leases() if lease.state is not LeaseState.ENDED]
        keys = {(lease.task_id, lease.token) for lease in held}
        gone = self._running.keys() - keys
        for key in gone:
            del self._running[key]
        for lease in held:
            if (lease.task_id, lease.token) not in self._running:
                self._running[lease.task_id, lease.token] = self._seen(lease)
        if not dry_run:
            self._honour_files(held)
        if gone or ended:
            self._board.wake(ENDED)
            self._wake_routes()

    def _honour_files(self, held: list[Lease]) -> None:
        """What people wrote into files: cancels of running tasks, and claims that nobody holds."""
        for lease in held:
            if (summary := self._board.tasks.get(lease.task_id)) is not None:
                with self._alone(lease.task_id):
                    self._reconciler.honour_edit(lease, summary)
        for task_id in self._board.moving - {lease.task_id for lease in held}:
            with self._alone(task_id):
                self._repair(task_id)

    @contextlib.contextmanager
    def _alone(self, task_id: str) -> Iterator[None]:
        """A fault with one task, or somebody who holds its lock for too long, keeps no other waiting."""
        self._busy.pop(task_id, None)
        with self._faults.kept(task_id):
            try:
                yield
            except BusyError as busy:
                self._note_busy(task_id, busy)

    def _note_busy(self, task_id: str, busy: BusyError) -> None:
        if busy.code == "busy":
            self._busy[task_id] = busy.message

    def _repair(self, task_id: str) -> None:
        task = self._read(task_id)
        if task and task.status in (Status.CLAIMED, Status.IN_PROGRESS):
            self._reconciler.repair(task)

    def _seen(self, lease: Lease) -> Running:
        task = self._read(lease.task_id)
        return Running(
            task_id=lease.task_id,
            executor=lease.executor,
            task_type=task.task_type if task else "general",
            workdir=workdir_of(self._control.root, task) if task else "",
            touches=task.touches if task else (),
        )

    def _wake_routes(self) -> None:
        # One of each class is judged again; whatever becomes of it but "nobody can take it" wakes the next one.
        for key in self._board.keys(lambda key: isinstance(key, tuple) and key[0] == "route"):
            self._board.wake_one(key)

    # ---------------------------------------------------------------- starting

    def _fill(self, dry_run: bool) -> Iterator[Started]:
        planned: list[Running] = []
        put_back: list[str] = []
        self._stuck.clear()
        enough = self._clock.monotonic() + self._patience_s
        while len(self._running) + len(planned) < self._max_active and self._clock.monotonic() < enough:
            summary = self._board.next()
            if summary is None:
                break
            if dry_run:
                put_back.append(summary.id)
            started = self._try_alone(summary, planned, dry_run)
            if started is not None:
                yield started
        for task_id in put_back:
            self._board.make_ready(task_id)

    def _try_alone(self, summary: TaskSummary, planned: list[Running], dry_run: bool) -> Started | None:
        try:
            started = self._try(summary, planned, dry_run)
        except BaseException as fault:
            if not isinstance(fault, Exception) or hits_all(fault):
                self._board.make_ready(summary.id)
                raise
            self._faults.keep(summary.id, fault)
            self._board.sleep(summary.id, until=self._clock.now().timestamp() + _FAULT_AGAIN_S)
            return None
        self._faults.forget(summary.id)
        return started

    def _try(self, summary: TaskSummary, planned: list[Running], dry_run: bool) -> Started | None:
        task = self._read(summary.id)
        if task is None or task.status not in (Status.PENDING, Status.BLOCKED):
            # A file that was away for an instant, or a claim that was taken back at once: when it is as it was
            # before, that is no change that would wake it.
            self._try_again_soon(summary.id)
            return None
        key = self._class_of(task)
        if key in self._stuck and task.status is Status.PENDING and not task.depends_on:
            self._board.sleep(task.id, (key,))
            return None
        record = self._store.record(task.id)
        if task.status is Status.BLOCKED and not _may_unblock(record):
            return None
        refusal = self.first_refusal(task, record, planned)
        if refusal is not None:
            self._refused(task, record, refusal, dry_run)
            self._board.wake_one(key)
            return None
        decision = self._control.decide_with(task, record, [*self._running.values(), *planned])
        if decision.executor is None:
            self._not_routed(task, record, decision, dry_run)
            return None
        self._board.wake_one(key)
        if task.status is Status.BLOCKED and not dry_run:
            self._unblock(task, record)
            return None
        if dry_run:
            planned.append(self._as_running(task, decision.executor))
            return started_by(decision, record.token + 1)
        return self._start(task, decision)

    def _start(self, task: Task, decision: Decision) -> Started | None:
        # What was said of it holds until it is tried again, so that it is said once.
        self._busy.pop(task.id, None)
        try:
            claim = self._starter.claim(task, decision, self._max_active)
        except BusyError as busy:
            if busy.code == "no_slot":
                # Whoever had the slot may be gone before we have seen it, and then no end of it is seen, either.
                self._board.sleep(task.id, (ENDED,), until=self._clock.now().timestamp() + _GATE_AGAIN_S)
            else:
                self._note_busy(task.id, busy)
                self._try_again_soon(task.id)
            return None
        except (NotFoundError, TaskFormatError):
            # It was changed since it was read; the next scan tells to what.
            self._try_again_soon(task.id)
            return None
        lease = claim.lease
        self._running[task.id, lease.token] = self._as_running(task, lease.executor)
        # What was just claimed may be the one attempt that a half-open breaker lets through.
        self._control.refresh_history()
        if not self._starter.start(claim):
            return None
        started = self._mine[task.id, lease.token] = started_by(decision, lease.token)
        return started

    def _try_again_soon(self, task_id: str) -> None:
        self._board.sleep(task_id, until=self._clock.now().timestamp() + _BUSY_AGAIN_S)

    def _class_of(self, task: Task) -> tuple[Any, ...]:
        # One object for each class: 100,000 tasks that wait must not keep 100,000 equal ones alive.
        key = route_class(task)
        return self._classes.setdefault(key, key)

    def _read(self, task_id: str) -> Task | None:
        try:
            task = self._store.get(task_id)
        except NotFoundError:
            return None
        return None if isinstance(task, InvalidTask) else task

    def first_refusal(self, task: Task, record: TaskRecord, planned: list[Running]) -> Refusal | None:
        """The first gate that is closed for a task, None if all are open."""
        return next((no for _, no in self.gates(task, record, planned) if no is not None), None)

    def gates(
        self, task: Task, record: TaskRecord, planned: list[Running] | None = None
    ) -> Iterator[tuple[str, Refusal | None]]:
        """Every gate of a task, in order."""
        around = Circumstances(
            now=self._clock.now(),
            dependencies=self._dependencies,
            running=(*self._running.values(), *(planned or ())),
            project=self._control.root.project,
            workdir=workdir_of(self._control.root, task),
            protects=lambda one: protected_touch(one, self._settings),
        )
        return refusals(task, record, around)

    def _as_running(self, task: Task, executor: str) -> Running:
        return running_of(self._control.root, task, executor)

    def _refused(self, task: Task, record: TaskRecord, refusal: Refusal, dry_run: bool) -> None:
        if refusal.block and task.status is Status.PENDING and not dry_run:
            self._block(task, record, refusal.reason)
        self._board.sleep(task.id, refusal.keys, until=refusal.until)

    def _block(self, task: Task, record: TaskRecord, reason: Reason) -> None:
        kept = attrs.evolve(record, reason=reason, not_before=None)
        event = EventDraft(
            event_type="task.blocked", payload={"attempt": record.token, "reason": attrs.asdict(reason)}
        )
        result = {**(task.result or {}), "reason": attrs.asdict(reason)}
        ending = Ending(status=Status.BLOCKED, record=kept, result=result, events=(event,))
        with contextlib.suppress(BusyError, NotFoundError):
            self._store.move(task.id, ending, expected=Status.PENDING)

    def _unblock(self, task: Task, record: TaskRecord) -> None:
        kept = attrs.evolve(record, reason=None, not_before=None)
        was = record.reason.code if record.reason else ""
        event = EventDraft(event_type="task.woken", payload={"attempt": record.token, "was": was})
        result = {key: value for key, value in (task.result or {}).items() if key != "reason"}
        ending = Ending(status=Status.PENDING, record=kept, result=result, events=(event,))
        # The move changes the file, so the next scan brings the task back as pending; one that was refused is
        # repeated.
        self._try_again_soon(task.id)
        try:
            self._store.move(task.id, ending, expected=Status.BLOCKED)
        except NotFoundError:
            pass
        except BusyError as busy:
            self._note_busy(task.id, busy)

    def _not_routed(self, task: Task, record: TaskRecord, decision: Decision, dry_run: bool) -> None:
        reason = Reason(code=decision.reason_code, message=decision.reason, hint=decision.hint)
        if decision.permanent:
            if task.status is Status.PENDING and not dry_run:
                self._block(task, record, reason)
            self._board.sleep(task.id, (self._class_of(task),))
            return
        now = self._clock.now().timestamp()
        until = min(decision.wake_at or now + _ROUTES_AGAIN_S, now + _ROUTES_AGAIN_S)
        if decision.reason_code == "refused":
            self._board.sleep(task.id, (ENDED,), until=now + _GATE_AGAIN_S)
            return
        key = self._class_of(task)
        self._stuck.add(key)
        self._board.sleep(task.id, (key,))
        self._board.alarm(key, until)

    def _onward(self, task: Task, lease: Lease, result: AttemptResult) -> Decision | None:
        """The router's answer for the next attempt, as if this result were in the log already."""
        return self._control.decide_onward(task, lease, result, list(self._running.values()))

    # ---------------------------------------------------------------- waiting and running

    def wait_started(self, on_progress: Callable[[int], None] | None = None) -> list[dict[str, Any]]:
        """Wait for the attempts that this dispatcher started, and adopt their results.

        Args:
            on_progress: called about once a second with how many are still running.

        Returns:
            One row for each, with its outcome; None for one that a fault keeps from its end, see ``take_faults``.
        """
        while self._open():
            if on_progress:
                on_progress(len(self._open()))
            self._store.wait(1.0)
            self._sweep()
            self._forget_ended()
        self._tell(False)
        rows = [started.row(self._outcomes.get(key)) for key, started in self._mine.items()]
        self._mine.clear()
        return rows

    def take_faults(self) -> tuple[TaskFault, ...]:
        """The faults with single tasks that no report has told of yet."""
        return self._faults.take()

    def _open(self) -> list[tuple[str, int]]:
        return [key for key in self._mine if key not in self._outcomes and not self._faults.has(key[0])]

    def _forget_ended(self) -> None:
        """Attempts of ours that another dispatcher adopted have an outcome, too: the file tells it."""
        for task_id, token in self._open():
            lease = self._store.lease(task_id)
            if lease is None or lease.token != token:
                task = self._read(task_id)
                told = (task.result or {}).get("outcome") if task else None
                self._outcomes[task_id, token] = str(told or "lost")

    def run(self, stop: Callable[[], bool], on_tick: Callable[[TickReport], None] | None = None) -> None:
        """Tick until ``stop()`` says so, woken by changes; running attempts go on when it returns.

        A full or read-only disk does not end it: it says so once, backs off and tries again.
        """
        from autopilot.dispatcher.loop import Loop

        self._patience_s = _PATIENCE_S
        Loop(self, self._control).run(stop, on_tick)

    # ---------------------------------------------------------------- what the loop asks

    @property
    def max_active(self) -> int:
        """Attempts at once, over all dispatchers."""
        return self._max_active

    @property
    def idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running

    @property
    def waiting(self) -> bool:
        """Whether another tick would find nothing to judge, or no slot to start it in."""
        return not self._board.has_ready or len(self._running) >= self._max_active

    def forget_started(self) -> None:
        """Stop keeping account of the attempts that were started, which only ``wait_started`` needs."""
        self._mine.clear()
        self._outcomes.clear()

    def next_alarm(self) -> float | None:
        """The earliest instant (epoch seconds) at which a task is to be judged again."""
        return self._board.next_alarm()

    def close(self) -> None:
        """Let go; attempts that run go on."""
        self._control.launcher.close()


def _may_unblock(record: TaskRecord) -> bool:
    return record.reason is not None and record.reason.code in REMOVABLE
