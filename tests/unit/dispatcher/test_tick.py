"""The tick: order, gates, claims, ends, parking, people's edits."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from autopilot.config.settings import DispatcherSettings, RoutingSettings, TaskSettings
from autopilot.errors import BusyError, NotFoundError, StorageError, TransitionError
from autopilot.models import Health, Outcome, OutcomeKind, Verdict
from autopilot.store.contract import SlotLimits
from autopilot.system import locks
from autopilot.system.clock import format_instant
from autopilot.system.locks import FileLock
from autopilot.testing.stores import gone_owner
from tests.exhaustion import no_more_files, open_below


def started(report: Any) -> list[tuple[str, str, int]]:
    return [(one.task_id, one.executor, one.attempt) for one in report.started]


def test_a_task_goes_from_its_file_to_done(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    assert started(arena.tick()) == [("one", "coder", 1)]
    assert arena.status("one") == "in_progress"
    arena.end("one")
    (adopted,) = arena.tick().adopted
    assert (adopted.task_id, adopted.outcome, str(adopted.status)) == ("one", "succeeded", "done")
    assert arena.read("one").result["verified"] is False
    types = [event["event_type"] for event in arena.events()]
    assert types == ["task.created", "dispatch.decision", "task.claimed", "dispatch.result", "task.done"]


def test_priority_decides_who_gets_the_only_slot(arena: Any) -> None:
    arena.settings(dispatcher=DispatcherSettings(max_active=1))
    arena.executor("coder")
    arena.task("low", priority="low")
    arena.task("high", priority="high")
    arena.task("medium")
    order = []
    for _ in range(3):
        (one,) = arena.tick().started
        order.append(one.task_id)
        arena.end(one.task_id)
    assert order == ["high", "medium", "low"]


def test_slots_hold_over_two_dispatchers(arena: Any) -> None:
    arena.settings(dispatcher=DispatcherSettings(max_active=2))
    arena.executor("coder")
    for name in "abcd":
        arena.task(name)
    assert len(arena.tick().started) == 2
    arena.another_dispatcher()
    assert arena.tick().started == ()


def test_an_executors_own_slots_hold_and_others_go_on(arena: Any) -> None:
    arena.executor("narrow", slots=1)
    arena.task("a", executor="narrow")
    arena.task("b", executor="narrow")
    arena.executor("wide")
    arena.task("c", executor="wide")
    assert [one.task_id for one in arena.tick().started] == ["a", "c"]
    arena.end("a")
    assert started(arena.tick()) == [("b", "narrow", 1)]


def test_a_dependant_waits_and_then_runs(arena: Any) -> None:
    arena.executor("coder")
    arena.task("later", depends_on=["first"])
    assert arena.tick().started == ()
    why = arena.control.why("later")
    assert why["reason"]["code"] == "dependencies"
    assert "first does not exist" in why["reason"]["message"]
    arena.task("first")
    assert started(arena.tick()) == [("first", "coder", 1)]
    assert arena.tick().started == ()
    arena.end("first")
    assert started(arena.tick()) == [("later", "coder", 1)]


def test_a_cycle_is_blocked_with_its_path_and_the_rest_goes_on(arena: Any) -> None:
    arena.executor("coder")
    arena.task("a", depends_on=["b"])
    arena.task("b", depends_on=["a"])
    arena.task("free")
    assert started(arena.tick()) == [("free", "coder", 1)]
    assert (arena.status("a"), arena.reason("a")) == ("blocked", "dependency_cycle")
    assert "a → b → a" in arena.control.store.record("a").reason.message
    arena.control.store.edit("b", {"depends_on": None})
    for _ in range(3):
        arena.tick()
    assert arena.status("b") == "in_progress"
    arena.end("b")
    for _ in range(3):
        arena.tick()
    assert arena.status("a") == "in_progress"


def test_a_failed_dependency_blocks_and_its_mending_wakes(arena: Any) -> None:
    arena.executor("coder")
    arena.task("first", max_attempts=1)
    arena.task("then", depends_on=["first"])
    arena.tick()
    arena.end("first", "failed")
    arena.tick()
    arena.tick()
    assert (arena.status("first"), arena.reason("first")) == ("blocked", "attempts_exhausted")
    assert (arena.status("then"), arena.reason("then")) == ("blocked", "dependency_failed")
    arena.control.retry("first")
    for _ in range(2):
        arena.tick()
    arena.end("first")
    for _ in range(3):
        arena.tick()
    assert arena.status("then") == "in_progress"
    assert arena.read("then").result in (None, {})


def test_an_unknown_executor_blocks_and_its_installation_wakes(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", executor="codr")
    arena.tick()
    assert (arena.status("one"), arena.reason("one")) == ("blocked", "unknown_executor")
    assert "coder" in arena.control.store.record("one").reason.hint
    arena.executor("codr")
    arena.another_dispatcher()
    arena.tick()
    arena.tick()
    assert arena.status("one") == "in_progress"


def test_a_prose_task_without_a_capable_executor_stays_pending_and_says_so(arena: Any) -> None:
    arena.executor("sh", "shell")
    arena.task("prose")
    assert arena.tick().started == ()
    assert arena.status("prose") == "pending"
    why = arena.control.why("prose")
    assert why["reason"]["code"] == "no_capable_executor"
    assert "pip install" in why["reason"]["hint"]


def test_a_failure_goes_elsewhere_first(arena: Any) -> None:
    arena.executor("alpha")
    arena.executor("beta")
    arena.task("one")
    ((_, first, _),) = started(arena.tick())
    arena.end("one", "failed")
    ((_, second, attempt),) = started(arena.tick())
    assert {first, second} == {"alpha", "beta"}
    assert attempt == 2


def test_a_rate_limit_parks_until_the_reset_and_uses_no_attempt(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    reset = arena.clock.now() + timedelta(minutes=30)
    arena.end("one", "rate_limited", reset_at=reset)
    assert arena.tick().started == ()
    task = arena.read("one")
    assert (str(task.status), arena.reason("one")) == ("pending", "parked")
    assert task.not_before is not None
    assert arena.control.store.record("one").used == 0
    arena.clock.pass_by(1700)
    assert arena.tick().started == ()
    arena.clock.pass_by(200)
    assert started(arena.tick()) == [("one", "coder", 2)]


def test_a_rate_limit_fails_over_to_another_pool_but_not_within_it(arena: Any) -> None:
    arena.executor("one-of-acme", pool="acme")
    arena.executor("two-of-acme", pool="acme")
    arena.executor("other", pool="other")
    arena.task("task")
    ((_, first, _),) = started(arena.tick())
    while first == "other":
        pytest.skip("the tie went to the other pool")
    arena.end("task", "rate_limited", reset_at=arena.clock.now() + timedelta(hours=1))
    assert started(arena.tick()) == [("task", "other", 2)]


def test_an_auth_error_blocks_with_the_fix_where_nobody_else_can(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    arena.end("one", "auth_error", hint="coder login")
    arena.tick()
    assert (arena.status("one"), arena.reason("one")) == ("blocked", "auth_error")
    assert arena.read("one").result["reason"]["hint"] == "coder login"


def test_an_auth_error_fails_over_where_somebody_else_can(arena: Any) -> None:
    arena.executor("alpha")
    arena.executor("beta")
    arena.task("one")
    ((_, first, _),) = started(arena.tick())
    arena.end("one", "auth_error")
    ((_, second, _),) = started(arena.tick())
    assert first != second


def test_a_failed_verification_is_tried_again_with_what_it_said(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    lease = arena.control.store.lease("one")
    from autopilot.models import Outcome

    arena.report(
        lease,
        Outcome(kind=OutcomeKind.SUCCEEDED),
        verdicts=(Verdict(name="pytest", ok=False, detail="2 failed"),),
    )
    arena.tick()
    assert "2 failed" in arena.stage.started[-1].earlier_failure


def test_overlapping_touches_do_not_run_together(arena: Any) -> None:
    arena.executor("coder")
    arena.task("a", touches=["src/*.py"])
    arena.task("b", touches=["src/app.py"])
    arena.task("c", touches=["docs/**"])
    assert [one.task_id for one in arena.tick().started] == ["a", "c"]
    assert "a is running and touches src/*.py" in arena.control.why("b")["reason"]["message"]
    arena.end("a")
    assert [one.task_id for one in arena.tick().started] == ["b"]


def test_a_dry_run_changes_nothing(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.task("lost", depends_on=["lost"])
    before = {path.name: path.read_bytes() for path in sorted(arena.file("one").parent.iterdir())}
    assert started(arena.tick(dry_run=True)) == [("one", "coder", 1)]
    assert {path.name: path.read_bytes() for path in sorted(arena.file("one").parent.iterdir())} == before
    assert arena.stage.started == []
    assert started(arena.tick()) == [("one", "coder", 1)]


def test_a_pause_starts_nothing_and_a_resume_goes_on(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.control.pause("me")
    report = arena.tick()
    assert report.started == ()
    assert "paused by me" in report.notes[0]
    assert arena.control.why("one")["runnable"] is False
    arena.control.resume()
    assert started(arena.tick()) == [("one", "coder", 1)]


def test_a_runner_that_cannot_be_started_gives_the_task_back(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.stage.refuse = "no processes left"
    assert arena.tick().started == ()
    assert (arena.status("one"), arena.reason("one")) == ("pending", "not_started")
    arena.stage.refuse = ""
    arena.clock.pass_by(10)
    assert started(arena.tick()) == [("one", "coder", 2)]


def test_a_runner_that_ends_before_it_could_start_gives_the_task_back(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.stage.unable = True
    assert started(arena.tick()) == [("one", "coder", 1)]
    assert arena.tick().started == ()
    assert (arena.status("one"), arena.reason("one")) == ("pending", "not_started")
    arena.stage.unable = False
    arena.clock.pass_by(10)
    assert started(arena.tick()) == [("one", "coder", 2)]


def test_a_claim_that_could_not_be_given_back_is_given_back_later(arena: Any, monkeypatch: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.stage.refuse = "no process is left"

    def refuse(*_: object) -> None:
        raise StorageError("no descriptor is left")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(arena.control.store, "finish", refuse)
        with pytest.raises(StorageError):
            arena.tick()
    assert arena.status("one") == "claimed"
    arena.tick()
    assert (arena.status("one"), arena.reason("one")) == ("pending", "not_started")


@pytest.mark.parametrize("save", ["", "---\nid: one\ntitle: T\nstatus: pending\ncommand: another\n---\n"])
def test_what_runs_is_what_was_judged(arena: Any, monkeypatch: Any, save: str) -> None:
    """Saved after the claim, by a person or an importer: the gates have never seen that text."""
    arena.executor("sh", "shell")
    arena.task("one", command="judged")
    judged = arena.file("one").read_text()
    claim = arena.control.store.claim

    def claim_and_save(*arguments: Any, **named: Any) -> Any:
        lease = claim(*arguments, **named)
        arena.file("one").write_text(save)
        return lease

    monkeypatch.setattr(arena.control.store, "claim", claim_and_save)
    assert started(arena.tick()) == [("one", "sh", 1)]
    assert [spec.task_text for spec in arena.stage.started] == [judged]


def test_a_text_that_was_saved_before_the_claim_is_judged_anew(arena: Any, monkeypatch: Any) -> None:
    arena.executor("sh", "shell")
    arena.task("one", command="judged")
    decide = arena.control.decide_with

    def decide_and_save(*arguments: Any) -> Any:
        decision = decide(*arguments)
        arena.file("one").write_text(arena.file("one").read_text().replace("judged", "another"))
        return decision

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(arena.control, "decide_with", decide_and_save)
        assert arena.tick().started == ()
    assert arena.events("task.claimed") == []
    arena.clock.pass_by(2)
    assert started(arena.tick()) == [("one", "sh", 1)]
    assert "another" in arena.stage.started[0].task_text


def test_a_cancel_of_a_waiting_task_is_at_once_and_of_a_running_one_is_asked_for(arena: Any) -> None:
    arena.executor("coder")
    arena.task("waiting", depends_on=["running"])
    arena.task("running")
    arena.tick()
    assert arena.control.cancel("waiting") == "cancelled"
    assert arena.control.cancel("running") == "requested"
    assert arena.control.store.lease("running").cancel is not None
    arena.end("running", "cancelled")
    arena.tick()
    assert (arena.status("waiting"), arena.status("running")) == ("cancelled", "cancelled")
    with pytest.raises(TransitionError):
        arena.control.cancel("running")


def test_retry_needs_force_on_done_and_begins_the_counters_anew(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    with pytest.raises(BusyError):
        arena.control.retry("one")
    arena.end("one")
    arena.tick()
    with pytest.raises(TransitionError):
        arena.control.retry("one")
    arena.control.retry("one", force=True)
    assert started(arena.tick()) == [("one", "coder", 2)]


@pytest.mark.parametrize(("outcome", "status"), [("succeeded", "done"), ("failed", "blocked")])
def test_a_person_sets_done_back_to_pending_in_the_file(arena: Any, outcome: str, status: str) -> None:
    arena.executor("coder")
    arena.task("one", max_attempts=1)
    arena.tick()
    arena.end("one", outcome)
    arena.tick()
    assert arena.status("one") == status
    text = arena.file("one").read_text().replace(f"status: {status}", "status: pending")
    arena.file("one").write_text(text)
    assert started(arena.tick()) == [("one", "coder", 2)]


def test_a_person_cancels_in_the_file_of_a_running_task(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    text = arena.file("one").read_text()
    arena.file("one").write_text(text.replace("status: claimed", "status: cancelled"))
    arena.tick()
    assert arena.control.store.lease("one").cancel == "the task's file"
    (asked,) = arena.events("task.cancel_requested")
    assert asked["payload"] == {"attempt": 1, "by": "the task's file"}


def test_a_cancel_that_the_attempt_did_not_hear_stops_the_next_one(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", max_attempts=3)
    arena.tick()
    arena.control.cancel("one", "me")
    arena.end("one", "failed")
    arena.tick()
    assert arena.status("one") == "cancelled"
    (told,) = arena.events("dispatch.result")
    assert (told["payload"]["outcome"], told["payload"]["status"]) == ("failed", "cancelled")


def test_a_cancel_written_into_the_file_while_no_dispatcher_looked_stops_the_next_attempt(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", max_attempts=3)
    arena.tick()
    arena.file("one").write_text(arena.file("one").read_text().replace("status: claimed", "status: cancelled"))
    arena.end("one", "failed")
    arena.tick()
    assert arena.status("one") == "cancelled"
    assert [event["payload"]["by"] for event in arena.events("task.cancel_requested")] == ["the task's file"]


def test_who_holds_the_log_is_waited_for_and_named_once(arena: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a dispatcher that was stopped in the middle of an append."""
    monkeypatch.setattr(locks, "PATIENCE_S", 0.05)
    arena.executor("coder")
    arena.open()
    arena.task("one")
    with FileLock(f"{arena.root.state}/locks/events")():
        with pytest.raises(BusyError, match="locked by another process"):
            arena.task("two")
        (note,) = arena.tick().notes
        assert "locked by another process" in note
        arena.clock.pass_by(2)
        assert arena.tick().notes == ()
        assert arena.status("one") == "pending"
    arena.clock.pass_by(2)
    assert started(arena.tick()) == [("one", "coder", 1)]


