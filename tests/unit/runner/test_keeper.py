"""The lease is renewed in time, cancels are heard, and a disk that refuses stops nothing."""

from __future__ import annotations

import pytest

from autopilot.errors import LeaseLostError, StorageError
from autopilot.models import LeaseSignal, TaskRecord
from autopilot.runner.keeper import Keeper


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self):
        return self.time


class Store:
    """Answers what the test put there."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.calls: list[str] = []

    def _answer(self, call):
        self.calls.append(call)
        answer = self.answers.pop(0) if self.answers else LeaseSignal()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def renew(self, lease):
        return self._answer("renew")

    def report(self, lease, result):
        self._answer("report")

    def notify(self):
        self.calls.append("notify")


class Lease:
    task_id, token = "t", 3


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def clock():
    return Clock()


def keeper_of(store, clock, beat_s=0.5):
    def sleep(seconds):
        clock.time += seconds

    return Keeper(store, Lease, clock=clock, beat_s=beat_s, sleep=sleep)


def test_a_beat_is_made_when_it_is_due_and_not_before(store, clock):
    keeper = keeper_of(store, clock)
    keeper.beat()
    assert store.calls == []
    assert keeper.pause() == 0.5
    clock.time = 0.5
    keeper.beat()
    keeper.beat()
    assert store.calls == ["renew"]
    clock.time = 5.0
    assert keeper.pause() == 0.0


def test_beats_are_never_more_than_a_second_apart(store, clock):
    assert keeper_of(store, clock, beat_s=30.0).pause() == 1.0


def test_a_cancel_is_remembered(store, clock):
    keeper = keeper_of(store, clock)
    store.answers = [LeaseSignal(cancel="ada"), LeaseSignal()]
    for clock.time in (0.5, 1.0):
        keeper.beat()
    assert keeper.cancelled_by == "ada"


@pytest.mark.parametrize("fault", [StorageError("full"), OSError(5, "bad")])
def test_a_refusing_disk_is_told_once_and_survived(store, clock, capsys, fault):
    keeper = keeper_of(store, clock)
    store.answers = [fault, fault, LeaseSignal(), fault]
    for clock.time in (0.5, 1.0, 1.5, 2.0):
        keeper.beat()
    assert capsys.readouterr().err == f"t.3: beat: {fault}\n" * 2


def test_a_lost_lease_is_the_callers_matter(store, clock):
    keeper = keeper_of(store, clock)
    store.answers = [LeaseLostError("gone")]
    clock.time = 0.5
    with pytest.raises(LeaseLostError):
        keeper.beat()


def test_a_report_is_tried_until_the_disk_takes_it_and_the_lease_lives_on(store, clock, capsys):
    keeper = keeper_of(store, clock)
    store.answers = [StorageError("full"), LeaseSignal(), OSError(28, "full"), LeaseSignal(), None]
    keeper.report(None)
    assert store.calls == ["report", "renew", "report", "renew", "report", "notify"]
    assert clock.time == 2.0
    assert "t.3: report: full" in capsys.readouterr().err


def test_a_report_of_an_old_token_is_given_up(store, clock):
    store.answers = [StorageError("full"), LeaseLostError("gone")]
    with pytest.raises(LeaseLostError):
        keeper_of(store, clock).report(None)


def test_what_came_too_late_is_a_fact_about_both_attempts(store):
    store.record = {"t": TaskRecord(task_id="t", token=5)}.__getitem__
    fact = keeper_of(store, Clock()).stale("report")
    assert fact.event_type == "lease.stale"
    assert fact.payload == {"attempt": 3, "current": 5, "what": "report"}
