"""Runs what the user wrote: a shell line, an argv, or a script."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from typing import Any, ClassVar

from autopilot import (
    AttemptContext,
    Command,
    CommandExecutor,
    ConfigError,
    ExecutorInfo,
    Health,
    Outcome,
    OutcomeKind,
    Task,
    Transcript,
)

__all__ = ["LocalExecutor"]

_SHELL_SIGNAL = 128  # a shell reports the signal that ended its last command as 128 + its number
_LONGEST_QUOTE = 500


class LocalExecutor(CommandExecutor):
    """Runs ``command:`` tasks, and the body of tasks that name it, on this machine.

    Options:
        shell: runs command strings, and scripts without an interpreter line; ``/bin/sh`` by default.
        slots: how many attempts it may do at once; no limit of its own by default.
    """

    name: ClassVar[str] = "local"
    capabilities: ClassVar[frozenset[str]] = frozenset({"shell"})

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self.shell = str(self.options.get("shell") or "/bin/sh")

    def describe(self) -> ExecutorInfo:
        """Its slots are an option."""
        slots = self.options.get("slots")
        return ExecutorInfo(
            name=self.name, capabilities=self.capabilities, slots=None if slots is None else int(slots)
        )

    def accepts(self, task: Task) -> str | None:
        """Prose is never handed to a shell, and neither is what a stranger wrote."""
        if task.origin:
            return f"it came from {task.origin}, and a shell runs only what a person at this machine wrote"
        if task.command is None and task.executor != self.name:
            return "it has no `command:`, and prose is never handed to a shell"
        if not _words_of(task):
            return "it has neither a `command:` nor a script for a body: there is nothing to run"
        return None

    def probe(self) -> Health:
        """Whether the shell is there."""
        path = shutil.which(self.shell)
        if path is None:
            return Health(
                ok=False,
                reason=f"the shell {self.shell} is not there",
                hint="correct `shell` under executors.local in the config",
            )
        return Health(ok=True, reason=f"runs commands with {path}")

    def command(self, context: AttemptContext) -> Command:
        """An argv runs as it is; a string and a script go to the shell."""
        task = context.task
        refusal = self.accepts(task)
        if refusal is not None:
            raise ConfigError(f"local does not run task {task.id}: {refusal}")
        if task.command is None:
            return Command(self._script(context))
        if isinstance(task.command, str):
            return Command([self.shell, "-c", task.command])
        return Command(task.command)

    def _script(self, context: AttemptContext) -> list[str]:
        path = os.path.join(context.run_dir, "script.sh")
        body = context.task.body.lstrip("\r\n").replace("\r\n", "\n")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(path, flags, 0o700), "wb") as file:
            file.write(body.encode("utf-8", "surrogateescape"))
        return [path] if body.startswith("#!") else [self.shell, path]

    def judge(self, exit_code: int, transcript: Transcript) -> Outcome:
        """The exit code is the evidence."""
        if exit_code == 0:
            return Outcome(kind=OutcomeKind.SUCCEEDED, message="exit code 0")
        said = transcript.last_line("stderr") or transcript.last_line("stdout")
        message = _sentence(exit_code) + (f": {said[:_LONGEST_QUOTE]}" if said else "")
        return Outcome(kind=OutcomeKind.FAILED, message=message, hint=_hint(exit_code))

    def cannot_start(self, message: str, hint: str, fault: OSError) -> Outcome:
        """The task named the program, so this is the task's failure and says nothing about this executor."""
        return Outcome(kind=OutcomeKind.FAILED, message=message, hint=hint)


def _words_of(task: Task) -> str:
    if task.command is None:
        return task.body.strip()
    return task.command.strip() if isinstance(task.command, str) else "".join(task.command[:1])


def _sentence(code: int) -> str:
    if code == 126:
        return "exit code 126: the command was found but may not be executed"
    if code == 127:
        return "exit code 127: the command was not found"
    number = -code if code < 0 else code - _SHELL_SIGNAL
    if number not in signal.valid_signals() or number == 0:
        return f"exit code {code}"
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return f"ended by {name}" if code < 0 else f"exit code {code} (a command in it was ended by {name})"


def _hint(code: int) -> str:
    if code == 126:
        return "check its mode (chmod +x) and its first line"
    return "check its spelling, and that its folder is on PATH" if code == 127 else ""
