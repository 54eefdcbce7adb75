"""Load one plugin by its reference: for the manager, and for processes that need just this one."""

from __future__ import annotations

import importlib
from typing import Any

from autopilot.errors import PluginError
from autopilot.models import PluginRef

__all__ = ["load_ref"]


def load_ref(ref: PluginRef) -> Any:
    """Import what an entry point names and give it its options; whatever its code raises comes out.

    Returns:
        The plugin: a module or an object with hooks.

    Raises:
        PluginError: the entry point names nothing, or a class; or the plugin has options but takes none.
    """
    module, _, attribute = ref.value.partition("[")[0].strip().partition(":")
    plugin: Any = importlib.import_module(module.strip())
    for name in filter(None, attribute.strip().split(".")):
        try:
            plugin = getattr(plugin, name)
        except AttributeError:
            raise _wrong(ref, f"the module {module} has no {attribute}") from None
    if isinstance(plugin, type):
        raise _wrong(ref, f"{ref.value} is a class; the entry point must name a module or an object")
    if ref.options:
        _configure(ref, plugin)
    return plugin


def _configure(ref: PluginRef, plugin: Any) -> None:
    configure = getattr(plugin, "configure", None)
    if not callable(configure):
        raise PluginError(
            f"the config has options under plugins.{ref.name}, but this plugin has no configure(options)",
            hint=f"remove the section plugins.{ref.name}",
        )
    configure(dict(ref.options))


def _wrong(ref: PluginRef, message: str) -> PluginError:
    return PluginError(message, hint=f"reinstall {ref.distribution or ref.name}, or tell its author")
