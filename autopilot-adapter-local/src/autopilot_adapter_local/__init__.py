"""The local executor of Autopilot: shell commands, programs and scripts."""

from autopilot_adapter_local.executor import LocalExecutor

__all__ = ["LocalExecutor"]
