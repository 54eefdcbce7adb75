"""The host's own logic, without a process around it: what it says for what the executor's code does."""

from __future__ import annotations

import json
import sys
import types

import pytest

from autopilot import Executor, Outcome, OutcomeKind, Progress, hookimpl
from autopilot.errors import ConfigError
from autopilot.models import AttemptSpec, PluginRef
from autopilot.runner.host import host

TEXT = "---\nid: t\ntitle: Mend it\n---\nDo what is needed.\n"


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self):
        return self.time


class Stage:
    """One host, whose executor is a function of the test."""

    def __init__(self, run_dir, monkeypatch) -> None:
        self.said: list[dict] = []
        self.clock = Clock()
        self.run_dir = run_dir
        self.monkeypatch = monkeypatch
        self.options = None

    def play(self, function, **changes) -> Outcome:
        stage = self

        class Acting(Executor):
            name = "acting"

            def run(self, context):
                return function(context)

        def autopilot_executors(config):
            stage.options = config
            return [Acting()]

        module = types.ModuleType("acting_plugin")
        module.autopilot_executors = hookimpl(autopilot_executors)
        self.monkeypatch.setitem(sys.modules, "acting_plugin", module)
        spec = AttemptSpec(
            **{
                "root": "/r",
                "store_url": "file:",
                "task_id": "t",
                "token": 2,
                "task_text": TEXT,
                "executor": "acting",
                "executor_plugin": PluginRef(name="acting", value="acting_plugin"),
                "workdir": "/w",
                "run_dir": str(self.run_dir),
                **changes,
            }
        )
        assert host(spec, {"HOME": "/h"}, lambda line: self.said.append(json.loads(line)), self.clock) == 0
        return self.said[-1]["outcome"]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    return Stage(tmp_path, monkeypatch)


def fine(context):
    return Outcome(kind=OutcomeKind.SUCCEEDED)


def test_the_context_is_complete(stage: Stage):
    seen = []
    changes = {"executor_options": {"a": 1}, "earlier_failure": "it broke", "session_id": "s-9"}
    stage.play(lambda context: seen.append(context) or fine(context), **changes)
    (context,) = seen
    assert (context.task.title, context.number, context.workdir) == ("Mend it", 2, "/w")
    assert context.environment == {"HOME": "/h"}
    assert (context.options, context.session_id) == ({"a": 1}, "s-9")
    assert "it broke" in context.prompt
    assert (stage.run_dir / "prompt.md").read_text() == context.prompt
    assert stage.options == {"acting": {"a": 1}}


def test_an_error_of_ours_keeps_its_hint(stage: Stage):
    def misconfigured(context):
        raise ConfigError("no model is set", hint="set executors.acting.model")

    outcome = stage.play(misconfigured)
    assert (outcome["kind"], outcome["message"]) == ("executor_broken", "no model is set")
    assert outcome["hint"] == "set executors.acting.model"


def test_a_broken_task_text_is_an_outcome_too(stage: Stage):
    assert stage.play(fine, task_text="no frontmatter")["kind"] == "executor_broken"


def test_a_prompt_that_cannot_be_kept_costs_nothing(stage: Stage, capsys):
    assert stage.play(fine, run_dir="/proc/nowhere")["kind"] == "succeeded"
    assert "prompt.md" in capsys.readouterr().err


def test_signs_of_life_are_thinned_out_but_no_figure_is_lost(stage: Stage):
    def busy(context):
        for number in range(100):
            stage.clock.time += 0.01
            context.report(Progress(turns=number, message=None if number else "first"))
        context.report(Progress(cost_usd=0.5))
        return fine(context)

    stage.play(busy)
    told = [said["progress"] for said in stage.said[:-1]]
    assert 5 <= len(told) <= 8
    assert told[0]["message"] == "first"
    assert (told[-1]["turns"], told[-1]["cost_usd"]) == (99, 0.5)


def test_the_last_word_is_passed_on_at_once(stage: Stage):
    def done(context):
        context.report(Progress(message="working"))
        context.report(Progress(final=True))
        assert [said["progress"]["final"] for said in stage.said] == [False, True]
        return fine(context)

    assert stage.play(done)["kind"] == "succeeded"


def test_a_report_that_is_no_progress_breaks_the_executor(stage: Stage):
    assert stage.play(lambda context: context.report("hello"))["kind"] == "executor_broken"


def test_nothing_is_no_outcome(stage: Stage):
    assert "gave a NoneType" in stage.play(lambda context: None)["message"]


def test_an_outcome_that_cannot_be_said_is_broken(stage: Stage):
    outcome = stage.play(lambda context: Outcome(kind=OutcomeKind.FAILED, reset_at="tomorrow"))
    assert outcome["kind"] == "executor_broken"


def test_a_plugin_with_no_executors_at_all(stage: Stage, monkeypatch):
    module = types.ModuleType("empty_plugin")
    module.autopilot_executors = hookimpl(lambda config: None)
    monkeypatch.setitem(sys.modules, "empty_plugin", module)
    outcome = stage.play(fine, executor_plugin=PluginRef(name="empty", value="empty_plugin"))
    assert "(it has: none)" in outcome["message"]


def test_a_prompt_plugin_without_the_hook_is_broken(stage: Stage):
    outcome = stage.play(fine, prompt_plugins=(PluginRef(name="json", value="json"),))
    assert "plugin json has no autopilot_prompt" in outcome["message"]
