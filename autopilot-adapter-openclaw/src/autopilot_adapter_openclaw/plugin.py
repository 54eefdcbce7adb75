"""The entry point: what Autopilot loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot import Event, hookimpl
from autopilot_adapter_openclaw.executor import OpenClawExecutor
from autopilot_adapter_openclaw.notify import Notifier

__all__ = ["autopilot_event", "autopilot_executors", "configure"]

_notifiers: list[Notifier] = []


def configure(options: Mapping[str, Any]) -> None:
    """Take the section ``plugins.openclaw`` of the config.

    Raises:
        ConfigError: an option is unknown or wrong.
    """
    notifier = Notifier.from_options(options)
    _notifiers[:] = [notifier] if notifier else []


@hookimpl
def autopilot_executors(config: Mapping[str, Any]) -> list[OpenClawExecutor]:
    """The one executor of this package."""
    return [OpenClawExecutor(config.get(OpenClawExecutor.name))]


@hookimpl
def autopilot_event(event: Event) -> None:
    """Tell the gateway of results, where ``plugins.openclaw.notify`` is on."""
    for notifier in _notifiers:
        notifier.tell(event)
