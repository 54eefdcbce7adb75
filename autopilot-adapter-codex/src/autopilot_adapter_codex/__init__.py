"""The Codex executor of Autopilot."""

from autopilot_adapter_codex.executor import CodexExecutor

__all__ = ["CodexExecutor"]
