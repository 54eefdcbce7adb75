"""The Kimi executor of Autopilot."""

from autopilot_adapter_kimi.executor import KimiExecutor

__all__ = ["KimiExecutor"]
