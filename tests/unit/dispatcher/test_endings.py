"""The outcome table, applied: what becomes of a task after each kind of outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from autopilot.dispatcher.endings import Backoff, conclude, judge, spent_by
from autopilot.models import (
    POLICIES,
    AttemptResult,
    Decision,
    Ending,
    Next,
    Outcome,
    OutcomeKind,
    Status,
    Task,
    TaskRecord,
    Verdict,
)

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
ELSEWHERE = Decision(task_id="t", executor="other", reason_code="chosen", reason="other is next")
NOBODY = Decision(task_id="t", executor=None, reason_code="no_capable_executor", reason="nobody")


def result(kind: OutcomeKind, **more: object) -> AttemptResult:
    told = {key: more.pop(key) for key in ("verdicts", "violations", "verified") if key in more}
    return AttemptResult(
        task_id="t",
        token=4,
        executor="local",
        outcome=Outcome(kind=kind, message="what happened", **more),  # type: ignore[arg-type]
        started_at=NOW,
        ended_at=NOW,
        duration_s=1.5,
        **told,  # type: ignore[arg-type]
    )


def end(
    kind: OutcomeKind, record: TaskRecord | None = None, onward: Decision | None = NOBODY, **more: object
) -> Ending:
    return conclude(
        Task(id="t", title="T"),
        record or TaskRecord(task_id="t", token=4),
        result(kind, **more),
        now=NOW,
        backoff=Backoff(first_s=5, most_s=60),
        onward=onward,
    )


def test_every_kind_has_a_policy() -> None:
    assert set(POLICIES) == set(OutcomeKind)


@pytest.mark.parametrize("kind", [OutcomeKind.SUCCEEDED, OutcomeKind.NO_CHANGE_NEEDED])
def test_a_success_is_done_and_says_whether_it_was_verified(kind: OutcomeKind) -> None:
    ending = end(kind, verified=False)
    assert ending.status is Status.DONE
    assert ending.result is not None
    assert ending.result["verified"] is False
    assert [event.event_type for event in ending.events] == ["dispatch.result", "task.done"]


def test_a_failed_verification_makes_a_success_a_failure() -> None:
    ending = end(OutcomeKind.SUCCEEDED, verdicts=(Verdict(name="pytest", ok=False, detail="exit 1"),))
    assert ending.status is Status.PENDING
    assert ending.record.used == 1
    assert ending.record.failed_on == ("local",)
    assert "pytest: exit 1" in ending.record.earlier_failure
    assert ending.events[0].payload["judged"] is True
    assert ending.events[0].payload["success"] is False


@pytest.mark.parametrize("kind", OutcomeKind)
@pytest.mark.parametrize("host_fault", [False, True])
def test_what_is_the_machines_fault_is_told_to_who_learns(kind: OutcomeKind, host_fault: bool) -> None:
    told = end(kind, host_fault=host_fault).events[0].payload["host_fault"]
    assert told is (host_fault or kind is OutcomeKind.LOST)


def test_a_verification_that_failed_is_no_fault_of_the_machine() -> None:
    ending = end(OutcomeKind.SUCCEEDED, verdicts=(Verdict(name="pytest", ok=False),), host_fault=True)
    assert ending.events[0].payload["host_fault"] is False


def test_a_changed_protected_path_blocks() -> None:
    ending = end(OutcomeKind.SUCCEEDED, violations=(".git/hooks/pre-commit",))
    assert ending.status is Status.BLOCKED
    assert ending.record.reason is not None
    assert ending.record.reason.code == "protected"


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if POLICIES[kind].then is Next.RETRY])
def test_judged_failures_are_tried_again_until_the_attempts_are_used_up(kind: OutcomeKind) -> None:
    again = end(kind)
    assert (again.status, again.record.used, again.record.not_before) == (Status.PENDING, 1, None)
    last = end(kind, TaskRecord(task_id="t", token=6, used=2))
    assert last.status is Status.BLOCKED
    assert last.record.reason is not None
    assert last.record.reason.code == "attempts_exhausted"


def test_the_hint_leads_to_the_log_that_has_the_reason() -> None:
    spent = TaskRecord(task_id="t", token=6, used=2)
    refused = end(OutcomeKind.SUCCEEDED, spent, verdicts=(Verdict(name="pytest", ok=False),))
    assert refused.record.reason is not None
    assert "autopilotctl task logs t --verify shows why" in refused.record.reason.hint
    failed = end(OutcomeKind.FAILED, spent)
    assert failed.record.reason is not None
    assert "autopilotctl task logs t shows why" in failed.record.reason.hint


@pytest.mark.parametrize("kind", [OutcomeKind.NEEDS_INPUT, OutcomeKind.DENIED, OutcomeKind.BUDGET_EXCEEDED])
def test_questions_block_and_use_an_attempt_without_charging_quality(kind: OutcomeKind) -> None:
    ending = end(kind)
    assert ending.status is Status.BLOCKED
    assert ending.record.used == 1
    assert ending.events[0].payload["judged"] is False


@pytest.mark.parametrize("kind", [OutcomeKind.RATE_LIMITED, OutcomeKind.QUOTA_EXHAUSTED])
def test_limits_park_until_the_reset_and_use_nothing(kind: OutcomeKind) -> None:
    reset = NOW + timedelta(hours=1)
    ending = end(kind, reset_at=reset)
    assert (ending.status, ending.record.used, ending.record.not_before) == (Status.PENDING, 0, reset)
    assert ending.record.reason is not None
    assert ending.record.reason.code == "parked"
    assert ending.events[1].event_type == "task.parked"


def test_a_limit_fails_over_at_once_when_somebody_else_can() -> None:
    ending = end(OutcomeKind.RATE_LIMITED, onward=ELSEWHERE, reset_at=NOW + timedelta(hours=1))
    assert (ending.status, ending.record.used, ending.record.not_before) == (Status.PENDING, 0, None)


def test_a_limit_without_a_reset_is_parked_until_the_router_says() -> None:
    resting = attrs.evolve(NOBODY, reason_code="resting", wake_at=NOW.timestamp() + 60)
    ending = end(OutcomeKind.RATE_LIMITED, onward=resting)
    assert ending.record.not_before == NOW + timedelta(seconds=60)


def test_unavailable_backs_off_and_costs_nothing_three_times() -> None:
    record = TaskRecord(task_id="t", token=4)
    pauses = []
    for _ in range(3):
        ending = end(OutcomeKind.UNAVAILABLE, record)
        record = ending.record
        assert record.not_before is not None
        pauses.append((record.not_before - NOW).total_seconds())
    assert pauses == [5, 10, 20]
    assert record.used == 0
    assert end(OutcomeKind.UNAVAILABLE, record).record.used == 1


@pytest.mark.parametrize("kind", [OutcomeKind.AUTH_ERROR, OutcomeKind.CONFIG_ERROR, OutcomeKind.EXECUTOR_BROKEN])
def test_what_needs_mending_fails_over_or_blocks_with_the_fix(kind: OutcomeKind) -> None:
    over = end(kind, onward=ELSEWHERE)
    assert (over.status, over.record.used) == (Status.PENDING, 0)
    stuck = end(kind, hint="claude login")
    assert stuck.status is Status.BLOCKED
    assert stuck.record.reason is not None
    assert stuck.record.reason.hint == "claude login"


def test_what_needs_mending_waits_when_the_others_are_only_busy() -> None:
    busy = attrs.evolve(NOBODY, reason_code="no_slot")
    assert end(OutcomeKind.AUTH_ERROR, onward=busy).status is Status.PENDING


def test_three_lost_runners_in_a_row_make_a_poison_task() -> None:
    record = TaskRecord(task_id="t", token=4)
    for expected in (Status.PENDING, Status.PENDING, Status.BLOCKED):
        ending = end(OutcomeKind.LOST, record)
        assert ending.status is expected
        record = ending.record
    assert record.used == 0
    assert record.reason is not None
    assert record.reason.code == "poison"
    assert end(OutcomeKind.FAILED, attrs.evolve(record, lost=2)).record.lost == 0


def test_a_cancel_is_a_cancel() -> None:
    ending = end(OutcomeKind.CANCELLED)
    assert ending.status is Status.CANCELLED
    assert ending.events[1].event_type == "task.cancelled"


def test_costs_add_up_and_sessions_are_kept() -> None:
    first = spent_by(
        TaskRecord(task_id="t", spent_usd=0.5),
        result(OutcomeKind.FAILED),
        judge(result(OutcomeKind.FAILED, cost_usd=0.25, session_id="s-1")),
    )
    assert first.spent_usd == 0.75
    assert first.sessions == {"local": "s-1"}
