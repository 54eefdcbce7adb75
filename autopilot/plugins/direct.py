"""One plugin, by its reference: for processes that need just this one, without manager, discovery or pluggy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from autopilot.plugins.load import load_ref as load_plugin

__all__ = ["call_hook", "implementation_of", "load_plugin"]


def implementation_of(plugin: Any, hook: str) -> Callable[..., Any] | None:
    """The plugin's implementation of a hook, also one of another name marked ``hookimpl(specname=…)``; or None."""
    found = getattr(plugin, hook, None)
    if callable(found) and _options_of(found) is not None:
        return found  # type: ignore[no-any-return]
    for name in dir(plugin):
        candidate = getattr(plugin, name, None)
        options = _options_of(candidate)
        if options and options.get("specname") == hook:
            return candidate
    return None


def _options_of(function: Any) -> dict[str, Any] | None:
    options = getattr(function, "autopilot_impl", None)
    return options if isinstance(options, dict) else None


def call_hook(function: Callable[..., Any], **arguments: Any) -> Any:
    """Call an implementation with those of the hook's arguments that it takes."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return function(**arguments)
    return function(**{p.name: arguments[p.name] for p in parameters if p.name in arguments})
