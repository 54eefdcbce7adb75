"""One tree of errors: each class carries its exit code, and each error what to do about it.

An error's text answers *what* and *where*; its ``hint`` answers *how to mend it*. The command line prints
``message`` and ``hint`` and exits with ``exit_code``; under ``-o json`` it prints
``{"error": {"code", "message", "hint"}}``.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlreadyExistsError",
    "AutopilotError",
    "BusyError",
    "ConfigError",
    "DeadlineError",
    "InputError",
    "LeaseLostError",
    "NotFoundError",
    "PluginError",
    "SetupError",
    "StorageError",
    "TaskFormatError",
    "TransitionError",
    "UnreadableError",
    "UsageError",
]


class AutopilotError(Exception):
    """The base of every error that Autopilot raises on purpose.

    Args:
        message: what went wrong, and where, in one sentence.
        hint: how to mend it, or an empty string.
        code: a stable word for programs; the class's ``default_code`` where it is not given.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code


class UsageError(AutopilotError):
    """A value on the command line is wrong."""

    exit_code = 2
    default_code = "usage"


class AlreadyExistsError(UsageError):
    """The id is taken; nothing was overwritten."""

    default_code = "already_exists"


class TransitionError(UsageError):
    """The state machine does not know this transition; the message names the allowed ones."""

    default_code = "transition_refused"


class NotFoundError(AutopilotError):
    """No such task, executor, channel or attempt."""

    exit_code = 3
    default_code = "not_found"


class SetupError(AutopilotError):
    """Something must be installed, logged in or made writable first."""

    exit_code = 4
    default_code = "setup"


class StorageError(SetupError):
    """The disk is full, read-only, or refuses us; nothing was half-written."""

    default_code = "storage"


class UnreadableError(StorageError):
    """What belongs to one task alone may not be read; that of others may."""


class PluginError(SetupError):
    """A plugin that is needed for this call could not be used."""

    default_code = "plugin"


class ConfigError(AutopilotError):
    """A setting in a file is wrong. ``path`` and ``key`` say which."""

    exit_code = 5
    default_code = "config_invalid"

    def __init__(self, message: str, *, hint: str = "", path: str = "", key: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.key = key


class TaskFormatError(AutopilotError):
    """A file cannot be read as a task.

    ``line`` and ``column`` count from 1; 0 means that the fault has no single place.
    """

    exit_code = 5
    default_code = "task_invalid"

    def __init__(self, message: str, *, hint: str = "", path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.line = line
        self.column = column

    def __str__(self) -> str:
        place = ":".join([self.path or "<task>", *(str(n) for n in (self.line, self.column) if n)])
        return f"{place}: {self.message}"


class InputError(AutopilotError):
    """What was handed in on stdin or in a file, and is no task, cannot be used."""

    exit_code = 5
    default_code = "input_invalid"


class BusyError(AutopilotError):
    """Somebody else holds what this call needs; the same call may go through later."""

    exit_code = 75
    default_code = "busy"


class LeaseLostError(BusyError):
    """The caller's token is old: the task went on without it, so its word does not count."""

    default_code = "lease_lost"


class DeadlineError(AutopilotError):
    """Waiting took longer than the caller allowed."""

    exit_code = 124
    default_code = "timeout"
