"""What becomes of a task when an attempt ends: the outcome table, applied. Pure functions of their arguments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.models import (
    MAX_LOST,
    MAX_UNAVAILABLE,
    POLICIES,
    AttemptResult,
    Decision,
    Ending,
    EventDraft,
    Lease,
    Next,
    Outcome,
    OutcomeKind,
    OutcomePolicy,
    Reason,
    Status,
    Task,
    TaskRecord,
    Verdict,
)
from autopilot.system.clock import format_instant

if TYPE_CHECKING:
    from autopilot.config.settings import DispatcherSettings

__all__ = [
    "Backoff",
    "backoff_of",
    "conclude",
    "judge",
    "needs_onward",
    "not_started",
    "reclaimed",
    "result_event",
    "spent_by",
    "summary_of",
]

_ONLY_BUSY = frozenset({"no_slot", "refused"})
"""Answers of the router that mean: somebody else can, but not at this moment."""

_LONGEST_MESSAGE = 1000
"""Characters of a message that go into the Markdown and the log; all of it is in the attempt's run folder."""

_CLAIMS_SUCCESS = frozenset({OutcomeKind.SUCCEEDED, OutcomeKind.NO_CHANGE_NEEDED})


@attrs.frozen(kw_only=True)
class Backoff:
    """The pause before an attempt that follows an outage. Seconds; doubles with each in a row."""

    first_s: float = 5.0
    most_s: float = 900.0

    def pause(self, in_a_row: int) -> timedelta:
        """The pause after the ``in_a_row``-th outage (from 1)."""
        return timedelta(seconds=min(self.most_s, self.first_s * 2 ** max(0, min(in_a_row, 60) - 1)))


def backoff_of(settings: DispatcherSettings) -> Backoff:
    """The pauses of the config."""
    return Backoff(first_s=settings.backoff_s, most_s=settings.backoff_max_s)


def not_started(lease: Lease, why: str, *, now: datetime, backoff: Backoff) -> Ending:
    """How a claim ends that no runner will start: the task is tried again after a pause."""
    hint = "nothing to do: it is tried again; `autopilotctl doctor` looks at this machine"
    reason = Reason(code="not_started", message=why, hint=hint)
    kept = attrs.evolve(lease.record, not_before=now + backoff.pause(1), reason=reason)
    return Ending(status=Status.PENDING, record=kept, events=(reclaimed(lease, why),))


def reclaimed(lease: Lease, why: str) -> EventDraft:
    """The event of a task that is taken back."""
    payload = {"attempt": lease.token, "executor": lease.executor, "state": str(lease.state), "why": why}
    return EventDraft(event_type="task.reclaimed", payload=payload)


def judge(result: AttemptResult) -> Outcome:
    """The outcome that counts: a claimed success that failed its verification is a failure."""
    told = result.outcome
    outcome = attrs.evolve(told, message=told.message[:_LONGEST_MESSAGE], hint=told.hint[:_LONGEST_MESSAGE])
    if outcome.kind not in _CLAIMS_SUCCESS:
        return outcome
    if failed := _failed(result):
        said = "; ".join(f"{verdict.name}: {verdict.detail or 'failed'}" for verdict in failed)
        message = f"verification failed: {said}"[:_LONGEST_MESSAGE]
        return attrs.evolve(outcome, kind=OutcomeKind.FAILED, message=message, host_fault=False)
    return outcome


def _failed(result: AttemptResult) -> list[Verdict]:
    return [verdict for verdict in result.verdicts if not verdict.ok]


_FAIL_OVER = frozenset({Next.FAIL_OVER_OR_PARK, Next.FAIL_OVER_OR_BACK_OFF, Next.FAIL_OVER_OR_BLOCK})


def needs_onward(result: AttemptResult) -> bool:
    """Whether what becomes of the task depends on who else could take it."""
    return POLICIES[judge(result).kind].then in _FAIL_OVER


