"""The local executor keeps the executor contract."""

from __future__ import annotations

from autopilot.models import Task
from autopilot.testing.executors import CommandExecutorContract
from autopilot_adapter_local import LocalExecutor


class TestLocalExecutor(CommandExecutorContract):
    takes_prompt = False
    exit_code_is_evidence = True

    def make(self, program: str) -> LocalExecutor:
        return LocalExecutor({"shell": program})

    def task(self, program: str) -> Task:
        return Task(id="kit-task", title="A task of the kit", command=(program,))
