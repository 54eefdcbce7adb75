"""``dispatch run`` goes on whatever the machine refuses it."""

from __future__ import annotations

import errno
import os
from itertools import pairwise
from typing import Any

import pytest

from autopilot.config.settings import DispatcherSettings
from autopilot.dispatcher import loop
from autopilot.dispatcher.reports import TickReport
from autopilot.errors import BusyError, StorageError


class Time:
    """The module ``time``, in which only sleeping takes any."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


@pytest.mark.parametrize(
    "refusal",
    [
        StorageError("cannot write x: No space left on device"),
        OSError(errno.EMFILE, os.strerror(errno.EMFILE), "x"),
        OSError(errno.ENOLCK, os.strerror(errno.ENOLCK)),
        BusyError("x is locked by another process"),
    ],
)
def test_it_says_once_what_is_refused_and_tries_again(
    arena: Any, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    monkeypatch.setattr(loop, "_DISK_AGAIN_S", 0)
    answers: list[Any] = [refusal, refusal, TickReport()]

    def tick(**_: Any) -> TickReport:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(arena.dispatcher, "tick", tick)
    monkeypatch.setattr(arena.control.store, "wait", lambda timeout: False)
    reports: list[TickReport] = []
    arena.dispatcher.run(lambda: not answers, reports.append)
    assert [len(report.notes) for report in reports] == [1, 0, 0]
    assert f"waiting for {'it' if isinstance(refusal, BusyError) else 'the disk'}" in reports[0].notes[0]
    assert [event["event_type"] for event in arena.events()][-2:] == ["storage.recovered", "dispatcher.stopped"]


def test_it_waits_twice_as_long_after_each_refusal_up_to_a_bound(
    arena: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    arena.settings(dispatcher=DispatcherSettings(poll_s=6))
    time = Time()
    monkeypatch.setattr(loop, "time", time)
    ticks: list[float] = []

    def tick(**_: Any) -> TickReport:
        ticks.append(time.monotonic())
        raise StorageError("cannot write x: No space left on device")

    monkeypatch.setattr(arena.dispatcher, "tick", tick)
    arena.dispatcher.run(lambda: len(ticks) == 6)
    assert [later - earlier for earlier, later in pairwise(ticks)] == [1, 2, 4, 6, 6]


def test_a_recovery_begins_with_the_shortest_pause_again(arena: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    monkeypatch.setattr(loop, "time", time)
    refused = [True, True, True, False, True, True]
    ticks: list[float] = []

    def tick(**_: Any) -> TickReport:
        ticks.append(time.monotonic())
        if refused[len(ticks) - 1]:
            raise StorageError("cannot write x: No space left on device")
        return TickReport()

    monkeypatch.setattr(arena.dispatcher, "tick", tick)
    monkeypatch.setattr(arena.control.store, "wait", lambda timeout: False)
    arena.dispatcher.run(lambda: len(ticks) == len(refused))
    assert [later - earlier for earlier, later in pairwise(ticks)] == [1, 2, 4, 0, 1]


def test_a_fault_of_our_own_ends_it(arena: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick(**_: Any) -> TickReport:
        raise FileNotFoundError(errno.ENOENT, "gone", "x")

    monkeypatch.setattr(arena.dispatcher, "tick", tick)
    with pytest.raises(FileNotFoundError):
        arena.dispatcher.run(lambda: False)
