"""Verify plugins are asked one by one, and only a verdict is a verdict."""

from __future__ import annotations

import sys
import types

import pytest

from autopilot.hookspecs import hookimpl
from autopilot.models import PluginRef, Task, Verdict
from autopilot.verification.hooks import verdicts_of, without_verdict

TASK = Task(id="t", title="t")


@pytest.fixture
def plugin(monkeypatch):
    """Makes a plugin module out of a function."""

    def make(name, function):
        module = types.ModuleType(name)
        module.autopilot_verify = hookimpl(function)
        monkeypatch.setitem(sys.modules, name, module)
        return PluginRef(name=name, value=name)

    return make


def verdicts(*refs):
    return [verdict for _, verdict in verdicts_of(refs, TASK, {"number": 4}) if verdict is not None]


def test_a_plugin_gets_what_it_asks_for(plugin):
    ref = plugin("p", lambda task, attempt: Verdict(name=task.id, ok=True, detail=str(attempt["number"])))
    assert verdicts(ref) == [Verdict(name="t", ok=True, detail="4")]


def test_each_is_named_before_it_is_asked(plugin):
    refs = (plugin("a", lambda: None), plugin("b", lambda: Verdict(name="b", ok=True)))
    assert [(name, verdict is not None) for name, verdict in verdicts_of(refs, TASK, {})] == [
        ("a", False),
        ("b", False),
        ("b", True),
    ]


def raising(fault):
    def function():
        raise fault

    return function


@pytest.mark.parametrize(
    ("function", "detail"),
    [
        (raising(ValueError("broken")), "ValueError: broken"),
        (raising(SystemExit(0)), "SystemExit: 0"),
        (raising(KeyboardInterrupt()), "KeyboardInterrupt"),
        (lambda: True, "gave a bool, not a Verdict"),
        (lambda: "ok", "gave a str, not a Verdict"),
    ],
)
def test_whatever_else_happens_is_a_failed_verdict(plugin, function, detail):
    good = plugin("good", lambda: Verdict(name="good", ok=True))
    bad, last = verdicts(plugin("bad", function), good)
    assert bad == Verdict(name="bad", ok=False, detail=detail)
    assert last.ok


def test_a_plugin_that_cannot_be_loaded_is_a_failed_verdict():
    (verdict,) = verdicts(PluginRef(name="gone", value="no_such_module_at_all"))
    assert not verdict.ok
    assert "ModuleNotFoundError" in verdict.detail


def test_a_plugin_without_the_hook_is_a_failed_verdict():
    (verdict,) = verdicts(PluginRef(name="json", value="json"))
    assert verdict.detail == "the plugin has no autopilot_verify any more"


def test_a_verdict_for_nobody():
    assert without_verdict("", "gone").name == "verify plugins"
