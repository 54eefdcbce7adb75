"""The Claude Code executor of Autopilot."""

from autopilot_adapter_claude.executor import ClaudeExecutor

__all__ = ["ClaudeExecutor"]