def spent_by(record: TaskRecord, result: AttemptResult, judged: Outcome) -> TaskRecord:
    """The record after this attempt: counters, cost, session and the executors that failed the task."""
    policy = POLICIES[judged.kind]
    unavailable = record.unavailable + 1 if judged.kind is OutcomeKind.UNAVAILABLE else 0
    uses = policy.uses_attempt or unavailable > MAX_UNAVAILABLE
    failed = policy.judged and not policy.success
    sessions = dict(record.sessions)
    if judged.session_id:
        sessions[result.executor] = judged.session_id
    return attrs.evolve(
        record,
        used=record.used + uses,
        lost=record.lost + 1 if judged.kind is OutcomeKind.LOST else 0,
        unavailable=unavailable,
        failed_on=_with(record.failed_on, result.executor) if failed else record.failed_on,
        sessions=sessions,
        earlier_failure=judged.message if failed else record.earlier_failure,
        spent_usd=record.spent_usd + (judged.cost_usd or 0.0),
        not_before=None,
        reason=None,
    )


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)


def conclude(
    task: Task,
    record: TaskRecord,
    result: AttemptResult,
    *,
    now: datetime,
    backoff: Backoff,
    onward: Decision | None = None,
    pool: str = "",
    cancelled: bool = False,
) -> Ending:
    """How the task leaves ``in_progress``.

    Args:
        record: the lease's record, as before this attempt's outcome.
        onward: what the router says of the next attempt, this outcome already counted; used for fail-over.
        pool: the executor's quota pool, for the event.
        cancelled: somebody asked for a cancel and the attempt ended of itself: there is no next one.
    """
    judged = judge(result)
    spent = spent_by(record, result, judged)
    status, reason, not_before = _next(task, spent, result, judged, now, backoff, onward)
    if cancelled and status is Status.PENDING:
        status, reason, not_before = Status.CANCELLED, None, None
    spent = attrs.evolve(spent, reason=reason, not_before=not_before)
    summary = summary_of(result, judged, reason, status)
    return Ending(
        status=status,
        record=spent,
        result=summary,
        events=(result_event(task, result, judged, status, pool), _status_event(status, spent, result, summary)),
    )


_Step = tuple[Status, Reason | None, datetime | None]


def _next(
    task: Task,
    spent: TaskRecord,
    result: AttemptResult,
    judged: Outcome,
    now: datetime,
    backoff: Backoff,
    onward: Decision | None,
) -> _Step:
    policy = POLICIES[judged.kind]
    if policy.then is Next.CANCEL:
        return Status.CANCELLED, None, None
    if policy.then is Next.VERIFY:
        return _finished(result)
    if policy.then is Next.BLOCK:
        return _blocked(
            judged.kind, judged.message or f"the executor ended with {judged.kind}", _answer_hint(task, judged)
        )
    if policy.then is Next.AGAIN:
        return _after_lost(task, spent)
    if policy.uses_attempt or spent.used >= task.max_attempts:
        return _after_failure(task, spent, judged, unverified=bool(_failed(result)))
    if policy.then is Next.FAIL_OVER_OR_BACK_OFF:
        return _after_outage(spent, judged, now, backoff, onward)
    return _fail_over(task, judged, policy, onward)


def _finished(result: AttemptResult) -> _Step:
    if result.violations:
        paths = ", ".join(result.violations[:5])
        hint = "look at the change; allow such paths with tasks.allow_protected_touches and `touches:`, then retry"
        return _blocked("protected", f"protected paths were changed: {paths}", hint)
    return Status.DONE, None, None


def _after_lost(task: Task, spent: TaskRecord) -> _Step:
    if spent.lost >= MAX_LOST:
        return _blocked(
            "poison",
            f"its runner died {spent.lost} times in a row",
            f"see what kills it (memory?), then: autopilotctl task retry {task.id}",
        )
    return Status.PENDING, None, None


def _after_failure(task: Task, spent: TaskRecord, judged: Outcome, *, unverified: bool) -> _Step:
    if spent.used < task.max_attempts:
        return Status.PENDING, None, None
    message = f"{spent.used} of {task.max_attempts} attempts used up; the last: {judged.message or judged.kind}"
    logs = f"autopilotctl task logs {task.id}" + (" --verify" if unverified else "")
    hint = f"{logs} shows why; mend it, then: autopilotctl task retry {task.id}"
    return _blocked("attempts_exhausted", message, hint)


def _after_outage(
    spent: TaskRecord, judged: Outcome, now: datetime, backoff: Backoff, onward: Decision | None
) -> _Step:
    if onward is not None and onward.executor:
        return Status.PENDING, None, None
    until = now + backoff.pause(spent.unavailable)
    if onward is not None and onward.wake_at:
        until = max(until, datetime.fromtimestamp(onward.wake_at, now.tzinfo))
    reason = Reason(
        code="unavailable",
        message=f"{judged.message or 'the executor was unavailable'}; next try {format_instant(until)}",
        hint="nothing to do; `autopilotctl executors list` shows what rests until when",
    )
    return Status.PENDING, reason, until


