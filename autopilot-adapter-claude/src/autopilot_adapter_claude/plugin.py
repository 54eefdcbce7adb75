"""The entry point: what Autopilot loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot import hookimpl
from autopilot_adapter_claude.executor import ClaudeExecutor

__all__ = ["autopilot_executors"]


@hookimpl
def autopilot_executors(config: Mapping[str, Any]) -> list[ClaudeExecutor]:
    """The one executor of this package."""
    return [ClaudeExecutor(config.get(ClaudeExecutor.name))]
