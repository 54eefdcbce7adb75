"""The host's own logic, without a process around it: what it says for what the executor's code does."""

from __future__ import annotations

import json
import sys
import types

import pytest

from autopilot import Executor, Outcome, OutcomeKind, Progress, Usage, hookimpl
from autopilot.errors import ConfigError
from autopilot.models import AttemptSpec, Limits, PluginRef
from autopilot.models.wire import dump
from autopilot.runner.host import host
from autopilot.system.redact import Redactor

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
        self.redactor = Redactor({"TOKEN": "correct-horse-battery"})
        self.run_dir = run_dir
        self.monkeypatch = monkeypatch
        self.options = None

    def hear(self, line: bytes) -> None:
        self.said.append(json.loads(line))

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
        assert host(spec, {"HOME": "/h"}, self.hear, self.clock, self.redactor) == 0
        return self.said[-1]["outcome"]


@pytest.fixture
def stage(tmp_path, monkeypatch):
    return Stage(tmp_path, monkeypatch)


def fine(context):
    return Outcome(kind=OutcomeKind.SUCCEEDED)


def broken(message, hint="see host.log in the run folder"):
    """What is said of an executor that broke."""
    return dump(Outcome(kind=OutcomeKind.EXECUTOR_BROKEN, message=message, hint=hint))


def test_the_context_is_complete(stage: Stage):
    seen = []
    changes = {"executor_options": {"a": 1}, "earlier_failure": "it broke", "session_id": "s-9"}
    stage.play(lambda context: seen.append(context) or fine(context), limits=Limits(deadline_s=5), **changes)
    (context,) = seen
    assert (context.task.title, context.number, context.workdir) == ("Mend it", 2, "/w")
    assert (context.run_dir, context.limits) == (str(stage.run_dir), Limits(deadline_s=5))
    assert context.environment == {"HOME": "/h"}
    assert context.redactor is stage.redactor
    assert (context.options, context.session_id) == ({"a": 1}, "s-9")
    assert context.earlier_failure == "it broke"
    assert "it broke" in context.prompt
    assert (stage.run_dir / "prompt.md").read_text() == context.prompt
    assert stage.options == {"acting": {"a": 1}}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ConfigError("no model is set", hint="set it"), broken("no model is set", "set it")),
        (ConfigError("no model is set"), broken("no model is set")),
        (ValueError("no luck"), broken("ValueError: no luck")),
    ],
    ids=repr,
)
def test_an_error_of_ours_keeps_its_hint(stage: Stage, fault, said):
    def fail(context):
        raise fault

    assert stage.play(fail) == said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT + "\udcff", "byte 0xff is not UTF-8"),
        (TEXT.replace("id: t", "id: u"), "the id is `u`, but the file is named 't.md'"),
    ],
)
def test_a_broken_task_text_is_an_outcome_too(stage: Stage, text, message):
    outcome = stage.play(fine, task_text=text)
    assert (outcome["kind"], outcome["message"]) == ("executor_broken", message)


def test_a_prompt_that_cannot_be_kept_costs_nothing(stage: Stage, capsys):
    assert stage.play(fine, run_dir="/proc/nowhere")["kind"] == "succeeded"
    assert capsys.readouterr().err.startswith("prompt.md: ")


def test_the_prompt_is_kept_for_this_user_and_follows_no_link(stage: Stage, capsys):
    kept = stage.run_dir / "prompt.md"
    seen = []
    kept.write_text("x" * 100_000)
    stage.play(lambda context: seen.append(context.prompt) or fine(context))
    assert kept.read_text() == seen[0]
    kept.unlink()
    stage.play(fine)
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.unlink()
    kept.symlink_to("elsewhere")
    assert stage.play(fine)["kind"] == "succeeded"
    assert not (stage.run_dir / "elsewhere").exists()


