"""The OpenClaw executor of Autopilot, and its event sink."""

from autopilot_adapter_openclaw.executor import OpenClawExecutor

__all__ = ["OpenClawExecutor"]