def test_a_task_that_somebody_holds_keeps_no_other_waiting(arena: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arena.executor("coder")
    for name in ("one", "two"):
        arena.task(name)
    arena.tick()
    arena.end("one")
    arena.end("two")
    locks = arena.control.store._locks
    monkeypatch.setattr(locks, "task", locked_against("one", locks.task))
    report = arena.tick()
    assert [ended.task_id for ended in report.adopted] == ["two"]
    assert report.notes == ("one is locked",)
    monkeypatch.undo()
    assert [ended.task_id for ended in arena.tick().adopted] == ["one"]


@pytest.mark.parametrize("start", [True, False])
def test_who_starts_nothing_says_for_whom_it_waits_all_the_same(
    arena: Any, monkeypatch: pytest.MonkeyPatch, start: bool
) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    arena.end("one")
    arena.control.pause("me")
    locks = arena.control.store._locks
    monkeypatch.setattr(locks, "task", locked_against("one", locks.task))
    notes = arena.tick(start=start).notes
    assert notes[-1] == "one is locked"
    assert ["paused by me" in note for note in notes[:-1]] == [True] * start


def test_a_file_that_was_away_for_an_instant_is_tried_again(arena: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while an editor puts a new one in its place: when that is the same as before, nothing has changed."""
    arena.executor("coder")
    arena.task("one")
    with monkeypatch.context() as away:
        away.setattr(arena.control.store, "get", missing)
        assert started(arena.tick()) == []
    arena.clock.pass_by(2)
    assert started(arena.tick()) == [("one", "coder", 1)]


def missing(task_id: str) -> Any:
    raise NotFoundError(f"there is no task {task_id}")


def locked_against(name: str, real: Any) -> Any:
    def task(task_id: str) -> Any:
        if task_id == name:
            raise BusyError(f"{name} is locked")
        return real(task_id)

    return task


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_all_that_was_opened_is_given_back(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    arena.end("one")
    arena.tick()
    assert open_below(arena.root.folder)
    arena.control.close()
    assert open_below(arena.root.folder) == []


@pytest.mark.parametrize("spare", range(6))
def test_a_tick_that_ran_out_of_files_forgets_no_task(arena: Any, spare: int) -> None:
    arena.executor("coder")
    arena.tick()
    for name in ("one", "two"):
        arena.task(name)
    with no_more_files(spare), contextlib.suppress(StorageError, OSError):
        arena.tick()
    arena.clock.pass_by(2)
    arena.tick()
    assert {name: arena.status(name) for name in ("one", "two")} == {"one": "in_progress", "two": "in_progress"}


@pytest.mark.parametrize(
    ("word", "outcome", "status"),
    [
        ("cancelled", "needs_input", "blocked"),
        ("done", "needs_input", "blocked"),
        ("blocked", "succeeded", "done"),
    ],
)
def test_a_persons_word_on_a_running_task_is_recorded_once_and_written_over(
    arena: Any, word: str, outcome: str, status: str
) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    text = arena.file("one").read_text()
    arena.file("one").write_text(text.replace("status: claimed", f"status: {word}"))
    arena.tick()
    arena.tick()
    arena.another_dispatcher()
    arena.tick()
    told = {event["id"]: event["payload"] for event in arena.events("task.edited")}
    assert list(told.values()) == [{"keys": ["status"], "digest": arena.digest("one")}]
    arena.end("one", outcome)
    arena.tick()
    assert f"status: {status}" in arena.file("one").read_text()


def test_a_status_that_there_is_not_is_told_and_left_alone_also_by_the_end(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    theirs = arena.file("one").read_text().replace("status: claimed", "status: wip")
    arena.file("one").write_text(theirs)
    arena.tick()
    arena.tick()
    (told,) = arena.events("task.invalid")
    assert (told["payload"]["path"], told["payload"]["line"]) == ("one.md", 5)
    assert "`status` cannot be 'wip'" in told["payload"]["message"]
    arena.end("one")
    arena.tick()
    arena.tick()
    assert arena.file("one").read_text() == theirs
    assert len(arena.events("task.done")) == 1
    arena.file("one").write_text(theirs.replace("status: wip", "status: claimed"))
    arena.tick()
    assert arena.status("one") == "done", "what it came to waited for a file that can be read"


def test_an_ended_task_keeps_its_end_when_an_old_text_comes_back(arena: Any) -> None:
    """Saved by an editor, or checked out by git, from before the end: the work is not done once more."""
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    text = arena.file("one").read_text()
    arena.end("one")
    arena.tick()
    assert "status: claimed" in text
    ended = arena.read("one")
    assert ended.result["verified"] is False
    arena.file("one").write_text(text.replace("attempt: 1", "attempt: 0"))
    arena.tick()
    arena.tick()
    assert arena.status("one") == "done"
    assert (arena.read("one").attempt, arena.read("one").result) == (1, ended.result)
    assert [spec.token for spec in arena.stage.started] == [1]
    (told,) = arena.events("task.repaired")
    assert told["payload"] == {"attempt": 1, "was": "claimed", "why": "it has ended"}


def test_a_status_that_nobody_holds_is_repaired(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", status="in_progress", attempt=7)
    arena.tick()
    assert [event["event_type"] for event in arena.events("task.repaired")] == ["task.repaired"]
    arena.tick()
    assert arena.stage.started[-1].token == 8


def test_an_invalid_file_is_told_of_once_and_stops_nobody(arena: Any) -> None:
    arena.executor("coder")
    arena.file("broken").write_text("---\nid: broken\ntitle: [unclosed\n---\n")
    arena.task("fine")
    assert started(arena.tick()) == [("fine", "coder", 1)]
    arena.tick()
    arena.another_dispatcher()
    arena.tick()
    (event,) = arena.events("task.invalid")
    assert event["trace_id"] == "broken"
    assert event["payload"]["line"] > 0
    why = arena.control.why("broken")
    assert why["status"] == "invalid"


def test_a_class_that_was_stuck_follows_although_its_first_task_must_wait_for_something_else(arena: Any) -> None:
    arena.executor("coder")
    arena.healths["coder"] = Health(ok=False, reason="no login", hint="coder login")
    for name in ("first", "second", "third"):
        arena.task(name, touches=[f"{name}/**"])
    assert arena.tick().started == ()
    arena.healths["coder"] = Health(ok=True)
    arena.control.store.edit("first", {"touches": ["second/**", "third/**"], "priority": "low"})
    arena.clock.pass_by(60)
    begun = [one.task_id for _ in range(3) for one in arena.tick().started]
    assert begun == ["second", "third"]


def test_an_unhealthy_named_executor_is_waited_for(arena: Any) -> None:
    arena.executor("coder")
    arena.healths["coder"] = Health(ok=False, reason="no login", hint="coder login")
    arena.task("one", executor="coder")
    assert arena.tick().started == ()
    assert arena.status("one") == "pending"
    why = arena.control.why("one")
    assert "no login" in why["reason"]["message"]
    arena.healths["coder"] = Health(ok=True)
    arena.clock.pass_by(60)
    assert started(arena.tick()) == [("one", "coder", 1)]


@pytest.mark.parametrize(("host_fault", "rests"), [(True, False), (False, True)])
def test_a_machine_without_room_rests_no_executor(arena: Any, host_fault: bool, rests: bool) -> None:
    arena.executor("coder")
    for name in ("one", "two", "three"):
        arena.task(name)
    arena.tick()
    for name in ("one", "two", "three"):
        arena.end(name, "unavailable", host_fault=host_fault)
    arena.tick()
    arena.control.refresh_history()
    assert arena.control.memory.history.health.calm is not rests


def test_on_unavailable_fail_blocks(arena: Any) -> None:
    arena.executor("coder")
    arena.settings(routing=RoutingSettings(on_unavailable="fail"))
    arena.healths["coder"] = Health(ok=False, reason="no login", hint="coder login")
    arena.task("one", executor="coder")
    arena.tick()
    assert arena.status("one") == "blocked"


def test_worktrees_and_protected_paths_are_refused_with_a_reason(arena: Any) -> None:
    arena.executor("coder")
    arena.task("tree", workspace="worktree")
    arena.task("hooks", touches=[".git/hooks/**", "**", "*.md"], workspace="repo")
    arena.tick()
    assert (arena.status("tree"), arena.reason("tree")) == ("blocked", "workspace_unavailable")
    assert (arena.status("hooks"), arena.reason("hooks")) == ("blocked", "protected_path")
    arena.settings(tasks=TaskSettings(allow_protected_touches=True))
    arena.another_dispatcher()
    arena.tick()
    arena.tick()
    assert arena.status("hooks") == "in_progress"
    (spec,) = arena.stage.started
    assert (spec.protected, spec.allowed) == (TaskSettings().protected, (".git/hooks/**",))


@pytest.mark.parametrize(
    ("executor", "brings"), [(["sh", "shell"], {"command": "echo hi"}), (["agent"], {"verify": ["make"]})]
)
def test_a_task_from_elsewhere_runs_no_shell(arena: Any, executor: list[str], brings: dict[str, Any]) -> None:
    arena.executor(*executor)
    arena.task("import", origin="importer", **brings)
    arena.tick()
    assert (arena.status("import"), arena.reason("import")) == ("blocked", "origin_not_approved")
    arena.file("import").write_text(arena.file("import").read_text().replace("origin: importer\n", ""))
    started = [*arena.tick().started, *arena.tick().started]
    assert [one.task_id for one in started] == ["import"], "a person has approved it"


@pytest.mark.parametrize("repo", ["..", "/", "~", "inside/../.."])
def test_a_strangers_task_stays_inside_the_project(arena: Any, repo: str) -> None:
    arena.executor("agent")
    (Path(arena.root.project) / "inside").mkdir()
    arena.task("import", origin="importer", repo=repo)
    arena.task("fine", origin="importer", repo="inside")
    arena.task("mine", repo=repo)
    assert {one.task_id for one in arena.tick().started} == {"fine", "mine"}
    assert arena.reason("import") == "origin_not_approved"


def test_inside_is_a_matter_of_folders_and_not_of_letters(arena: Any) -> None:
    arena.executor("agent")
    beside = Path(arena.root.project + "-beside")
    beside.mkdir()
    (Path(arena.root.project) / "bridge").symlink_to(beside)
    arena.task("beside", origin="importer", repo=str(beside))
    arena.task("bridge", origin="importer", repo="bridge")
    assert arena.tick().started == ()
    assert arena.reason("beside") == arena.reason("bridge") == "origin_not_approved"


def test_a_strangers_script_is_no_script(arena: Any) -> None:
    arena.executor("shell", "shell")
    arena.task("import", origin="importer", executor="shell")
    assert arena.tick().started == ()


def test_a_repo_that_is_missing_is_waited_for(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", repo="elsewhere")
    assert arena.tick().started == ()
    assert "elsewhere does not exist" in arena.control.why("one")["reason"]["message"]


@pytest.mark.parametrize("call", ["realpath", "stat"])
def test_a_repo_that_may_not_be_entered_is_its_own_tasks_trouble(
    arena: Any, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    arena.executor("coder")
    (Path(arena.root.project) / "closed").mkdir()
    arena.task("one", repo="closed")
    arena.task("two")
    module = os.path if call == "realpath" else os
    really = getattr(module, call)

    def refuse(path: Any, *more: Any, **named: Any) -> Any:
        if "closed" in os.fspath(path).split(os.sep):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return really(path, *more, **named)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(module, call, refuse)
        report = arena.tick()
        reason = arena.control.why("one")["reason"]
    if call == "stat":
        assert (started(report), report.faults) == ([("two", "coder", 1)], ())
        assert reason["code"] == "workspace"
        assert "closed cannot be entered: Permission denied" in reason["message"]
        arena.end("two")
        arena.tick()
        arena.clock.pass_by(60)
        report = arena.tick()
    assert ("one", "coder", 1) in started(report)


def test_why_answers_in_every_state(arena: Any) -> None:
    arena.executor("coder")
    for name in ("pending", "running", "done", "blocked", "cancelled"):
        arena.task(name, max_attempts=1, **({"depends_on": ["nobody"]} if name == "pending" else {}))
    arena.tick()
    arena.end("done")
    arena.end("blocked", "needs_input")
    arena.control.cancel("cancelled")
    arena.end("cancelled", "cancelled")
    arena.tick()
    for name in ("pending", "running", "done", "blocked", "cancelled"):
        why = arena.control.why(name)
        assert why["task_id"] == name
        assert why["runnable"] is False
        assert why["reason"]["message"]
    arena.task("free")
    assert arena.control.why("free")["runnable"] is True


def test_why_tells_of_a_pending_task_how_its_last_attempt_ended(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    refused = Verdict(name="make test", ok=False, detail="2 failed")
    arena.report(arena.control.store.lease("one"), Outcome(kind=OutcomeKind.SUCCEEDED), verdicts=(refused,))
    arena.control.pause("test")
    arena.tick()
    assert arena.status("one") == "pending"
    status = arena.control.why("one")["gates"][0]
    assert status["ok"] is True
    assert status["detail"] == "pending; attempt 1 ended as failed: verification failed: make test: 2 failed"


def test_waiting_gives_the_outcomes(arena: Any) -> None:
    from autopilot.models import Outcome

    arena.executor("coder")
    arena.task("one")
    arena.stage.script["one"] = [Outcome(kind=OutcomeKind.SUCCEEDED)]
    arena.tick()
    (row,) = arena.dispatcher.wait_started()
    assert (row["task_id"], row["outcome"]) == ("one", "succeeded")


def test_run_ends_when_drained(arena: Any) -> None:
    from autopilot.models import Outcome

    arena.executor("coder")
    arena.task("one")
    arena.stage.script["one"] = [Outcome(kind=OutcomeKind.SUCCEEDED)]
    ticks = []

    def on_tick(report: Any) -> None:
        ticks.append(report)
        if len(ticks) == 2:
            arena.control.drain("test")

    arena.dispatcher.run(lambda: len(ticks) > 50, on_tick)
    assert len(ticks) < 50
    assert arena.status("one") == "done"


def test_a_task_whose_old_processes_live_is_not_taken_back_and_says_so(arena: Any, monkeypatch: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    lease = arena.control.store.claim(
        "one", executor="coder", owner=gone_owner(), limits=SlotLimits(total=9), ttl_s=30.0
    )
    arena.control.store.start(lease, owner=gone_owner())
    answers = ["not dead after SIGKILL: process 7"] * 3 + ["process 8"] + [None] * 9
    monkeypatch.setattr(arena.control, "clear", lambda lease: answers.pop(0))
    for _ in range(4):
        assert arena.tick().started == ()
        assert arena.status("one") == "in_progress"
    assert [event["payload"] for event in arena.events("reclaim.deferred")] == [
        {"attempt": 1, "why": "not dead after SIGKILL: process 7"},
        {"attempt": 1, "why": "process 8"},
    ]
    assert started(arena.tick()) == [("one", "coder", 2)]
    assert [event["payload"]["attempt"] for event in arena.events("task.reclaimed")] == [1]


@pytest.mark.parametrize("newer", [True, False])
def test_an_end_that_comes_too_late_is_refused_and_told(arena: Any, newer: bool) -> None:
    """A dispatcher that was stopped between its judgement and its commit."""
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    seen = arena.control.store.lease("one")
    slow = arena.dispatcher
    arena.end("one", "failed")
    quick = arena.another_dispatcher()
    arena.tick()
    if not newer:
        arena.end("one")
        arena.tick()
        seen = attrs.evolve(seen, record=attrs.evolve(seen.record, token=2))
    assert slow._reconciler.settle(seen) is None
    assert quick is not slow
    assert arena.status("one") == ("in_progress" if newer else "done")
    told = [event["payload"] for event in arena.events("lease.stale")]
    # The same end from a second hand is no news.
    assert told == ([{"attempt": 1, "current": 2, "what": "end"}] if newer else [])


@pytest.mark.parametrize("beats_on", [True, False])
def test_who_was_stopped_after_it_read_a_lease_reads_its_beat_again(
    arena: Any, monkeypatch: pytest.MonkeyPatch, beats_on: bool
) -> None:
    """Else every attempt of a dispatcher that was stopped at the wrong moment would be ended while it works."""

    keep_only = arena.control.beats.keep_only

    def sleep_after_reading(leases: list[Any], now: float) -> None:
        keep_only(leases, now)
        for lease in leases:
            arena.clock.pass_by(300.0)
            if beats_on:
                arena.control.store.renew(lease)

    monkeypatch.setattr(arena.control.beats, "keep_only", sleep_after_reading)
    monkeypatch.setattr(arena.control, "clear", lambda lease: None)
    arena.executor("coder")
    arena.task("one")
    for _ in range(3):
        arena.tick()
    ended = [event["payload"]["why"] for event in arena.events("task.reclaimed")]
    assert ended == ([] if beats_on else ["its runner gave no sign of life and was ended"])


def test_a_pause_of_ours_does_not_last_for_as_long_as_a_clock_was_wrong(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    arena.clock.wall += timedelta(days=3650)
    arena.end("one", "rate_limited", reset_at=arena.clock.now() + timedelta(minutes=30))
    assert arena.tick().started == ()
    arena.clock.wall -= timedelta(days=3650)
    assert started(arena.tick()) == [("one", "coder", 2)]


def test_a_person_may_put_a_task_off_for_ten_years(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", not_before=format_instant(arena.clock.now() + timedelta(days=3650)))
    assert arena.tick().started == ()
    assert "not before 2036" in arena.control.why("one")["reason"]["message"]


def test_not_before_is_respected(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", not_before=format_instant(arena.clock.now() + timedelta(hours=1)))
    assert arena.tick().started == ()
    arena.clock.pass_by(3700)
    assert started(arena.tick()) == [("one", "coder", 1)]


# ---------------------------------------------------------------------- what a file keeps from happening


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who writes a file")
def test_a_file_that_somebody_has_open_is_told_of_once_and_runs_when_it_is_closed(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.dispatcher.look()
    with open(arena.file("one"), "ab"):
        first = arena.tick()
        assert first.started == ()
        assert first.notes == ("the file of task one is open for writing elsewhere",)
        why = arena.control.why("one")
        assert (why["runnable"], why["reason"]["code"]) == (False, "file")
        assert "open for writing" in why["reason"]["message"]
        assert why["reason"]["hint"]
        for _ in range(3):
            arena.clock.pass_by(0.4)
            assert arena.tick().notes == ()
    arena.clock.pass_by(2)
    assert started(arena.tick()) == [("one", "coder", 1)]
    assert arena.control.why("one")["reason"]["code"] == "in_progress"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who writes a file")
def test_a_new_file_that_somebody_has_open_is_told_of(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    with open(arena.file("one"), "ab"):
        assert arena.tick().notes == ("the file of task one is open for writing elsewhere",)
        assert arena.tick().notes == ()
    assert started(arena.tick()) == [("one", "coder", 1)]


def test_an_end_that_waits_for_its_file_is_told_of_once(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one")
    arena.tick()
    whole = arena.file("one").read_text()
    arena.end("one", OutcomeKind.FAILED)
    arena.file("one").write_text("---\ntitle: a: b\n---\n")
    (note,) = arena.tick().notes
    assert "the status of one could not be written into its file yet" in note
    assert arena.tick().notes == ()
    arena.file("one").write_text(whole)
    arena.clock.pass_by(2)
    assert started(arena.tick()) == [("one", "coder", 2)]


def test_an_end_fits_into_a_file_that_has_all_it_may_have(arena: Any) -> None:
    arena.executor("coder")
    arena.task("one", max_attempts=2, list=["a"] * 980)
    for attempt in (1, 2):
        assert started(arena.tick()) == [("one", "coder", attempt)]
        arena.end("one", OutcomeKind.FAILED)
    arena.tick()
    assert arena.status("one") == "blocked"
    assert arena.reason("one") == "attempts_exhausted"
    assert "attempts_exhausted" in arena.file("one").read_text()
