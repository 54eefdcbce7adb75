"""Conformance by the kit."""

from acme_scribe import ScribeExecutor
from autopilot.testing.executors import CommandExecutorContract


class TestScribe(CommandExecutorContract):
    done = ('{"type": "result", "ok": true, "words": 3}',)

    def make(self, program: str) -> ScribeExecutor:
        return ScribeExecutor({"program": program})
