"""Look at a loaded plugin: which hooks it implements, and what is wrong with it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import pluggy

from autopilot import hookspecs
from autopilot.plugins.guards import PluginFault
from autopilot.system.near import did_you_mean

__all__ = ["Examined", "Implementation", "examine", "parameters"]

_PREFIX = "autopilot_"


@attrs.frozen(kw_only=True)
class Implementation:
    """One function of one plugin that implements a hook.

    Attributes:
        arguments: the hook's parameters that it takes, in its own order.
        rank: -1 for ``tryfirst``, 1 for ``trylast``, else 0.
    """

    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]
    rank: int


@attrs.frozen(kw_only=True)
class Examined:
    """What a plugin was found to be.

    Attributes:
        warnings: sentences on what its author should mend.
    """

    implementations: tuple[Implementation, ...]
    warnings: tuple[str, ...]

    @property
    def hooks(self) -> tuple[str, ...]:
        """The names of the hooks it implements, sorted."""
        return tuple(sorted({implementation.hook for implementation in self.implementations}))


@functools.cache
def parameters(hook: str) -> tuple[str, ...]:
    """The parameters of a hook."""
    return tuple(inspect.signature(getattr(hookspecs, hook)).parameters)


def examine(plugin: Any) -> Examined:
    """Find the hooks of a plugin and check each.

    Raises:
        PluginFault: a hook has a wrong signature or is of a kind that is not supported, or there is none.
    """
    # A manager for each plugin: an object with strange equality or names cannot disturb the others.
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.register(plugin, "plugin")
    found: list[Implementation] = []
    warnings: list[str] = []
    for caller in vars(manager.hook).values():
        for implementation in caller.get_hookimpls():
            if caller.name in hookspecs.HOOKS:
                found.append(_checked(caller.name, implementation))
            elif not implementation.optionalhook:
                warnings.append(_misspelt(caller.name))
    warnings.extend(_unmarked(plugin))
    if not found:
        raise PluginFault("; ".join(warnings) or "it implements no hook of Autopilot")
    return Examined(implementations=tuple(found), warnings=tuple(sorted(warnings)))


def _checked(hook: str, implementation: Any) -> Implementation:
    function = implementation.function
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginFault(f"its {hook} is a hook wrapper; wrappers are not supported")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise PluginFault(f"its {hook} is async; hooks are plain functions")
    known = parameters(hook)
    for name in implementation.argnames:
        if name not in known:
            raise PluginFault(f"its {hook} takes {name!r}, but that hook has only {', '.join(known)}")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            raise PluginFault(f"its {hook} has the keyword-only parameter {parameter.name!r}; remove the `*`")
    return Implementation(
        hook=hook,
        function=function,
        arguments=tuple(implementation.argnames),
        rank=bool(implementation.trylast) - bool(implementation.tryfirst),
    )


def _misspelt(name: str) -> str:
    guess = did_you_mean(name, hookspecs.HOOKS, most=1)
    return f"{name} is no hook of Autopilot" + (f"; {guess}" if guess else "")


def _unmarked(plugin: Any) -> Iterator[str]:
    for name in dir(plugin):
        if not name.startswith(_PREFIX):
            continue
        value = inspect.getattr_static(plugin, name, None)
        marks: Mapping[str, Any] = getattr(getattr(value, "__func__", value), "__dict__", {})
        if not inspect.isroutine(value) or "autopilot_impl" in marks or "autopilot_spec" in marks:
            continue
        if name in hookspecs.HOOKS:
            yield f"{name} is not marked with @hookimpl, so it is never called"
        else:
            yield _misspelt(name)