def _fail_over(task: Task, judged: Outcome, policy: OutcomePolicy, onward: Decision | None) -> _Step:
    if onward is not None and onward.executor:
        return Status.PENDING, None, None
    if onward is not None and onward.reason_code in _ONLY_BUSY:
        return Status.PENDING, None, None
    if policy.then is Next.FAIL_OVER_OR_BLOCK:
        hint = judged.hint or f"mend it, then: autopilotctl task retry {task.id}"
        return _blocked(judged.kind, judged.message or f"the executor ended with {judged.kind}", hint)
    until = judged.reset_at
    if onward is not None and onward.wake_at and judged.reset_at:
        until = datetime.fromtimestamp(onward.wake_at, judged.reset_at.tzinfo)
    elif onward is not None and onward.wake_at:
        until = datetime.fromtimestamp(onward.wake_at, UTC)
    when = f"; parked until {format_instant(until)}" if until else "; parked"
    hint = "nothing to do; it goes on by itself. Another executor: autopilotctl task edit ID --set executor=NAME"
    return (
        Status.PENDING,
        Reason(code="parked", message=(judged.message or str(judged.kind)) + when, hint=hint),
        until,
    )


def _blocked(code: str, message: str, hint: str) -> _Step:
    return Status.BLOCKED, Reason(code=str(code), message=message, hint=hint), None


def _answer_hint(task: Task, judged: Outcome) -> str:
    return judged.hint or f"answer it in the task's text, then: autopilotctl task retry {task.id}"


def summary_of(result: AttemptResult, judged: Outcome, reason: Reason | None, status: Status) -> Mapping[str, Any]:
    """What is written under ``result:`` in the Markdown."""
    summary: dict[str, Any] = {"executor": result.executor, "outcome": str(judged.kind)}
    if status is Status.DONE:
        summary["verified"] = bool(result.verified)
    if judged.message and status is not Status.DONE:
        summary["message"] = judged.message[:500]
    if judged.cost_usd is not None:
        summary["cost"] = round(judged.cost_usd, 6)
    if judged.usage is not None:
        summary["tokens"] = {"input": judged.usage.input_tokens, "output": judged.usage.output_tokens}
    if reason is not None:
        summary["reason"] = attrs.asdict(reason)
    return summary


def result_event(task: Task, result: AttemptResult, judged: Outcome, status: Status, pool: str) -> EventDraft:
    """The ``dispatch.result`` that routing learns from."""
    policy = POLICIES[judged.kind]
    return EventDraft(
        event_type="dispatch.result",
        payload={
            "attempt": result.token,
            "executor": result.executor,
            "pool": pool or result.executor,
            "task_type": task.task_type,
            "outcome": str(judged.kind),
            "judged": policy.judged,
            "success": policy.success,
            "verified": result.verified,
            "cost_usd": judged.cost_usd,
            "duration_s": round(result.duration_s, 3),
            "reset_at": format_instant(judged.reset_at) if judged.reset_at else None,
            "message": judged.message[:2000],
            "usage": attrs.asdict(judged.usage) if judged.usage else None,
            "status": str(status),
            "host_fault": judged.host_fault or judged.kind is OutcomeKind.LOST,
        },
    )


def _status_event(
    status: Status, spent: TaskRecord, result: AttemptResult, summary: Mapping[str, Any]
) -> EventDraft:
    payload: dict[str, Any] = {"attempt": result.token}
    if spent.reason is not None:
        payload["reason"] = attrs.asdict(spent.reason)
    if status is Status.DONE:
        return EventDraft(event_type="task.done", payload={**payload, "result": dict(summary)})
    if status is Status.BLOCKED:
        return EventDraft(event_type="task.blocked", payload=payload)
    if status is Status.CANCELLED:
        return EventDraft(event_type="task.cancelled", payload=payload)
    if spent.not_before is not None:
        return EventDraft(event_type="task.parked", payload={**payload, "until": format_instant(spent.not_before)})
    return EventDraft(event_type="task.requeued", payload={**payload, "why": str(summary["outcome"])})
