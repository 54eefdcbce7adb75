"""Folding the event log: what counts, what does not, once each, and with or without a checkpoint."""

from __future__ import annotations

import json
import os

import pytest

from autopilot.models import Event
from autopilot.routing import History, Parameters
from autopilot.routing.history import REMEMBERED_ATTEMPTS
from autopilot.system.clock import parse_instant
from tests.unit.routing.world import NOW, make_result


def decision_event(task: str, attempt: int, executor: str, at: str) -> dict:
    return {
        "id": f"evt-{task}.{attempt}.1",
        "event_type": "dispatch.decision",
        "timestamp": at,
        "trace_id": task,
        "payload": {"attempt": attempt, "executor": executor, "candidates": []},
    }


def runs(history: History, executor: str = "anvil") -> float:
    return sum(counts.runs for name, _, counts in history.quality.cells() if name == executor)


def lines(events) -> list[bytes]:
    return [json.dumps(event).encode() for event in events]


def test_a_judged_outcome_teaches_quality():
    history = History()
    assert history.fold([make_result(success=False, outcome="failed", cost_usd=0.3, duration_s=90)]) == 1
    ((name, kind, counts),) = history.quality.cells()
    assert (name, kind) == ("anvil", "bugfix")
    assert (counts.runs, counts.successes, counts.cost_usd) == pytest.approx((1, 0, 0.3))
    assert counts.seconds == pytest.approx(90)


def test_events_may_be_objects():
    raw = make_result()
    event = Event(
        id=raw["id"],
        event_type="dispatch.result",
        timestamp=raw["timestamp"],
        trace_id="t1",
        payload=raw["payload"],
    )
    one, other = History(), History()
    one.fold([event])
    other.fold([raw])
    assert one.quality.dump() == other.quality.dump()


@pytest.mark.parametrize(
    "payload",
    [
        {"outcome": "rate_limited", "judged": False, "success": False},
        {"outcome": "unavailable", "judged": False, "success": False},
        {"outcome": "lost", "judged": False, "success": False},
        {"outcome": "cancelled", "judged": False, "success": False},
        {"outcome": "timed_out", "judged": True, "success": False, "host_fault": True},
        {"outcome": "failed", "judged": False, "success": False},
        {"outcome": "unavailable", "judged": True, "success": False},
    ],
)
def test_what_says_nothing_of_the_work_never_touches_quality(payload):
    history = History()
    history.fold([make_result(**payload)])
    assert list(history.quality.cells()) == []


def test_a_fault_of_the_host_is_held_against_nobody():
    history = History()
    for index in range(5):
        history.fold([make_result(f"t{index}", outcome="unavailable", judged=False, host_fault=True)])
    assert history.health.calm


def test_a_success_that_was_not_verified_is_a_failure():
    history = History()
    history.fold([make_result(outcome="succeeded", success=False)])
    ((*_, counts),) = history.quality.cells()
    assert (counts.runs, counts.successes) == pytest.approx((1, 0))


def test_a_kind_that_is_a_failure_is_never_counted_as_a_success():
    history = History()
    history.fold([make_result(outcome="timed_out", success=True)])
    ((*_, counts),) = history.quality.cells()
    assert counts.successes == 0


def test_rate_limits_rest_the_pool_until_their_reset():
    history = History()
    history.fold([make_result(outcome="rate_limited", judged=False, pool="acct", reset_at="2026-01-01T03:00:00Z")])
    assert history.health.state("other", "acct", NOW).until == NOW + 3 * 3600


def test_time_enters_through_the_events_alone():
    history = History()
    events = [
        make_result("t1", n, at="2030-05-05T05:05:05.000000Z", outcome="unavailable", judged=False)
        for n in (1, 2, 3)
    ]
    history.fold(events)
    instant = parse_instant("2030-05-05T05:05:05Z").timestamp()
    assert history.health.state("anvil", "anvil", instant).until == instant + 60


def test_an_attempt_counts_once_however_often_it_is_in_the_log():
    history = History()
    event = make_result()
    assert history.fold([event, event]) == 1
    assert history.fold([event | {"id": "evt-t1.1.9"}]) == 0
    assert history.fold([make_result(attempt=2)]) == 1
    assert history.fold([event]) == 0
    assert history.folded == 2


def test_outcomes_of_one_number_of_two_tasks_are_two():
    history = History()
    assert history.fold([make_result("t1"), make_result("t2")]) == 2


def test_results_without_a_number_are_told_apart_by_their_ids():
    history = History()
    bare = [make_result(f"t{n}", attempt=None) | {"id": f"evt-{n}"} for n in (1, 1, 2)]
    assert history.fold(bare) == 2


def test_the_memory_for_repeats_is_bounded():
    history = History()
    history.fold(make_result(f"t{n}") for n in range(REMEMBERED_ATTEMPTS + 50))
    assert len(history._seen) == REMEMBERED_ATTEMPTS
    assert history.fold([make_result(f"t{REMEMBERED_ATTEMPTS + 49}")]) == 0


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event_type": "dispatch.result"},
        {"event_type": None, "payload": {}},
        {"event_type": ["dispatch.result"]},
        make_result() | {"timestamp": "yesterday"},
        make_result() | {"timestamp": 12},
        make_result() | {"payload": "text"},
        make_result(outcome="blown_up"),
        make_result(outcome=["failed"]),
        make_result(outcome=None),
        make_result(executor=None),
        {"event_type": "executor.reset", "timestamp": "2026-01-01T00:00:00Z", "payload": {}},
        {"event_type": "task.reclaimed", "timestamp": "2026-01-01T00:00:00Z", "payload": None},
    ],
)
def test_an_event_of_an_unknown_shape_is_passed_over(event):
    history = History()
    assert history.fold([event, make_result("t2")]) == 1


