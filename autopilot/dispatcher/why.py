"""Answers: why a task is where it is, how the executors are, what has been learnt."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.dispatcher.gates import Refusal, Running
from autopilot.dispatcher.spec import running_of
from autopilot.errors import AutopilotError, NotFoundError
from autopilot.models import Decision, Gate, InvalidTask, Lease, LeaseState, Reason, Status, Task
from autopilot.system.clock import format_instant
from autopilot.system.near import did_you_mean
from autopilot.system.told import as_ours

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["executor_rows", "explain", "no_executor", "reason_of", "running_now", "stats"]


def explain(control: Control, task_id: str) -> dict[str, Any]:
    """See ``Control.why``: every gate in order, then every candidate, for a task in any state."""
    task = control.store.get(task_id)
    if isinstance(task, InvalidTask):
        return _invalid(task)
    gates = [_status_gate(control, task)]
    candidates: list[dict[str, Any]] = []
    decision: Decision | None = None
    if task.status in (Status.PENDING, Status.BLOCKED):
        shown, decision = _judge(control, task)
        gates.extend(shown)
        candidates = [_candidate(one) for one in decision.candidates] if decision else []
    runnable = all(gate.ok for gate in gates)
    first = next((gate for gate in gates if not gate.ok), None)
    return {
        "task_id": task.id,
        "status": str(task.status),
        "runnable": runnable,
        "gates": [attrs.asdict(gate) for gate in gates],
        "candidates": candidates,
        "executor": decision.executor if decision and runnable else None,
        "reason": _summary(task, first, decision),
    }


def _invalid(broken: InvalidTask) -> dict[str, Any]:
    place = f" (line {broken.line}, column {broken.column})" if broken.line else ""
    gate = Gate(name="file", ok=False, detail=f"{broken.message}{place}", hint=broken.hint)
    return {
        "task_id": broken.id,
        "status": "invalid",
        "runnable": False,
        "gates": [attrs.asdict(gate)],
        "candidates": [],
        "executor": None,
        "reason": {"code": "task_invalid", "message": gate.detail, "hint": broken.hint},
    }


def _status_gate(control: Control, task: Task) -> Gate:
    if task.status is Status.PENDING:
        return Gate(name="status", ok=True, detail=f"pending{_last_time(task)}")
    if task.status is Status.BLOCKED:
        record = control.store.record(task.id)
        reason = record.reason or reason_of(task)
        hint = reason.hint if reason else f"autopilotctl task retry {task.id}"
        detail = f"blocked ({reason.code}): {reason.message}" if reason else "blocked by hand"
        return Gate(name="status", ok=False, detail=detail, hint=hint)
    if task.status in (Status.CLAIMED, Status.IN_PROGRESS):
        return Gate(
            name="status", ok=False, detail=_held(control, task), hint=f"autopilotctl task logs -f {task.id}"
        )
    return Gate(
        name="status",
        ok=False,
        detail=_ended(task),
        hint=f"to run it once more: autopilotctl task retry --force {task.id}",
    )


def _last_time(task: Task) -> str:
    result = task.result or {}
    if not result.get("outcome"):
        return ""
    said = f": {result['message']}" if result.get("message") else ""
    return f"; attempt {task.attempt} ended as {result['outcome']}{said}"


def _held(control: Control, task: Task) -> str:
    lease: Lease | None = control.store.lease(task.id)
    if lease is None:
        return f"{task.status}, but nobody holds it; the next tick sets it back to pending"
    verdict = control.lease_verdict(lease)
    since = format_instant(lease.claimed_at)
    life = {"alive": "alive", "dead": "dead: the next tick takes the task back"}.get(verdict, verdict)
    cancel = f"; cancel requested by {lease.cancel}" if lease.cancel else ""
    return (
        f"attempt {lease.token} is running on {lease.executor} since {since}; "
        f"its owner is process {lease.owner.pid}, {life}{cancel}"
    )


def _ended(task: Task) -> str:
    result = task.result or {}
    by = f" by {result['executor']}" if result.get("executor") else ""
    checked = {True: ", verified", False: ", not verified"}.get(result.get("verified"), "")  # type: ignore[arg-type]
    return f"{task.status} in attempt {task.attempt}{by}{checked}"


def _judge(control: Control, task: Task) -> tuple[list[Gate], Decision | None]:
    from autopilot.dispatcher.faults import hits_all
    from autopilot.dispatcher.tick import Dispatcher

    hold = control.hold()
    dispatcher = Dispatcher(control)
    dispatcher.look()
    gates = [_hold_gate(hold), _file_gate(control, task)]
    try:
        for name, refusal in dispatcher.gates(task, control.store.record(task.id)):
            gates.append(_gate(name, refusal))
        decision = control.decide(task)
    except Exception as fault:
        if hits_all(fault):
            raise
        return [*gates, _fault_gate(as_ours(fault))], None
    gates.append(_slots_gate(control))
    gates.append(
        Gate(
            name="routing",
            ok=decision.executor is not None,
            detail=decision.reason,
            hint=decision.hint,
        )
    )
    return gates, decision


def _hold_gate(hold: Any) -> Gate:
    if hold is None:
        return Gate(name="dispatching", ok=True, detail="not paused")
    return Gate(
        name="dispatching",
        ok=False,
        detail=str(hold),
        hint="autopilotctl dispatch resume",
    )


def _file_gate(control: Control, task: Task) -> Gate:
    try:
        control.store.check_file(task.id)
    except AutopilotError as fault:
        return Gate(name="file", ok=False, detail=fault.message, hint=fault.hint)
    return Gate(name="file", ok=True)


def _gate(name: str, refusal: Refusal | None) -> Gate:
    return refusal.shown() if refusal else Gate(name=name, ok=True)


def _fault_gate(fault: AutopilotError) -> Gate:
    return Gate(name="fault", ok=False, detail=fault.message, hint=fault.hint)


def running_now(control: Control) -> list[Running]:
    """See ``Control.running``."""
    found = []
    for lease in control.store.leases():
        if lease.state is LeaseState.ENDED:
            continue
        with contextlib.suppress(NotFoundError):
            task = control.store.get(lease.task_id)
            if isinstance(task, Task):
                found.append(running_of(control.root, task, lease.executor))
    return found


def no_executor(name: str, known: Collection[str]) -> NotFoundError:
    """The error for an executor that is not there, with close names."""
    hint = did_you_mean(name, known) or f"executors here: {', '.join(sorted(known)) or 'none'}"
    return NotFoundError(f"there is no executor {name}", hint=hint)


def _slots_gate(control: Control) -> Gate:
    running, most = len(control.running()), control.settings.dispatcher.max_active
    return Gate(
        name="slots",
        ok=running < most,
        detail=f"{running} of {most} attempts run",
        hint="" if running < most else "it runs when one ends; or raise dispatcher.max_active",
    )


def _candidate(one: Any) -> dict[str, Any]:
    told = attrs.asdict(one)
    told["wake_at"] = _instant(one.wake_at)
    return told


def _instant(seconds: float | None) -> str | None:
    return format_instant(datetime.fromtimestamp(seconds, UTC)) if seconds else None


def _summary(task: Task, first: Gate | None, decision: Decision | None) -> dict[str, str] | None:
    if first is None:
        return None
    code = first.name
    if first.name == "routing" and decision is not None:
        code = decision.reason_code
    elif first.name == "status":
        reason = reason_of(task)
        code = reason.code if reason else str(task.status)
    return {"code": code, "message": first.detail, "hint": first.hint}


def reason_of(task: Task | InvalidTask) -> Reason | None:
    """The reason that a task's file carries (parked, blocked) or that makes the file invalid."""
    if isinstance(task, InvalidTask):
        place = f" (line {task.line}, column {task.column})" if task.line else ""
        return Reason(code="task_invalid", message=task.message + place, hint=task.hint)
    told = (task.result or {}).get("reason")
    if not isinstance(told, dict) or task.status is Status.DONE:
        return None
    return Reason(
        code=str(told.get("code", "")), message=str(told.get("message", "")), hint=str(told.get("hint", ""))
    )


