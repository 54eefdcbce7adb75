"""The entry point: what Autopilot loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot import hookimpl
from autopilot_adapter_codex.executor import CodexExecutor

__all__ = ["autopilot_executors"]


@hookimpl
def autopilot_executors(config: Mapping[str, Any]) -> list[CodexExecutor]:
    """The one executor of this package."""
    return [CodexExecutor(config.get(CodexExecutor.name))]
