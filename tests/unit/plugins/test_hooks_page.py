"""docs/reference/hooks.md lists every hook, with its parameters, as the live specs have them."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import autopilot
from autopilot import hookspecs
from autopilot.plugins.inspection import examine, parameters

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "hooks.md").read_text()
PARTS = ("*When:*", "*Parameters:*", "*Returns:*", "*If it fails:*", "```python")


def section(hook: str) -> str:
    return PAGE.split(f"\n## {hook}(")[1].split("\n## ")[0]


def doc_example(hook: str) -> str:
    return textwrap.dedent(inspect.getdoc(getattr(hookspecs, hook)).split("Example::\n")[1])  # type: ignore[union-attr]


def run(source: str) -> Any:
    """The module that an example makes; what it imports from elsewhere is made up."""
    module = ModuleType("example")
    vars(module).update({name: getattr(autopilot, name) for name in autopilot.__all__})
    tree = ast.parse(source)
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "my_package")
    ]
    exec(compile(tree, "example", "exec"), vars(module))
    return module


def test_headings_are_the_hooks_with_their_parameters() -> None:
    told = re.findall(r"^## (autopilot_\w+)\((.*)\)$", PAGE, re.M)
    assert told == [(hook, ", ".join(parameters(hook))) for hook in hookspecs.HOOKS]


def test_hooks_are_all_specs_there_are() -> None:
    specs = [name for name, value in vars(hookspecs).items() if hasattr(value, "autopilot_spec")]
    assert tuple(specs) == hookspecs.HOOKS


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_each_answers_the_same_questions_in_order(hook: str) -> None:
    places = [section(hook).find(part) for part in PARTS]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_each_parameter_is_explained(hook: str) -> None:
    told = re.findall(r"^- `(\w+)`:", section(hook), re.M)
    assert tuple(told) == parameters(hook)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_the_keys_of_mappings_are_those_of_the_spec(hook: str) -> None:
    spec = inspect.getdoc(getattr(hookspecs, hook)) or ""
    told = dict(re.findall(r"^- `(attempt|history)`: (.*)", section(hook), re.M))
    for name, text in told.items():
        expected = spec.split(f"{name}: ")[1].split("\n\n")[0]
        assert re.findall(r"`(\w+)`", text) == re.findall(r"``(\w+)``", expected)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_the_docstring_tells_when_and_what_if_it_fails(hook: str) -> None:
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    assert "\nCalled " in text
    assert re.search(r"^If it (fails|raises)", text, re.M)


@pytest.mark.parametrize("hook", hookspecs.HOOKS)
def test_both_examples_are_plugins_with_that_hook(hook: str) -> None:
    page_example = re.search(r"```python\n(.*?)```", section(hook), re.S)
    assert page_example is not None
    for source in (page_example[1], doc_example(hook)):
        examined = examine(run(source))
        assert examined.hooks == (hook,)
        assert examined.warnings == ()


def test_the_first_example_is_a_plugin() -> None:
    source = re.search(r"```python\n# friday.py\n(.*?)```", PAGE, re.S)
    assert source is not None
    assert examine(run(source[1])).hooks == ("autopilot_dispatch",)


def test_examples_that_decide_do_what_they_say() -> None:
    from autopilot.models import ExecutorInfo, Task

    def example(hook: str) -> Any:
        return getattr(run(doc_example(hook)), hook)

    night = Task(id="t", title="T", tags=("night", "customer-data"), body="B")
    cheap = ExecutorInfo(name="claude-code", tier="volume")
    assert example("autopilot_score")(night, cheap).value == 0.1
    assert example("autopilot_score")(Task(id="t", title="T"), cheap) is None
    assert example("autopilot_dispatch")(night, cheap) == "customer data stays on this machine"
    assert example("autopilot_prompt")(night, {}).endswith("Answer in French.")
    assert not example("autopilot_verify")(night, {"changed": ["a.bin"]}).ok
