"""The entry point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acme_scribe.executor import ScribeExecutor
from autopilot import hookimpl

__all__ = ["autopilot_executors"]


@hookimpl
def autopilot_executors(config: Mapping[str, Any]) -> list[ScribeExecutor]:
    """The executor of this package."""
    return [ScribeExecutor(config.get("scribe"))]
