"""``dispatch run`` goes on whatever the machine refuses it."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from autopilot.dispatcher import loop
from autopilot.dispatcher.reports import TickReport
from autopilot.errors import BusyError, StorageError


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


def test_a_fault_of_our_own_ends_it(arena: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def tick(**_: Any) -> TickReport:
        raise FileNotFoundError(errno.ENOENT, "gone", "x")

    monkeypatch.setattr(arena.dispatcher, "tick", tick)
    with pytest.raises(FileNotFoundError):
        arena.dispatcher.run(lambda: False)
