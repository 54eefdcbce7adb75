"""The queue in memory: what may run now, in order, and what each of the others waits for.

A tick costs what changed: a task is judged when it becomes ready, and then sleeps until something that could
change the judgement happens. The order is one static key, so nothing is ever sorted again: creation time, moved
back by ``aging_hours`` for each level of priority. A high task comes before every low one that is less than
two levels' worth of hours older, and no task is overtaken for ever.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from datetime import datetime
from typing import NamedTuple

from autopilot.models import InvalidTask, Priority, Status
from autopilot.store.contract import Changes, TaskSummary

__all__ = ["ENDED", "Board", "order_key"]

ENDED = "an attempt ended"
"""The key that tasks wait under for a slot or for a conflicting attempt's end."""

_MAY_RUN = frozenset({Status.PENDING, Status.BLOCKED})
_HELD = frozenset({Status.CLAIMED, Status.IN_PROGRESS})
_LEVELS = len(Priority) - 1


def order_key(summary: TaskSummary, aging_s: float) -> tuple[float, str]:
    """Smaller comes first. ``aging_s``: seconds of waiting that one priority level is worth."""
    return summary.created - (_LEVELS - summary.priority.rank) * aging_s, summary.id


class _Own(NamedTuple):
    """The key of a task's own alarm."""

    task_id: str


class Board:
    """Every task's summary, and the order in which they may run.

    Args:
        aging_s: seconds of waiting that one level of priority is worth.
    """

    def __init__(self, *, aging_s: float) -> None:
        self._aging_s = aging_s
        self.tasks: dict[str, TaskSummary] = {}
        self.invalid: dict[str, InvalidTask] = {}
        self.version = 0
        self._ready: list[tuple[float, str]] = []
        self._queued: set[str] = set()
        self._waiting: dict[str, tuple[Hashable, ...]] = {}
        self._waiters: dict[Hashable, dict[str, None]] = defaultdict(dict)
        self._alarms: list[tuple[float, int, Hashable]] = []
        self._alarm_of: dict[Hashable, float] = {}
        self._alarm_count = 0
        self._rung = float("-inf")
        self.moving: set[str] = set()

    # ---------------------------------------------------------------- what changed

    def apply(self, changes: Changes) -> None:
        """Take in what the store saw change, and make ready what may be affected."""
        for task_id in changes.removed:
            self.tasks.pop(task_id, None)
            self.invalid.pop(task_id, None)
            self._settle(task_id)
        for broken in changes.invalid:
            self.tasks.pop(broken.id, None)
            self.invalid[broken.id] = broken
            self._settle(broken.id)
        for summary in changes.tasks:
            self.put(summary)

    def put(self, summary: TaskSummary) -> None:
        """Take in one task's new summary. ``moving`` has the ids whose status says that somebody holds them."""
        self.invalid.pop(summary.id, None)
        self.tasks[summary.id] = summary
        self._settle(summary.id)
        if summary.status in _HELD:
            self.moving.add(summary.id)
        if summary.status in _MAY_RUN:
            self.make_ready(summary.id)

    def _settle(self, task_id: str) -> None:
        self.version += 1
        self._forget(task_id)
        self._queued.discard(task_id)
        self.moving.discard(task_id)
        self.wake(("task", task_id))

    def status(self, task_id: str) -> Status | None:
        """The status of a task that can be read; None for one that is missing or invalid."""
        summary = self.tasks.get(task_id)
        return summary.status if summary else None

    # ---------------------------------------------------------------- ready

    def make_ready(self, task_id: str) -> None:
        """Have this task judged again."""
        summary = self.tasks.get(task_id)
        if summary is None or summary.status not in _MAY_RUN:
            return
        self._forget(task_id)
        if task_id not in self._queued:
            self._queued.add(task_id)
            heapq.heappush(self._ready, order_key(summary, self._aging_s))

    def next(self) -> TaskSummary | None:
        """Take the first ready task; the caller judges it, then starts it, lets it ``sleep`` or puts it back."""
        while self._ready:
            _, task_id = heapq.heappop(self._ready)
            if task_id in self._queued:
                self._queued.remove(task_id)
                return self.tasks[task_id]
        return None

    @property
    def has_ready(self) -> bool:
        """Whether anything is there to be judged."""
        return bool(self._queued)

    def ordered(self) -> list[TaskSummary]:
        """All tasks that may run, in order."""
        return sorted(
            (summary for summary in self.tasks.values() if summary.status in _MAY_RUN),
            key=lambda summary: order_key(summary, self._aging_s),
        )

    # ---------------------------------------------------------------- waiting

    def sleep(self, task_id: str, keys: Iterable[Hashable] = (), *, until: float | None = None) -> None:
        """Let a task wait until one of the keys is woken, or until an instant (epoch seconds)."""
        self._forget(task_id)
        self._waiting[task_id] = tuple(keys)
        for key in self._waiting[task_id]:
            self._waiters[key][task_id] = None
        if until is not None:
            self.alarm(_Own(task_id), until)

    def alarm(self, key: Hashable, until: float) -> None:
        """At an instant (epoch seconds) judge again the first of those that wait for ``key``."""
        self._alarm_of[key] = until
        self._alarm_count += 1
        heapq.heappush(self._alarms, (until, self._alarm_count, key))

    def wake(self, key: Hashable) -> None:
        """Make everything ready that waits for ``key``."""
        for task_id in tuple(self._waiters.get(key, ())):
            self.make_ready(task_id)

    def keys(self, wanted: Callable[[Hashable], bool]) -> list[Hashable]:
        """The keys that somebody waits for and that ``wanted`` accepts."""
        return [key for key in self._waiters if wanted(key)]

    def wake_one(self, key: Hashable) -> None:
        """Make one of those that wait for ``key`` ready: the one that was judged first, in the order then."""
        waiting = next(iter(self._waiters.get(key, ())), None)
        if waiting is not None:
            self.make_ready(waiting)

    def ring(self, now: datetime) -> None:
        """Make everything ready whose instant has come; all that wait for one where the clock was set back, or a
        pause of seconds would last for as long as that jump."""
        instant = now.timestamp()
        due = instant if instant >= self._rung else float("inf")
        self._rung = instant
        while self._alarms and self._alarms[0][0] <= due:
            at, _, key = heapq.heappop(self._alarms)
            if self._alarm_of.get(key) == at:
                del self._alarm_of[key]
                self._go_off(key)

    def _go_off(self, key: Hashable) -> None:
        if isinstance(key, _Own):
            self.make_ready(key.task_id)
        else:
            self.wake_one(key)

    def next_alarm(self) -> float | None:
        """The earliest instant (epoch seconds) that somebody waits for."""
        while self._alarms and self._alarm_of.get(self._alarms[0][2]) != self._alarms[0][0]:
            heapq.heappop(self._alarms)
        return self._alarms[0][0] if self._alarms else None

    def _forget(self, task_id: str) -> None:
        self._alarm_of.pop(_Own(task_id), None)
        for key in self._waiting.pop(task_id, ()):
            waiters = self._waiters[key]
            waiters.pop(task_id, None)
            if not waiters:
                del self._waiters[key]