def executor_rows(control: Control, fresh: bool) -> list[dict[str, Any]]:
    """See ``Control.executor_rows``."""
    control.refresh_history()
    busy = Counter(lease.executor for lease in control.store.leases() if lease.state is not LeaseState.ENDED)
    now = control.clock.now().timestamp()
    rows = []
    for name, loaded in sorted(control.executors.items()):
        health = control.health(name, fresh=fresh)
        rest = control.routes.rest(name, loaded.info.pool, now)
        rows.append(
            {
                "name": name,
                "plugin": loaded.plugin.name,
                "capabilities": sorted(loaded.info.capabilities),
                "healthy": health.ok and rest.ok,
                "reason": health.reason if not health.ok or rest.ok else rest.reason,
                "running": busy[name],
                "slots": loaded.slots,
                "cooldown_until": _instant(rest.until) if not rest.ok else None,
                "hint": health.hint,
                "version": health.version,
                "dialect": health.dialect,
                "warning": health.warning,
                "tier": loaded.info.tier,
                "pool": loaded.info.pool,
            }
        )
    return rows


def stats(control: Control) -> dict[str, Any]:
    """See ``Control.stats``."""
    control.refresh_history()
    counts: Counter[str] = Counter()
    for task in control.store.tasks():
        counts["invalid" if isinstance(task, InvalidTask) else str(task.status)] += 1
    return {"tasks": dict(sorted(counts.items())), "executors": control.routes.figures()}