@pytest.mark.parametrize("cost", [None, "0.3", True, [1], float("nan"), -2])
def test_a_cost_that_is_no_amount_is_unknown(cost):
    history = History()
    history.fold([make_result(cost_usd=cost)])
    ((*_, counts),) = history.quality.cells()
    assert counts.cost_runs == 0


def test_raw_lines_teach_the_same_as_parsed_events():
    events = [make_result(f"t{n}", outcome="unavailable", judged=False) for n in range(3)]
    events += [decision_event("t9", 1, "anvil", "2026-01-01T00:02:00Z")]
    events += [
        make_result("t8"),
        {"event_type": "task.done", "timestamp": "x", "payload": {"a": "dispatch.result"}},
    ]
    parsed, raw = History(), History()
    parsed.fold(events[:4])
    raw.fold_lines(lines(events[:4]))
    assert raw.health.dump() == parsed.health.dump()
    assert raw.health.state("anvil", "anvil", NOW + 120).probing == "executor"
    parsed.fold(events[4:])
    raw.fold_lines([*lines(events[4:]), b"", b"{", b'"event_type":"dispatch.result"', b'["event_type",1]'])
    assert raw.quality.dump() == parsed.quality.dump()


def test_a_decision_marks_the_trial_and_the_result_clears_it():
    history = History()
    history.fold(make_result(f"t{n}", outcome="unavailable", judged=False) for n in range(3))
    decision = decision_event("t9", 1, "anvil", "2026-01-01T00:02:00Z")
    history.fold([decision])
    assert history.health.state("anvil", "", NOW + 120).probing == "executor"
    history.fold([make_result("t9", 1, at="2026-01-01T00:03:00Z")])
    assert history.health.calm
    history.fold([decision])
    assert history.health.state("anvil", "", NOW + 180).probing == ""


def test_a_repeated_decision_does_not_mark_a_trial_that_is_over():
    history = History()
    history.fold(make_result(f"t{n}", outcome="unavailable", judged=False) for n in range(3))
    decision = decision_event("t9", 1, "anvil", "2026-01-01T00:02:00Z")
    history.fold([decision, make_result("t9", 1, outcome="needs_input", judged=False), decision])
    assert history.health.state("anvil", "", NOW + 180).probing == ""


def test_a_reclaimed_attempt_gives_the_trial_back():
    history = History()
    history.fold(make_result(f"t{n}", outcome="unavailable", judged=False) for n in range(3))
    history.fold([decision_event("t9", 1, "anvil", "2026-01-01T00:02:00Z")])
    reclaimed = {
        "id": "evt-t9.1.2",
        "event_type": "task.reclaimed",
        "timestamp": "2026-01-01T00:04:00Z",
        "payload": {"attempt": 1, "executor": "anvil"},
    }
    history.fold([reclaimed])
    assert history.health.state("anvil", "", NOW + 240).probing == ""


def test_a_reset_in_the_log_ends_the_rest_once():
    history = History()
    limited = make_result("t1", outcome="rate_limited", judged=False, reset_at="2026-01-02T00:00:00Z")
    reset = {
        "id": "evt-r1",
        "event_type": "executor.reset",
        "timestamp": "2026-01-01T00:01:00Z",
        "payload": {"executor": "anvil", "pool": "anvil"},
    }
    history.fold([limited, reset])
    assert history.health.calm
    again = make_result("t2", outcome="rate_limited", judged=False, reset_at="2026-01-02T00:00:00Z")
    history.fold([again, reset])
    assert not history.health.calm


# ------------------------------------------------------------------ checkpoints


def checkpoint(tmp_path, history: History) -> str:
    path = os.path.join(tmp_path, "history.json")
    history.save(path)
    return path


def test_a_checkpoint_continues_where_the_fold_stood(tmp_path):
    history = History()
    history.fold([make_result("t1"), make_result("t2", executor="brush", outcome="unavailable")], cursor={"at": 7})
    again = History()
    assert again.load(checkpoint(tmp_path, history))
    assert (again.cursor, again.folded) == ({"at": 7}, 2)
    assert again.quality.dump() == history.quality.dump()
    assert again.health.dump() == history.health.dump()
    assert again.fold([make_result("t1")]) == 0


def test_the_cursor_stays_where_it_was_unless_told():
    history = History()
    history.fold([], cursor=3)
    history.fold([make_result()])
    assert history.cursor == 3


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '"x"', "{}", '{"schema": 99}', "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_damaged_checkpoint_is_not_used(tmp_path, text):
    path = tmp_path / "history.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    history = History()
    history.fold([make_result()])
    assert not history.load(str(path))
    assert (history.cursor, history.folded, list(history.quality.cells())) == (None, 0, [])


def test_a_checkpoint_with_a_part_missing_is_not_used(tmp_path):
    history = History()
    history.fold([make_result()], cursor=1)
    path = checkpoint(tmp_path, history)
    with open(path) as file:
        whole = json.load(file)
    for key in whole:
        with open(path, "w") as file:
            json.dump({k: v for k, v in whole.items() if k != key}, file)
        assert not History().load(path), key


def test_no_checkpoint_is_no_error(tmp_path):
    assert not History().load(str(tmp_path / "none.json"))


def test_a_checkpoint_of_other_parameters_is_not_used(tmp_path):
    history = History()
    history.fold([make_result()], cursor=1)
    path = checkpoint(tmp_path, history)
    assert not History(Parameters(executor_discount=0.9)).load(path)
    assert History().load(path)