def prompting(monkeypatch, name, function) -> PluginRef:
    """A plugin with this prompt hook."""
    module = types.ModuleType(name)
    module.autopilot_prompt = hookimpl(function)
    monkeypatch.setitem(sys.modules, name, module)
    return PluginRef(name=name, value=name)


def test_a_prompt_plugin_is_told_about_the_attempt(stage: Stage, monkeypatch):
    told = []

    def autopilot_prompt(task, attempt):
        told.append((task.title, attempt))
        return "\udcff do it"

    ref = prompting(monkeypatch, "telling", autopilot_prompt)
    assert stage.play(fine, prompt_plugins=(ref,), earlier_failure="it broke")["kind"] == "succeeded"
    attempt = {"number": 2, "executor": "acting", "earlier_failure": "it broke", "workdir": "/w"}
    assert told == [("Mend it", attempt)]
    assert (stage.run_dir / "prompt.md").read_bytes() == b"\xff do it"


def test_prompt_plugins_are_asked_until_one_answers(stage: Stage, monkeypatch):
    seen = []
    refs = [
        prompting(monkeypatch, f"p{n}", function)
        for n, function in enumerate((lambda: None, lambda: "second", lambda: "third"))
    ]
    stage.play(lambda context: seen.append(context.prompt) or fine(context), prompt_plugins=tuple(refs))
    assert seen == ["second"]


def test_a_prompt_that_is_no_text_is_broken(stage: Stage, monkeypatch):
    ref = prompting(monkeypatch, "wrong", lambda: 7)
    said = stage.play(fine, prompt_plugins=(ref,))
    assert said == broken("plugin wrong gave a int for a prompt, not a text")


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


def test_every_figure_is_passed_on(stage: Stage):
    full = Progress(
        message="m", usage=Usage(input_tokens=1), cost_usd=0.5, turns=2, session_id="s", model="n", final=True
    )
    stage.play(lambda context: context.report(full) or fine(context))
    assert stage.said[0] == {"progress": dump(full)}


def test_a_report_that_is_no_progress_breaks_the_executor(stage: Stage):
    outcome = stage.play(lambda context: context.report("hello"))
    assert outcome == broken("AttributeError: 'str' object has no attribute 'message'")


@pytest.mark.parametrize(
    ("outcome", "kind"), [(None, "NoneType"), ("fine", "str"), (Outcome(kind="fine"), "Outcome")], ids=str
)
def test_what_is_no_outcome_is_broken(stage: Stage, outcome, kind):
    said = stage.play(lambda context: outcome)
    assert said == broken(f"executor acting gave a {kind}, not an Outcome", "tell its author")


def test_an_outcome_that_cannot_be_said_is_broken(stage: Stage):
    outcome = stage.play(lambda context: Outcome(kind=OutcomeKind.FAILED, reset_at="tomorrow"))
    assert outcome["kind"] == "executor_broken"


@pytest.mark.parametrize(
    ("found", "distribution", "names", "again"),
    [
        (None, "", "none", "empty"),
        ([], "an-empty-plugin", "none", "an-empty-plugin"),
        ([types.SimpleNamespace(name="a"), "b"], "", "a, b", "empty"),
    ],
    ids=str,
)
def test_a_plugin_without_the_executor_is_broken(stage: Stage, monkeypatch, found, distribution, names, again):
    module = types.ModuleType("empty_plugin")
    module.autopilot_executors = hookimpl(lambda config: found)
    monkeypatch.setitem(sys.modules, "empty_plugin", module)
    ref = PluginRef(name="empty", value="empty_plugin", distribution=distribution)
    said = stage.play(fine, executor_plugin=ref)
    assert said == broken(f"plugin empty supplies no executor acting here (it has: {names})", f"reinstall {again}")


def test_a_prompt_plugin_without_the_hook_is_broken(stage: Stage):
    said = stage.play(fine, prompt_plugins=(PluginRef(name="json", value="json"),))
    assert said == broken("plugin json has no autopilot_prompt", "was it changed since it was found?")
