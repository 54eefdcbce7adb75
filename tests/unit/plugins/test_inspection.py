"""A plugin is examined: its hooks are found, its mistakes named."""

from __future__ import annotations

import inspect
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from autopilot import hookimpl, hookspecs
from autopilot.plugins.guards import PluginFault
from autopilot.plugins.inspection import examine, parameters


def module(**members: Any) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(members)
    return made


@hookimpl
def gate(task: Any) -> None: ...


def test_hooks_of_a_module_and_of_an_object() -> None:
    class Plugin:
        @hookimpl
        def autopilot_score(self, history: Any, task: Any) -> None: ...

        @hookimpl(tryfirst=True)
        def autopilot_event(self) -> None: ...

    examined = examine(Plugin())
    assert examined.hooks == ("autopilot_event", "autopilot_score")
    assert {one.hook: (one.arguments, one.rank) for one in examined.implementations} == {
        "autopilot_score": (("history", "task"), 0),
        "autopilot_event": ((), -1),
    }
    assert examine(module(autopilot_dispatch=gate)).hooks == ("autopilot_dispatch",)


def test_specname_and_defaults_are_as_in_pluggy() -> None:
    @hookimpl(specname="autopilot_dispatch", trylast=True)
    def friday(executor: Any, strict: bool = True) -> None: ...

    (found,) = examine(module(friday=friday, autopilot_dispatch=gate)).implementations[:1]
    assert {one.hook for one in examine(module(friday=friday, again=friday)).implementations} == {
        "autopilot_dispatch"
    }
    assert len(examine(module(friday=friday, autopilot_dispatch=gate)).implementations) == 2
    assert examine(module(friday=friday)).implementations[0].arguments == ("executor",)
    assert examine(module(friday=friday)).implementations[0].rank == 1
    assert found.hook == "autopilot_dispatch"


def test_an_unknown_parameter_is_named_with_those_there_are() -> None:
    @hookimpl
    def autopilot_dispatch(task: Any, agent: Any) -> None: ...

    with pytest.raises(PluginFault, match="takes 'agent', but that hook has only task, executor"):
        examine(module(autopilot_dispatch=autopilot_dispatch))


def test_kinds_that_are_not_supported() -> None:
    @hookimpl(wrapper=True)
    def wrapper(task: Any) -> Any:
        yield

    @hookimpl
    async def later(task: Any) -> None: ...

    @hookimpl
    def keyword(task: Any, *, executor: Any) -> None: ...

    for function, message in ((wrapper, "hook wrapper"), (later, "is async"), (keyword, "keyword-only")):
        with pytest.raises(PluginFault, match=message):
            examine(module(autopilot_dispatch=function))


@pytest.mark.parametrize("marked", [True, False])
def test_a_misspelt_hook_is_reported_marked_or_not(marked: bool) -> None:
    def autopilot_dispach(task: Any) -> None: ...

    function = hookimpl(autopilot_dispach) if marked else autopilot_dispach
    warning = "autopilot_dispach is no hook of Autopilot; did you mean autopilot_dispatch?"
    assert examine(module(autopilot_dispatch=gate, autopilot_dispach=function)).warnings == (warning,)
    with pytest.raises(PluginFault, match="did you mean autopilot_dispatch"):
        examine(module(autopilot_dispach=function))


def test_a_marked_function_of_another_name_is_reported() -> None:
    assert examine(module(autopilot_dispatch=gate, before_start=gate)).warnings == (
        "before_start is no hook of Autopilot",
    )


def test_a_hook_without_its_mark_is_reported() -> None:
    def autopilot_score(task: Any) -> None: ...

    assert examine(module(autopilot_dispatch=gate, autopilot_score=autopilot_score)).warnings == (
        "autopilot_score is not marked with @hookimpl, so it is never called",
    )


def test_what_is_no_mistake() -> None:
    @hookimpl(optionalhook=True)
    def autopilot_of_tomorrow(task: Any) -> None: ...

    examined = examine(
        module(
            autopilot_dispatch=gate,
            autopilot_of_tomorrow=autopilot_of_tomorrow,
            autopilot_adapter_x=module(),
            autopilot_score=hookspecs.autopilot_score,
        )
    )
    assert examined.warnings == ()


def test_nothing_to_call_is_a_fault() -> None:
    for nothing in (module(), SimpleNamespace(), 7, "text"):
        with pytest.raises(PluginFault, match="implements no hook"):
            examine(nothing)


def test_an_object_with_strange_equality_is_no_trouble() -> None:
    class Odd:
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("do not compare me")

        @hookimpl
        def autopilot_dispatch(self, task: Any) -> None: ...

    assert examine(Odd()).hooks == ("autopilot_dispatch",)


def test_parameters_are_those_of_the_specs() -> None:
    for hook in hookspecs.HOOKS:
        assert parameters(hook) == tuple(inspect.signature(getattr(hookspecs, hook)).parameters)
