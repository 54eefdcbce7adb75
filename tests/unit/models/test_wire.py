"""Every value that crosses processes comes back as it went."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta, timezone

import pytest

from autopilot.models import (
    AttemptSpec,
    ExecutorInfo,
    Limits,
    Task,
    TaskRecord,
)
from autopilot.models.wire import dump, load, warm
from tests.unit.models.values import LEASE, NOON, RECORD, RESULT, SPEC


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
