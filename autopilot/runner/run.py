"""The life of a runner: one attempt, one process, from the start gate to the report."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from datetime import datetime

import attrs

from autopilot.errors import AutopilotError, LeaseLostError
from autopilot.models import AttemptResult, AttemptSpec, EventDraft, Lease, Outcome, OutcomeKind, Verdict
from autopilot.runner.checks import verify
from autopilot.runner.children import fork_child
from autopilot.runner.evidence import Evidence
from autopilot.runner.folders import make_run_folder, mark_of
from autopilot.runner.host import host
from autopilot.runner.judge import judge
from autopilot.runner.keeper import Keeper
from autopilot.runner.logs import LogPipe
from autopilot.runner.notes import note
from autopilot.runner.origin import Origin
from autopilot.runner.talk import Talk
from autopilot.runner.wakeup import Wakeup
from autopilot.runner.watch import Child, Watcher
from autopilot.runner.work import Work
from autopilot.store.contract import Store
from autopilot.system.clock import Clock
from autopilot.system.durable import replace_file
from autopilot.system.environment import child_environment
from autopilot.system.failpoints import failpoint
from autopilot.system.marks import MARK, wear
from autopilot.system.processes import identify
from autopilot.system.tree import kill_tree

__all__ = ["LOST", "NOT_STARTED", "REFUSED", "run_attempt"]

NOT_STARTED = 96
"""The exit code of a runner that could not make its record durable, and started nothing."""

REFUSED = 97
"""... whose start was refused by the store: the task is somebody else's; it started nothing."""

LOST = 98
"""... that lost its lease while it worked: it ended everything and reports nothing."""

_LONGEST_LINE = 500
_SUCCESS = (OutcomeKind.SUCCEEDED, OutcomeKind.NO_CHANGE_NEEDED)


def run_attempt(
    spec: AttemptSpec,
    lease: Lease,
    *,
    store: Store,
    origin: Origin,
    clock: Clock,
    log: Callable[[EventDraft], object],
) -> int:
    """Do one claimed attempt in this process, which must be single-threaded, a child subreaper and a session
    leader; its exit code.

    Nothing is started before the store has made this process the lease's owner, durably.

    Args:
        log: puts facts into the event log that belong to no commit.
    """
    wakeup = Wakeup(heed_term=True)
    try:
        _prepare(spec)
        failpoint("runner.gate")
        started = store.start(lease, owner=identify(), guardian=origin.guardian, events=[_started_event(spec)])
    except LeaseLostError as refusal:
        log(_refused_event(spec, refusal))
        return REFUSED
    except (AutopilotError, OSError) as fault:
        _log(spec, f"not started: {fault}")
        return NOT_STARTED
    failpoint("runner.started")
    wear(mark_of(spec.run_dir))
    keeper = Keeper(store, started, clock=clock, beat_s=spec.beat_s)
    return _do(_work(spec, keeper, wakeup, origin, clock), log)


def _prepare(spec: AttemptSpec) -> None:
    make_run_folder(spec.run_dir)
    text = spec.task_text.encode("utf-8", "surrogateescape")
    replace_file(os.path.join(spec.run_dir, "task.md"), text, point="runner.task", sync=False)


def _started_event(spec: AttemptSpec) -> EventDraft:
    return EventDraft(
        event_type="attempt.started",
        payload={
            "attempt": spec.token,
            "executor": spec.executor,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "workdir": spec.workdir,
        },
    )


def _refused_event(spec: AttemptSpec, refusal: LeaseLostError) -> EventDraft:
    reason = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
    payload = {"attempt": spec.token, "executor": spec.executor, "reason": reason}
    return EventDraft(event_type="attempt.refused", payload=payload)


def _do(work: Work, log: Callable[[EventDraft], object]) -> int:
    what = "beat"
    try:
        result = _attempt(work)
        what = "result"
        failpoint("runner.report")
        work.keeper.report(result)
    except LeaseLostError as fault:
        kill_tree(grace_s=0, clock=work.clock)
        _log(work.spec, f"stopped: {fault}")
        with contextlib.suppress(AutopilotError, OSError):
            log(work.keeper.stale(what))
        return LOST
    failpoint("runner.reported")
    return 0


def _work(spec: AttemptSpec, keeper: Keeper, wakeup: Wakeup, origin: Origin, clock: Clock) -> Work:
    return Work(
        spec=spec,
        keeper=keeper,
        watcher=Watcher(keeper, wakeup, clock),
        wakeup=wakeup,
        clock=clock,
        redactor=origin.redactor,
        environment=child_environment(
            origin.environ,
            names=spec.environment,
            values={
                **spec.environment_values,
                MARK: mark_of(spec.run_dir),
                "AUTOPILOT_TASK_ID": spec.task_id,
                "AUTOPILOT_ATTEMPT": str(spec.token),
            },
        ),
    )


