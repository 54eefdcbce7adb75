from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from autopilot.events.log import EventLog
from autopilot.models import EventDraft
from autopilot.system import failpoints


class FakeClock:
    """A wall clock that goes on by itself: a millisecond a look."""

    def __init__(self) -> None:
        self.instant = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

    def now(self) -> datetime:
        self.instant += timedelta(milliseconds=1)
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path / "events")


@pytest.fixture
def make_log(folder, clock) -> Callable[..., EventLog]:
    made = []

    def make(**options) -> EventLog:
        log = EventLog(folder, **{"durability": "process", "clock": clock, **options})
        made.append(log)
        return log

    yield make
    for log in made:
        log.close()


@pytest.fixture
def log(make_log) -> EventLog:
    return make_log()


@pytest.fixture
def drafts() -> Callable[..., list[EventDraft]]:
    def make(count: int, **payload) -> list[EventDraft]:
        return [EventDraft(event_type="task.created", payload={"n": n, **payload}) for n in range(count)]

    return make


@pytest.fixture(autouse=True)
def disarmed():
    yield
    failpoints.disarm()
