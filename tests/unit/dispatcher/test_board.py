"""The queue in memory: order, waiting, waking, alarms."""

from __future__ import annotations

from datetime import UTC, datetime

from autopilot.dispatcher.board import ENDED, Board, order_key
from autopilot.models import InvalidTask, Priority, Status
from autopilot.store.contract import Changes, TaskSummary

HOUR = 3600.0


def task(
    name: str, priority: Priority = Priority.MEDIUM, created: float = 0.0, status: Status = Status.PENDING
) -> TaskSummary:
    return TaskSummary(id=name, status=status, priority=priority, created=created)


def board_of(*summaries: TaskSummary) -> Board:
    board = Board(aging_s=24 * HOUR)
    board.apply(Changes(tasks=summaries))
    return board


def drain(board: Board) -> list[str]:
    names = []
    while (summary := board.next()) is not None:
        names.append(summary.id)
    return names


def test_priority_then_age_then_id() -> None:
    board = board_of(
        task("b", created=5),
        task("a", created=5),
        task("old", created=1),
        task("urgent", Priority.CRITICAL, created=9),
    )
    assert drain(board) == ["urgent", "old", "a", "b"]


def test_a_low_task_is_not_starved() -> None:
    low = task("low", Priority.LOW, created=0)
    just_now = task("high", Priority.HIGH, created=49 * HOUR)
    assert order_key(low, 24 * HOUR) < order_key(just_now, 24 * HOUR)
    assert order_key(task("high", Priority.HIGH, created=47 * HOUR), 24 * HOUR) < order_key(low, 24 * HOUR)


def test_what_sleeps_is_woken_by_its_key_only() -> None:
    board = board_of(task("a"), task("b"))
    drain(board)
    board.sleep("a", [ENDED])
    board.sleep("b", ["other"])
    board.wake(ENDED)
    assert drain(board) == ["a"]


def test_a_change_of_a_dependency_wakes_its_dependants() -> None:
    board = board_of(task("a"), task("b"))
    drain(board)
    board.sleep("b", [("task", "a")])
    board.apply(Changes(tasks=(task("a", status=Status.DONE),)))
    assert drain(board) == ["b"]


def test_only_one_of_a_class_is_woken_for_a_second_look() -> None:
    board = board_of(task("late", created=2), task("early", created=1))
    for name in drain(board):
        board.sleep(name, ["class"])
    board.wake_one("class")
    assert drain(board) == ["early"]


def test_alarms_ring_once_and_are_forgotten_when_the_task_moves_on() -> None:
    board = board_of(task("a"), task("b"))
    drain(board)
    board.sleep("a", until=100.0)
    board.sleep("b", until=50.0)
    assert board.next_alarm() == 50.0
    board.put(task("b", status=Status.DONE))
    assert board.next_alarm() == 100.0
    board.ring(datetime.fromtimestamp(100.0, UTC))
    assert drain(board) == ["a"]
    assert board.next_alarm() is None


def test_an_alarm_on_a_key_wakes_one_waiter() -> None:
    board = board_of(task("a", created=1), task("b", created=2))
    drain(board)
    board.sleep("a", ["class"])
    board.sleep("b", ["class"])
    board.alarm("class", 10.0)
    board.ring(datetime.fromtimestamp(11.0, UTC))
    assert drain(board) == ["a"]


def test_a_removed_or_broken_task_is_not_offered() -> None:
    board = board_of(task("a"), task("b"), task("c"))
    board.apply(Changes(removed=("a",), invalid=(InvalidTask(id="b", path="b.md", message="bad"),)))
    assert drain(board) == ["c"]
    assert board.status("b") is None
    assert "b" in board.invalid


def test_held_tasks_are_known_as_moving() -> None:
    board = board_of(task("a", status=Status.CLAIMED))
    assert board.moving == {"a"}
    assert drain(board) == []
    board.put(task("a"))
    assert board.moving == set()
    assert drain(board) == ["a"]


def test_a_clock_that_was_set_back_rings_every_alarm() -> None:
    board = board_of(task("a"), task("b"))
    drain(board)
    board.ring(datetime.fromtimestamp(1000, UTC))
    board.sleep("a", until=1005.0)
    board.sleep("b", ("a class",))
    board.alarm("a class", 1030.0)
    board.ring(datetime.fromtimestamp(1001, UTC))
    assert not board.has_ready
    board.ring(datetime.fromtimestamp(900, UTC))
    assert drain(board) == ["a", "b"]
    assert board.next_alarm() is None
