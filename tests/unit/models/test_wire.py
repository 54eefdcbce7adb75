"""Every value that crosses processes comes back as it went."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import pytest

from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Ending,
    Event,
    EventDraft,
    ExecutorInfo,
    Lease,
    LeaseState,
    Limits,
    Outcome,
    OutcomeKind,
    PluginRef,
    Reason,
    Status,
    Task,
    TaskRecord,
    Usage,
    Verdict,
)
from autopilot.models.wire import dump, load, warm
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
    outcome=Outcome(kind=OutcomeKind.FAILED, reset_at=NOON, usage=Usage(input_tokens=1), evidence={"k": [1]}),
    started_at=NOON,
    ended_at=NOON,
    duration_s=0.5,
    verified=False,
    verdicts=(Verdict(name="v", ok=True),),
    changed=("a", "b"),
)


@pytest.mark.parametrize("value", [SPEC, LEASE, RESULT, Limits(), RECORD], ids=lambda v: type(v).__name__)
def test_a_value_survives_json(value):
    assert load(type(value), json.loads(json.dumps(dump(value)))) == value


def test_sets_become_sorted_lists_and_come_back():
    info = ExecutorInfo(name="x", capabilities=frozenset({"b", "a"}))
    assert dump(info)["capabilities"] == ["a", "b"]
    assert load(ExecutorInfo, dump(info)) == info


@pytest.mark.parametrize("command", [None, "echo hi", ("echo", "hi")])
def test_a_command_stays_text_or_tuple(command):
    task = Task(id="a", title="t", command=command)
    assert load(Task, json.loads(json.dumps(dump(task)))) == task


def test_instants_are_utc_text():
    local = NOON.astimezone(timezone(timedelta(hours=2)))
    assert dump(TaskRecord(task_id="a", not_before=local))["not_before"] == "2026-11-22T12:00:00.000005Z"


def test_unknown_keys_are_ignored_and_missing_ones_take_the_default():
    assert load(Limits, {"grace_s": 1.0, "from_the_future": 1}) == Limits(grace_s=1.0)


@pytest.mark.parametrize(
    "data", [None, [], "x", {}, {"task_id": "a", "not_before": "yesterday"}, {"task_id": "a", "projected": "odd"}]
)
def test_data_that_does_not_fit_is_a_value_error_that_names_the_class(data):
    with pytest.raises(ValueError, match="TaskRecord"):
        load(TaskRecord, data)


def test_cattrs_loads_only_when_it_is_used():
    code = "import sys, autopilot.models.wire as w; assert 'cattrs' not in sys.modules; w.warm(); print('ok')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "ok", done.stderr


def test_warming_leaves_the_results_alone():
    warm(SPEC, LEASE, RESULT)
    assert load(AttemptSpec, dump(SPEC)) == SPEC
