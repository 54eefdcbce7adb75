"""One plugin, used directly by a process that needs just this one."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from autopilot import hookimpl
from autopilot.plugins.direct import call_hook, implementation_of, load_plugin


@hookimpl
def marked(task: Any) -> str:
    return f"marked {task}"


def test_finds_a_marked_function_by_name_or_specname() -> None:
    plugin: Any = ModuleType("made")
    plugin.autopilot_prompt = marked
    assert implementation_of(plugin, "autopilot_prompt") is marked
    assert implementation_of(plugin, "autopilot_verify") is None

    @hookimpl(specname="autopilot_verify")
    def check() -> None: ...

    plugin.check = check
    assert implementation_of(plugin, "autopilot_verify") is check


def test_an_unmarked_function_is_no_implementation() -> None:
    plugin: Any = ModuleType("made")
    plugin.autopilot_prompt = lambda task: "x"
    assert implementation_of(plugin, "autopilot_prompt") is None


def test_methods_of_an_object() -> None:
    class Plugin:
        @hookimpl
        def autopilot_prompt(self, attempt: Any) -> Any:
            return attempt

    found = implementation_of(Plugin(), "autopilot_prompt")
    assert found is not None
    assert call_hook(found, task=1, attempt=2) == 2


def test_gives_only_the_parameters_that_are_taken() -> None:
    assert call_hook(marked, task=1, attempt=2) == "marked 1"
    assert call_hook(lambda **values: values, task=1, attempt=2) == {"task": 1, "attempt": 2}
    assert call_hook(lambda task, extra=5: (task, extra), task=1, attempt=2) == (1, 5)


def test_loads_by_reference(make_plugin: Any) -> None:
    plugin = load_plugin(make_plugin("@hookimpl\ndef autopilot_prompt(task): return 'x'"))
    assert implementation_of(plugin, "autopilot_prompt") is plugin.autopilot_prompt
    with pytest.raises(ZeroDivisionError):
        load_plugin(make_plugin("1/0"))


def test_needs_neither_the_manager_nor_discovery() -> None:
    code = (
        "import sys; import autopilot.plugins.direct;"
        "print([name for name in sys.modules if name in ('pluggy', 'autopilot.plugins.manager')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout.strip() == "[]"
