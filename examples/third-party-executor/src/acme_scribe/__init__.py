"""An executor for the scribe agent."""

from acme_scribe.executor import ScribeExecutor

__all__ = ["ScribeExecutor"]
