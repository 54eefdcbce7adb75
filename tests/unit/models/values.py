"""Values that cross between the processes of an attempt, with something in each field that can hold a class."""

from __future__ import annotations

from datetime import UTC, datetime

from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Ending,
    Event,
    EventDraft,
    Lease,
    LeaseState,
    Limits,
    Outcome,
    OutcomeKind,
    PluginRef,
    Reason,
    Status,
    TaskRecord,
    Usage,
    Verdict,
)
from autopilot.system.processes import identify

NOON = datetime(2026, 11, 22, 12, 0, 0, 5, tzinfo=UTC)
SPEC = AttemptSpec(
    root="/r/.autopilot",
    store_url="file:",
    task_id="a",
    token=3,
    task_text="---\r\nid: a\n---\n\x85\u2028",
    executor="local",
    executor_plugin=PluginRef(name="local", value="local_plugin:plugin"),
    workdir="/r",
    run_dir="/r/.autopilot/runs/a/3",
    limits=Limits(deadline_s=1.5),
    verify=("true", "false"),
    prompt_plugins=(PluginRef(name="p", value="p"),),
    verify_plugins=(PluginRef(name="v", value="v"),),
    store_plugin=PluginRef(name="s", value="s"),
    executor_options={"argv": ["x", {"deep": None}], "n": 1},
    environment_values={"A": "b"},
)
RECORD = TaskRecord(
    task_id="a", token=3, not_before=NOON, reason=Reason(code="c", message="m"), sessions={"local": "s"}
)
LEASE = Lease(
    record=RECORD,
    state=LeaseState.ENDED,
    executor="local",
    owner=identify(),
    guardian=identify(),
    claimed_at=NOON,
    beat=1.25,
    ttl_s=30.0,
    ending=Ending(
        status=Status.DONE, record=RECORD, result={"x": 1}, events=(EventDraft(event_type="task.completed"),)
    ),
    outbox=(Event(id="evt-a.3.1", event_type="task.claimed", timestamp="t"),),
)
RESULT = AttemptResult(
    task_id="a",
    token=3,
    executor="local",
    outcome=Outcome(
        kind=OutcomeKind.FAILED,
        reset_at=NOON,
        usage=Usage(input_tokens=1),
        evidence={"k": [1, {"deep": [None]}], "m": {"n": 2}},
    ),
    started_at=NOON,
    ended_at=NOON,
    duration_s=0.5,
    verified=False,
    verdicts=(Verdict(name="v", ok=True),),
    changed=("a", "b"),
)
