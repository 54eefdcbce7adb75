"""The control plane of one root: what can be asked of it, and done with it.

This is what the command line talks to; each command pays only for what it touches.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autopilot.dispatcher.parts import Parts
from autopilot.models import (
    AttemptResult,
    Decision,
    EventDraft,
    Health,
    InvalidTask,
    Lease,
    Task,
    TaskDraft,
    TaskRecord,
)

if TYPE_CHECKING:
    from autopilot.dispatcher.gates import Running
    from autopilot.dispatcher.hold import Hold
    from autopilot.dispatcher.routes import Routes
    from autopilot.executors.probes import ProbeCache
    from autopilot.plugins.manager import LoadedExecutor
    from autopilot.store.liveness import BeatWatch

__all__ = ["Control"]

_HEALTH_S = 2.0
"""How long one process goes by a probe before it looks at the cache again."""


class Control(Parts):
    """One root with all of its parts; see ``Parts`` for what it is made of."""

    _executor_marks: tuple[Any, ...] = ()

    # ---------------------------------------------------------------- holds

    def hold(self) -> Hold | None:
        """The pause or drain in force, if any."""
        from autopilot.dispatcher.hold import read_hold

        return read_hold(self.root.state)

    def pause(self, by: str = "") -> None:
        """Start nothing new until ``resume``; what runs goes on."""
        self._hold("paused", by, "dispatcher.paused")

    def drain(self, by: str = "") -> None:
        """Start nothing new, and have every ``dispatch run`` end when nothing runs any more."""
        self._hold("draining", by, "dispatcher.drained")

    def resume(self, by: str = "") -> bool:
        """Lift a pause or drain; whether there was one."""
        from autopilot.dispatcher.changes import lift_hold

        return lift_hold(self, by or _user())

    def _hold(self, mode: str, by: str, event_type: str) -> None:
        from autopilot.dispatcher.changes import impose_hold

        impose_hold(self, mode, by or _user(), event_type)

    # ---------------------------------------------------------------- tasks

    def create_task(self, draft: TaskDraft) -> Task:
        """Store a new task and log ``task.created``.

        Raises:
            AlreadyExistsError, TaskFormatError, StorageError.
        """
        from autopilot.dispatcher.changes import refuse_lookalike

        refuse_lookalike(self, draft.id)
        self.ensure_root()
        event = EventDraft(event_type="task.created", payload={"by": _user()})
        task = self.store.create(draft, events=(event,))
        self.store.notify()
        return task

    def read_task(self, task_id: str) -> Task:
        """A task that can be read.

        Raises:
            NotFoundError, TaskFormatError.
        """
        from autopilot.errors import TaskFormatError

        task = self.store.get(task_id)
        if isinstance(task, InvalidTask):
            raise TaskFormatError(task.message, hint=task.hint, path=task.path, line=task.line, column=task.column)
        return task

    def cancel(self, task_id: str, by: str = "") -> str:
        """Cancel a task: at once when nobody holds it, else by asking its runner.

        Returns:
            ``cancelled`` or ``requested``.

        Raises:
            NotFoundError, TaskFormatError, TransitionError (it is done or cancelled already), BusyError.
        """
        from autopilot.dispatcher.changes import cancel

        self.refuse_network()
        return cancel(self, self.read_task(task_id), by or _user())

    def retry(self, task_id: str, force: bool = False, by: str = "") -> Task:
        """Set a blocked task back to pending with fresh counters; done and cancelled ones with ``force``.

        Raises:
            NotFoundError, TaskFormatError, TransitionError, BusyError.
        """
        from autopilot.dispatcher.changes import retry

        self.refuse_network()
        return retry(self, self.read_task(task_id), force, by or _user())

    # ---------------------------------------------------------------- executors and routing

    @cached_property
    def routes(self) -> Routes:
        """The router and all it asks."""
        from autopilot.dispatcher.routes import Routes

        return Routes(
            self.settings.routing,
            self.memory.history,
            self.executors,
            self.plugins,
            self.health,
            self.settings.dispatcher.gate_deadline_s,
        )

    def health(self, name: str, *, fresh: bool = False) -> Health:
        """Whether an executor can be tried, by its probe; cached on disk unless ``fresh``.

        Raises:
            NotFoundError: there is no such executor.
        """
        loaded = self.executor(name)
        known = self._healths.get(name)
        now = self.clock.monotonic()
        if known is None or fresh or now - known[0] > _HEALTH_S:
            known = self._healths[name] = (now, self._probes.get(loaded.executor, fresh=fresh))
        return known[1]

    @cached_property
    def _healths(self) -> dict[str, tuple[float, Health]]:
        return {}

    @cached_property
    def _probes(self) -> ProbeCache:
        from autopilot.executors.probes import ProbeCache

        return ProbeCache(os.path.join(self.root.state, "cache", "probes.json"), clock=self.clock)

    def executor(self, name: str) -> LoadedExecutor:
        """One executor by name.

        Raises:
            NotFoundError: there is none; the hint names close ones.
        """
        if name not in self.executors:
            from autopilot.dispatcher.why import no_executor

            raise no_executor(name, self.executors)
        return self.executors[name]

    def pool_of(self, name: str) -> str:
        """The quota pool of an executor; its name where it is not installed any more."""
        return self.executors[name].info.pool if name in self.executors else name

    def running(self) -> list[Running]:
        """The attempts that are held now."""
        from autopilot.dispatcher.why import running_now

        return running_now(self)

    def decide(self, task: Task) -> Decision:
        """The router's answer for a task at this moment, without side effects."""
        self.refresh_history()
        return self.decide_with(task, self.store.record(task.id), self.running())

    def decide_with(self, task: Task, record: TaskRecord, running: Sequence[Running]) -> Decision:
        """The router's answer in given circumstances."""
        return self.routes.decide(task, record, running, self.clock.now())

    def decide_onward(
        self, task: Task, lease: Lease, result: AttemptResult, running: Sequence[Running]
    ) -> Decision | None:
        """The router's answer for the attempt after ``result``, with that result counted."""
        from autopilot.dispatcher.endings import judge, spent_by

        judged = judge(result)
        record = spent_by(lease.record, result, judged)
        others = [attempt for attempt in running if attempt.task_id != task.id]
        return self.routes.decide_after(
            task, record, others, self.clock.now(), executor=lease.executor, outcome=judged
        )

    def refresh_history(self) -> None:
        """Take in what the log has that this object has not seen."""
        self.memory.refresh()

    def executors_changed(self) -> bool:
        """Whether a probe's answer changed since the last call (a program was installed, a login done)."""
        marks = tuple((name, self.health(name).ok) for name in self.executors)
        changed = bool(self._executor_marks) and marks != self._executor_marks
        self._executor_marks = marks
        return changed

    def reset_executor(self, name: str) -> None:
        """Forget an executor's rest: its breaker closes, its pool's cooldown ends.

        Raises:
            NotFoundError: there is no such executor.
        """
        loaded = self.executor(name)
        self.health(name, fresh=True)
        self.ensure_root()
        self.append(
            [
                EventDraft(
                    event_type="executor.reset",
                    payload={"executor": name, "pool": loaded.info.pool, "by": _user()},
                )
            ]
        )
        self.store.notify()

    # ---------------------------------------------------------------- leases

    @cached_property
    def beats(self) -> BeatWatch:
        """What was observed of the owners of leases that are out of sight."""
        from autopilot.store.liveness import BeatWatch

        return BeatWatch(self.clock.monotonic())

    def lease_verdict(self, lease: Lease) -> str:
        """``alive``, ``dead``, ``expired`` or ``unknown`` for a lease's owner."""
        from autopilot.store.liveness import Liveness, verdict
        from autopilot.system.processes import alive_in_this_boot, is_alive

        alive = alive_in_this_boot if self._afar else is_alive
        while True:
            answer = verdict(lease, self.clock, self.beats, alive=alive)
            # We may have been stopped since the lease was read: only a beat that is still the same is silence.
            fresh = self.store.lease(lease.task_id) if answer is Liveness.EXPIRED else None
            if fresh is None or fresh.beat == lease.beat:
                return str(answer)
            lease = fresh

    def clear(self, lease: Lease) -> str | None:
        """End what is left of an attempt; None when nothing is alive, else why not yet."""
        from autopilot.dispatcher.spec import run_folder
        from autopilot.runner.reclaim import Deferred, clear

        answer = clear(lease, run_folder(self.root, lease.task_id, lease.token), clock=self.clock)
        return answer.reason if isinstance(answer, Deferred) else None

    def bury(self, task_id: str, token: int) -> str | None:
        """End what is left of an attempt whose lease is gone; None when nothing is alive, else why not yet."""
        from autopilot.dispatcher.spec import run_folder
        from autopilot.runner.reclaim import Deferred, end_marked

        answer = end_marked(run_folder(self.root, task_id, token), clock=self.clock)
        return answer.reason if isinstance(answer, Deferred) else None

    def report_invalid(self, invalid: Iterable[InvalidTask]) -> None:
        """Log ``task.invalid`` once for each content of a file that cannot be read."""
        from autopilot.dispatcher.changes import report_invalid

        report_invalid(self, invalid)

    # ---------------------------------------------------------------- answers

    def why(self, task_id: str) -> dict[str, Any]:
        """Why a task is where it is: the JSON of ``task why``.

        Raises:
            NotFoundError: there is no such task.
        """
        from autopilot.dispatcher.why import explain

        return explain(self, task_id)

    def executor_rows(self, fresh: bool = False) -> list[dict[str, Any]]:
        """The JSON of ``executors list``."""
        from autopilot.dispatcher.why import executor_rows

        return executor_rows(self, fresh)

    def stats(self) -> dict[str, Any]:
        """Counts by status, and what routing has learnt of each executor."""
        from autopilot.dispatcher.why import stats

        return stats(self)


def _user() -> str:
    try:
        return f"user:{getpass.getuser()}"
    except (KeyError, OSError, ImportError):
        return f"user:{os.getuid()}"
