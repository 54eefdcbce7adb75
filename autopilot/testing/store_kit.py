"""What the parts of the store suite share: a clock, a log, ordinary arguments."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from autopilot.models import (
    AttemptResult,
    Ending,
    Event,
    EventDraft,
    Lease,
    Outcome,
    OutcomeKind,
    Status,
    Task,
    TaskDraft,
)
from autopilot.store.contract import SlotLimits, Store
from autopilot.system.processes import ProcessIdentity, identify

__all__ = [
    "FakeClock",
    "OpenStore",
    "ROOMY",
    "RecordingLog",
    "StoreCase",
    "TICKET",
    "all_of",
    "bare",
    "draft",
    "gone_owner",
    "result_of",
    "text_of",
]

OpenStore = Callable[[], Store]

ROOMY = SlotLimits(total=100)
TICKET = EventDraft(event_type="task.claimed", payload={"why": "a test"})


class FakeClock:
    """A clock that stands still until it is told otherwise; its wall may jump, its monotonic side never does.

    Attributes:
        wall: what ``now`` says.
        steady: what ``monotonic`` says.
        tick_s: both go on by this much at each look at the wall, so that no two commits have one time.
    """

    def __init__(self, *, tick_s: float = 0.001) -> None:
        self.wall = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        self.steady = 1000.0
        self.tick_s = tick_s

    def now(self) -> datetime:
        """The wall clock."""
        self.wall += timedelta(seconds=self.tick_s)
        self.steady += self.tick_s
        return self.wall

    def monotonic(self) -> float:
        """Seconds since some point."""
        return self.steady

    def advance(self, seconds: float) -> None:
        """Let time pass on both sides."""
        self.wall += timedelta(seconds=seconds)
        self.steady += seconds


class RecordingLog:
    """Stands in for the event log.

    Attributes:
        events: everything published, repeats included.
        fault: raised by the next publications while it is set.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fault: Exception | None = None

    def publish(self, events: Sequence[Event]) -> None:
        """What a store is given."""
        if self.fault is not None:
            raise self.fault
        self.events.extend(events)

    def distinct(self) -> list[Event]:
        """The events without repeats, as a reader sees them; a repeat must be equal to the first."""
        first: dict[str, Event] = {}
        for event in self.events:
            known = first.setdefault(event.id, event)
            assert known == event, f"two different events have the id {event.id}"
        return list(first.values())

    def types(self) -> list[str]:
        """The types of ``distinct``."""
        return [event.event_type for event in self.distinct()]


def text_of(task_id: str, **values: str) -> bytes:
    """A small task file with a comment, an unknown key and a body."""
    fields = {"id": task_id, "title": f"Do {task_id}", **values}
    lines = "".join(f"{key}: {value}\n" for key, value in fields.items())
    return f"---\n# kept\n{lines}x-team:   blue   # kept, too\n---\n\nThe body of {task_id}.\n".encode()


def draft(task_id: str, **values: str) -> TaskDraft:
    """A task to be created."""
    return TaskDraft(id=task_id, text=text_of(task_id, **values))


def gone_owner() -> ProcessIdentity:
    """An identity of this host whose process does not live."""
    return attrs.evolve(identify(), start_time="0")


def result_of(lease: Lease, kind: OutcomeKind = OutcomeKind.SUCCEEDED) -> AttemptResult:
    """What a runner would report."""
    return AttemptResult(
        task_id=lease.task_id,
        token=lease.token,
        executor=lease.executor,
        outcome=Outcome(kind=kind, message="as told"),
        started_at=lease.claimed_at,
        ended_at=lease.claimed_at,
        duration_s=0.0,
    )


class StoreCase:
    """The fixtures, and the ordinary steps of a task's life."""

    # ------------------------------------------------------------------ fixtures

    @pytest.fixture
    def clock(self) -> FakeClock:
        """The store's time."""
        return FakeClock()

    @pytest.fixture
    def log(self) -> RecordingLog:
        """The store's event log."""
        return RecordingLog()

    @pytest.fixture
    def open_store(self) -> OpenStore | None:
        """Override it: opens the store under test, again and again."""
        return None

    @pytest.fixture
    def store(self, open_store: OpenStore | None) -> Iterator[Store]:
        """The store under test, empty."""
        if open_store is None:
            pytest.fail("override the fixture `open_store` or `store`")
        store = open_store()
        yield store
        store.close()

    @pytest.fixture
    def second(self, open_store: OpenStore | None, store: Store) -> Iterator[Store]:
        """Another object on the same tasks."""
        if open_store is None:
            pytest.skip("this store cannot be opened twice")
        second = open_store()
        yield second
        second.close()

    # ------------------------------------------------------------------ helpers for subclasses

    def claim(self, store: Store, task_id: str, *, owner: ProcessIdentity | None = None, **more: Any) -> Lease:
        """A claim with ordinary arguments."""
        arguments = {"executor": "local", "limits": ROOMY, "ttl_s": 30.0, "events": (TICKET,), **more}
        return store.claim(task_id, owner=owner or identify(), **arguments)

    def start(self, store: Store, lease: Lease) -> Lease:
        """A start with ordinary arguments."""
        return store.start(lease, owner=identify(), events=(EventDraft(event_type="attempt.started"),))

    def ending(self, lease: Lease, status: Status, **more: Any) -> Ending:
        """An ending of a lease with one event."""
        event = EventDraft(event_type=f"task.{status}")
        return Ending(status=status, record=lease.record, events=(event,), **more)

    def moving(self, store: Store, task_id: str, status: Status, **record: Any) -> Ending:
        """An ending for ``move``."""
        kept = attrs.evolve(store.record(task_id), **record)
        return Ending(status=status, record=kept, events=(EventDraft(event_type=f"task.{status}"),))

    def run(self, store: Store, task_id: str, status: Status = Status.DONE) -> Lease:
        """A whole attempt."""
        lease = self.start(store, self.claim(store, task_id))
        store.report(lease, result_of(lease))
        store.finish(lease, self.ending(lease, status, result={"outcome": "succeeded", "executor": "local"}))
        return lease

    def status(self, store: Store, task_id: str) -> Status:
        """The status that a reader sees."""
        task = store.get(task_id)
        assert isinstance(task, Task)
        return task.status


def all_of(threads: list[threading.Thread]) -> None:
    """Start them and wait for them."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def bare(lease: Lease | None) -> Lease:
    """A lease without what may differ between two looks: its beat, and events that may be in the log by now."""
    assert lease is not None
    return attrs.evolve(lease, beat=0.0, outbox=())
