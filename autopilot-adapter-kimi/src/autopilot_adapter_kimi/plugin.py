"""The entry point: what Autopilot loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot import hookimpl
from autopilot_adapter_kimi.executor import KimiExecutor

__all__ = ["autopilot_executors"]


@hookimpl
def autopilot_executors(config: Mapping[str, Any]) -> list[KimiExecutor]:
    """The one executor of this package."""
    return [KimiExecutor(config.get(KimiExecutor.name))]
