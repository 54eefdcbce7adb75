"""Load one plugin by its reference: all that a child process needs to know of plugins."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from autopilot.models import PluginRef

__all__ = ["load_ref"]


def load_ref(ref: PluginRef, options: Mapping[str, Any] | None = None) -> Any:
    """Import what an entry point names; whatever its code raises comes out.

    Args:
        ref: the entry point.
        options: the plugin's own section of the config; where there is one, the plugin's ``configure(options)``
            is called with it.

    Returns:
        The plugin: a module or an object with hooks.

    Raises:
        TypeError: the entry point names a class, or the plugin takes no options.
    """
    module, _, attribute = ref.value.partition("[")[0].strip().partition(":")
    plugin: Any = importlib.import_module(module.strip())
    for name in filter(None, attribute.strip().split(".")):
        plugin = getattr(plugin, name)
    if isinstance(plugin, type):
        raise TypeError(f"{ref.value} is a class; the entry point must name a module or an object")
    if options:
        configure = getattr(plugin, "configure", None)
        if not callable(configure):
            raise TypeError(
                f"the config has a section plugins.{ref.name}, but this plugin has no configure(options)"
            )
        configure(dict(options))
    return plugin
