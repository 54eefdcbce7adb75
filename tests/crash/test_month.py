"""Thirty days of ticks with three dispatchers and one fault in a hundred.

Nothing grows, nothing starves, and when the faults end everything comes to rest by itself.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import tempfile
import time
import types
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autopilot.dispatcher.board import Board
from autopilot.dispatcher.reconcile import Reconciler
from autopilot.models import LeaseState, Status, Task
from autopilot.routing.history import History
from autopilot.store.liveness import BeatWatch
from autopilot.store.projection import Projector
from tests.campaign import FAST, FULL, record, sample, size
from tests.crash.simulation import DISPATCHERS, EXECUTORS, SLOTS, TICK_S, Month
from tests.exhaustion import open_below

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")

HOUR_S = 3600.0
HOURS = size(18, 720)
EARLY = 48 if FULL else HOURS // 2
"""When the first measure is taken: everything has been in use once by then."""

NAMES = 300
_LOCKS = 66
"""64 stripes, claims and log: each has a file, which a store keeps open when it was used once."""

MOST_STEPS_TO_REST = 1500
LONGEST_WAIT_S = 6 * HOUR_S
LONGEST_UNTRIED_H = 72
"""The rule of routing has no bound for this; an executor that is not tried in three days of work is forgotten."""


@pytest.fixture
def month(monkeypatch: pytest.MonkeyPatch) -> Iterator[Month]:
    # A dispatcher that meets a full disk waits for a real second, and nothing here is real.
    monkeypatch.setattr("autopilot.dispatcher.loop._DISK_AGAIN_S", 0.0)
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        made = Month(folder, random.Random(14), fault=0.01, per_hour=10, names=NAMES, kept_s=2 * HOUR_S)
        yield made
        made.close()


# ---------------------------------------------------------------------- measures


def measure(month: Month) -> dict[str, int]:
    """What may not grow."""
    gc.collect()
    files = Counter(where(month, path) for path in Path(month.root.folder).rglob("*") if path.is_file())
    return {
        "rss_kib": int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") // 1024,
        "descriptors": len(open_below(month.root.folder)),
        "objects": census([month.dispatchers[0], month.loops[0]]),
        "log_bytes": sum(path.stat().st_size for path in Path(month.root.events).iterdir()),
        **{f"{name}_files": files[name] for name in ("events", "leases", "records", "state", "other")},
    }


def where(month: Month, path: Path) -> str:
    """Which kind of file it is; the tasks and what their attempts left are the people's to clear away."""
    folder, *below = path.relative_to(month.root.folder).parts
    if folder in ("tasks", "runs"):
        return "other" if path.name.startswith(".") else "people's"
    if folder == "state":
        return below[0] if below[0] in ("leases", "records") else "state"
    return folder if folder == "events" else "other"


_NOT_COUNTED = type | types.ModuleType | types.FunctionType | Month | History


def census(roots: list[object]) -> int:
    """How many objects can be reached from these. Code is not counted, nor what has a bound of its own that is
    reached late: the router's history, and queues that let go of the oldest."""
    seen: set[int] = set()
    todo = list(roots)
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, _NOT_COUNTED) or getattr(one, "maxlen", None) is not None:
            continue
        seen.add(id(one))
        todo += gc.get_referents(one)
    return len(seen)


def assert_bounded(early: dict[str, int], late: dict[str, int]) -> None:
    most = {
        "rss_kib": early["rss_kib"] * 1.25 + 16_384,
        "descriptors": (DISPATCHERS + 1) * (_LOCKS + 6),
        "objects": early["objects"] * 1.3 + 200,
        "log_bytes": early["log_bytes"] * 1.5 + 512 * 1024,
        "events_files": early["events_files"] + 3,
        "leases_files": 6 * SLOTS,
        "records_files": NAMES,
        "state_files": _LOCKS + 16,
        "other_files": early["other_files"] + 2,
    }
    assert {name: (early[name], late[name]) for name in most if late[name] > most[name]} == {}


# ---------------------------------------------------------------------- what holds at all times


