"""Autopilot: the control plane for autonomous AI agent clusters.

The names below are the public surface; adapters and plugins import from here and from nowhere deeper, except
``autopilot.testing``. They load when they are first used, so that ``import autopilot`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from autopilot._version import __version__

if TYPE_CHECKING:
    from autopilot.errors import AutopilotError, ConfigError, SetupError, UsageError
    from autopilot.executors.agent import AgentExecutor, Rules, classify, usage_of
    from autopilot.executors.command import Command, CommandExecutor, Transcript, json_line
    from autopilot.executors.contract import AttemptContext, Executor, Progress
    from autopilot.hookspecs import hookimpl
    from autopilot.models import (
        Event,
        ExecutorInfo,
        Health,
        Limits,
        Outcome,
        OutcomeKind,
        Reason,
        Task,
        Term,
        Usage,
        Verdict,
    )
    from autopilot.store.contract import Store

_HOMES = {
    "AutopilotError": "autopilot.errors",
    "ConfigError": "autopilot.errors",
    "SetupError": "autopilot.errors",
    "UsageError": "autopilot.errors",
    "AgentExecutor": "autopilot.executors.agent",
    "Rules": "autopilot.executors.agent",
    "classify": "autopilot.executors.agent",
    "usage_of": "autopilot.executors.agent",
    "json_line": "autopilot.executors.command",
    "Command": "autopilot.executors.command",
    "CommandExecutor": "autopilot.executors.command",
    "Transcript": "autopilot.executors.command",
    "AttemptContext": "autopilot.executors.contract",
    "Executor": "autopilot.executors.contract",
    "Progress": "autopilot.executors.contract",
    "hookimpl": "autopilot.hookspecs",
    "Event": "autopilot.models",
    "ExecutorInfo": "autopilot.models",
    "Health": "autopilot.models",
    "Limits": "autopilot.models",
    "Outcome": "autopilot.models",
    "OutcomeKind": "autopilot.models",
    "Reason": "autopilot.models",
    "Task": "autopilot.models",
    "Term": "autopilot.models",
    "Usage": "autopilot.models",
    "Verdict": "autopilot.models",
    "Store": "autopilot.store.contract",
}

__all__ = [
    "AgentExecutor",
    "AttemptContext",
    "AutopilotError",
    "Command",
    "CommandExecutor",
    "ConfigError",
    "Event",
    "Executor",
    "ExecutorInfo",
    "Health",
    "Limits",
    "Outcome",
    "OutcomeKind",
    "Progress",
    "Reason",
    "Rules",
    "SetupError",
    "Store",
    "Task",
    "Term",
    "Transcript",
    "Usage",
    "UsageError",
    "Verdict",
    "__version__",
    "classify",
    "hookimpl",
    "json_line",
    "usage_of",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'autopilot' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
