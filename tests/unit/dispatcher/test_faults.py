"""A fault with one task is told, keeps no other from going on, and is never silent."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest

from autopilot.dispatcher import faults, tick
from autopilot.dispatcher.faults import Faults
from autopilot.errors import BusyError, LeaseLostError, NotFoundError, StorageError, UnreadableError

ODD = RuntimeError("odd")
UNREADABLE = UnreadableError("cannot read runs/odd: Permission denied", hint="check its mode")


def only_for_odd(function: Callable[..., Any], fault: Exception) -> Callable[..., Any]:
    """The function, which raises for the task ``odd``."""

    def raising(first: Any, *more: Any, **named: Any) -> Any:
        if "odd" in (first, getattr(first, "id", None), getattr(first, "task_id", None)):
            raise fault
        return function(first, *more, **named)

    return raising


@pytest.fixture
def two(arena: Any) -> Any:
    """An executor, and two tasks of which the odd one comes first."""
    arena.executor("coder")
    for name in ("odd", "fine"):
        arena.task(name, touches=[f"{name}/**"])
    return arena


def started(report: Any) -> list[str]:
    return [one.task_id for one in report.started]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (ODD, "odd is left alone: unexpected fault: RuntimeError: odd (this is a bug"),
        (PermissionError(errno.EACCES, "no", "x"), "odd is left alone: cannot use x: Permission denied (check"),
        (UNREADABLE, "odd is left alone: cannot read runs/odd: Permission denied (check its mode)"),
    ],
)
def test_a_fault_in_judging_one_task_is_told_once_and_stops_nobody(
    two: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception, told: str
) -> None:
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(two.control.store, "record", only_for_odd(two.control.store.record, fault))
        report = two.tick()
        assert started(report) == ["fine"]
        (found,) = report.faults
        assert (found.task_id, found.cause) == ("odd", fault)
        assert str(found).startswith(told)
        why = two.control.why("odd")
        assert (why["runnable"], why["reason"]["code"]) == (False, "fault")
        assert str(found).startswith(f"odd is left alone: {why['reason']['message']}")
        two.end("fine")
        two.tick()
        two.clock.pass_by(60)
        assert two.tick().faults == ()
    assert two.status("odd") == "pending"
    two.clock.pass_by(60)
    assert started(two.tick()) == ["odd"]


def test_a_fault_that_comes_again_is_told_again(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    two.control.store.edit("fine", {"status": "cancelled"})
    for _ in range(2):
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(tick, "protected_touch", only_for_odd(tick.protected_touch, ODD))
            assert len(two.tick().faults) == 1
        two.control.store.edit("odd", {"not_before": "2099-01-01T00:00:00Z"})
        assert two.tick().faults == ()
        two.control.store.edit("odd", {"not_before": None})


def test_a_fault_in_starting_one_task_gives_the_claim_back(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(two.stage, "start", only_for_odd(two.stage.start, ODD))
    report = two.tick()
    assert started(report) == ["fine"]
    assert [found.cause for found in report.faults] == [ODD]
    assert (two.status("odd"), two.reason("odd")) == ("pending", "not_started")
    assert "RuntimeError: odd" in two.control.why("odd")["reason"]["message"]


def test_a_fault_in_settling_one_task_keeps_no_other_from_its_end(
    two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    two.tick()
    for name in ("odd", "fine"):
        two.end(name)
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(two.control.store, "result", only_for_odd(two.control.store.result, ODD))
        rows = two.dispatcher.wait_started()
        assert {row["task_id"]: row["outcome"] for row in rows} == {"odd": None, "fine": "succeeded"}
        assert [found.task_id for found in two.dispatcher.take_faults()] == ["odd"]
        assert two.tick().faults == ()
    assert [ended.task_id for ended in two.tick().adopted] == ["odd"]


def test_a_fault_with_one_edit_stops_nobody(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    two.tick()
    two.file("odd").write_text(two.file("odd").read_text().replace("status: claimed", "status: cancelled"))
    two.end("fine")
    monkeypatch.setattr(two.control.store, "request_cancel", only_for_odd(two.control.store.request_cancel, ODD))
    report = two.tick()
    assert [ended.task_id for ended in report.adopted] == ["fine"]
    assert [found.task_id for found in report.faults] == ["odd"]


@pytest.mark.parametrize(
    "fault",
    [
        StorageError("cannot write x: No space left on device"),
        OSError(errno.EMFILE, "too many"),
        BusyError("locked"),
        MemoryError(),
    ],
)
def test_what_hits_all_ends_the_tick_and_the_task_is_judged_again(
    two: Any, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(two.control.store, "record", only_for_odd(two.control.store.record, fault))
        with pytest.raises(type(fault)):
            two.tick()
        with pytest.raises(type(fault)):
            two.control.why("odd")
    assert started(two.tick()) == ["odd", "fine"]


def test_a_stop_is_no_fault(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(two.control.store, "record", stop)
    with pytest.raises(KeyboardInterrupt):
        two.tick()


def test_a_file_that_broke_between_judging_and_claiming_is_no_fault(
    two: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise NotFoundError("gone")

    monkeypatch.setattr(two.control.store, "claim", broken)
    report = two.tick()
    assert (report.started, report.faults) == ((), ())


def test_a_fault_that_all_tasks_have_is_told_of_bit_by_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_MOST_AT_ONCE", 2)
    met = Faults()
    told = []
    for _ in range(3):
        for name in "abcde":
            met.keep(name, ODD)
        told.append([found.task_id for found in met.take()])
    assert told == [["a", "b"], ["c", "d"], ["e"]]


def test_a_lost_lease_is_waited_for_like_any_lock() -> None:
    with pytest.raises(LeaseLostError):
        Faults().keep("one", LeaseLostError("old"))