class Watch:
    """Looks at the world every hour."""

    def __init__(self, month: Month) -> None:
        self._month = month
        self._cursor: str | None = None
        self._completed: dict[str, str] = {}
        self._tried: dict[str, int] = {}
        self.longest_drought_h = 0
        self._drought: Counter[str] = Counter()

    def look(self) -> None:
        store = self._month.store
        assert sum(lease.state is not LeaseState.ENDED for lease in store.leases()) <= SLOTS
        self._completions()
        self._executors()
        for task in store.tasks():
            if isinstance(task, Task) and task.status is Status.PENDING:
                self._pending(task)

    def _completions(self) -> None:
        for line in self._month.log.read(self._cursor, types="task.done"):
            self._cursor = line.cursor
            event = json.loads(line.line)
            attempt = f"{event['trace_id']}.{event['payload']['attempt']}"
            assert self._completed.setdefault(attempt, event["id"]) == event["id"], "completed twice"

    def _executors(self) -> None:
        for name in EXECUTORS:
            count = self._month.seen[f"executor {name}"]
            self._drought[name] = 0 if count > self._tried.get(name, 0) else self._drought[name] + 1
            self._tried[name] = count
        self.longest_drought_h = max(self.longest_drought_h, *self._drought.values())

    def _pending(self, task: Task) -> None:
        why = self._month.controls[0].why(task.id)
        assert why["runnable"] or why["reason"]["message"], f"{task.id} waits for no reason: {why}"


# ---------------------------------------------------------------------- the campaign


@pytest.mark.slow
@pytest.mark.timeout(7200 if FULL else 600)
def test_nothing_grows_and_nothing_starves(month: Month) -> None:
    began = time.monotonic()
    watch, early = Watch(month), {}
    for hour in range(1, HOURS + 1):
        month.run(hour * HOUR_S)
        watch.look()
        if hour == EARLY:
            early = measure(month)
    late = measure(month)
    steps = month.come_to_rest(MOST_STEPS_TO_REST)
    figures: dict[str, Any] = {
        "days": round(HOURS / 24, 2),
        "ticks_simulated": int(HOURS * HOUR_S / TICK_S) * DISPATCHERS,
        "ticks_executed": month.ticks,
        "tasks": month.seen["arrived"],
        "attempts": sum(count for name, count in month.seen.items() if name.startswith("fate ")),
        "lost": month.seen["ended lost"],
        "stale_refused": month.seen["refused as stale"],
        "disk_refused": month.seen["disk refused"],
        "hand_edits": sum(count for name, count in month.seen.items() if name.startswith("hand edit")),
        "longest_wait_min": round(month.waited_s / 60),
        "longest_untried_h": watch.longest_drought_h,
        "ticks_to_rest": steps * DISPATCHERS,
        **{f"{name}_from": value for name, value in early.items()},
        **{f"{name}_to": value for name, value in late.items()},
        "seconds": round(time.monotonic() - began),
    }
    record("T14", "simulated month", **figures)
    assert_bounded(early, late)
    assert_at_rest(month)
    assert month.waited_s < LONGEST_WAIT_S
    assert watch.longest_drought_h <= LONGEST_UNTRIED_H
    assert month.seen["refused as stale"] > 0
    assert month.log.verify().ok


def assert_at_rest(month: Month) -> None:
    """Ended, or blocked with a reason on the screen."""
    for task in month.store.tasks():
        assert isinstance(task, Task)
        if task.status is Status.BLOCKED:
            assert month.controls[0].why(task.id)["reason"]["message"]


# ---------------------------------------------------------------------- mutation


def lost_attempts_are_left(m: pytest.MonkeyPatch) -> None:
    m.setattr(Reconciler, "_lost", lambda *_: None)


def claims_of_the_dead_are_left(m: pytest.MonkeyPatch) -> None:
    m.setattr(Reconciler, "_release", lambda *_: None)


def parked_tasks_are_not_woken(m: pytest.MonkeyPatch) -> None:
    m.setattr(Board, "ring", lambda *_: None)


def nothing_is_redone(m: pytest.MonkeyPatch) -> None:
    m.setattr(Projector, "redo", lambda *_: False)


def beats_are_remembered_for_ever(m: pytest.MonkeyPatch) -> None:
    m.setattr(BeatWatch, "keep_only", lambda *_: None)


PLANTS = {
    plant.__name__: plant
    for plant in (
        beats_are_remembered_for_ever,
        claims_of_the_dead_are_left,
        lost_attempts_are_left,
        nothing_is_redone,
        parked_tasks_are_not_woken,
    )
}
QUICK = ("beats_are_remembered_for_ever", "parked_tasks_are_not_woken")


@pytest.mark.parametrize("plant", sample(PLANTS if FULL else QUICK, 1))
def test_the_month_finds(plant: str, month: Month, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[plant](monkeypatch)
    month.fault, month.gap_s = 0.05, 60.0
    with pytest.raises(AssertionError):
        month.run(0.5 * HOUR_S)
        early = measure(month)
        month.run(1.5 * HOUR_S)
        assert_bounded(early, measure(month))
        month.come_to_rest(40)