def _attempt(work: Work) -> AttemptResult:
    began, began_at = work.clock.monotonic(), work.clock.now()
    evidence = Evidence(work.spec, tick=work.keeper.beat)
    outcome, killed = _execute(work)
    changed, violations = evidence.gather()
    verified: bool | None = None
    verdicts: tuple[Verdict, ...] = ()
    if outcome.kind in _SUCCESS and not violations:
        verified, verdicts = verify(work, _for_plugins(work.spec, outcome, changed))
        outcome = _unless_interrupted(work, outcome)
    result = _result(work, outcome, verdicts, began_at, work.clock.monotonic() - began)
    return attrs.evolve(result, verified=verified, changed=changed, violations=violations, killed=killed)


def _execute(work: Work) -> tuple[Outcome, int]:
    """The executor's part, up to the death of its last process."""
    spec = work.spec
    try:
        forked = fork_child(lambda say: host(spec, work.environment, say, work.clock, work.redactor), work.setting)
    except OSError as fault:
        message = f"no process could be started for the executor: {os.strerror(fault.errno or 0)}"
        hint = "check `ulimit -u` and memory"
        return Outcome(kind=OutcomeKind.UNAVAILABLE, message=message, hint=hint, host_fault=True), 0
    failpoint("runner.forked")
    talk, sink = Talk(forked.talk, work.clock), work.sink("host.log")
    child = _host_child(spec, forked.pid, talk, LogPipe(forked.log, sink))
    end = work.watcher.watch(child)
    killed = work.watcher.clear(child, spec.limits.grace_s)
    forked.close()
    outcome = judge(
        end,
        talk,
        exit_code=child.exit_code,
        last_line=_last_line(sink.close()),
        limits=spec.limits,
        cancelled_by=work.keeper.cancelled_by,
    )
    return outcome, killed


def _host_child(spec: AttemptSpec, pid: int, talk: Talk, log: LogPipe) -> Child:
    limits = spec.limits
    return Child(
        pid=pid,
        streams=(talk, log),
        deadline_s=limits.deadline_s,
        idle_s=limits.idle_s,
        # The host itself ends a program that lingers; it gets a little longer to do so.
        linger_s=limits.linger_s + limits.grace_s,
        heard=lambda: talk.heard,
        settled=lambda: talk.settled,
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip()[:_LONGEST_LINE] if lines else ""


def _for_plugins(spec: AttemptSpec, outcome: Outcome, changed: tuple[str, ...]) -> dict[str, object]:
    return {
        "number": spec.token,
        "executor": spec.executor,
        "workdir": spec.workdir,
        "run_dir": spec.run_dir,
        "changed": changed,
        "outcome": str(outcome.kind),
    }


def _unless_interrupted(work: Work, outcome: Outcome) -> Outcome:
    """A cancel that comes while the work is verified still is a cancel."""
    if work.keeper.cancelled_by is not None:
        message = f"cancelled by {work.keeper.cancelled_by} while it was verified"
        return attrs.evolve(outcome, kind=OutcomeKind.CANCELLED, message=message)
    if work.wakeup.terminated:
        message = "its runner was told to end (SIGTERM) while it was verified"
        return attrs.evolve(outcome, kind=OutcomeKind.LOST, message=message)
    return outcome


def _result(
    work: Work, outcome: Outcome, verdicts: tuple[Verdict, ...], began_at: datetime, duration_s: float
) -> AttemptResult:
    redactor = work.redactor
    return AttemptResult(
        task_id=work.spec.task_id,
        token=work.spec.token,
        executor=work.spec.executor,
        outcome=attrs.evolve(
            outcome,
            message=redactor.text(outcome.message),
            hint=redactor.text(outcome.hint),
            evidence=redactor.values(outcome.evidence),
            session_id=redactor.values(outcome.session_id),
            model=redactor.values(outcome.model),
        ),
        verdicts=tuple(attrs.evolve(verdict, detail=redactor.text(verdict.detail)) for verdict in verdicts),
        started_at=began_at,
        ended_at=work.clock.now(),
        duration_s=round(duration_s, 3),
    )


def _log(spec: AttemptSpec, line: str) -> None:
    note(f"{spec.task_id}.{spec.token}: {line}")
