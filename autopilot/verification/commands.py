"""The ``verify:`` commands of a task: shell lines that the user wrote and that must exit 0."""

from __future__ import annotations

from autopilot.models import Verdict
from autopilot.system.sanitize import visible

__all__ = ["shell_argv", "verdict_of"]

_NAME_LENGTH = 200
_LAST_LINES = 5


def shell_argv(command: str) -> tuple[str, ...]:
    """How a verify command is run."""
    return ("/bin/sh", "-c", command)


def verdict_of(command: str, *, exit_code: int | None, stopped: str, output: str, duration_s: float) -> Verdict:
    """What a command's end says.

    Args:
        exit_code: negative for a signal; None where the command could not be started.
        stopped: why it was stopped, or could not be started; empty where it ended by itself.
        output: what it printed, redacted; the last lines become the detail of a failure.
    """
    ok = exit_code == 0 and not stopped
    return Verdict(
        name=command.strip()[:_NAME_LENGTH],
        ok=ok,
        detail="" if ok else _detail(exit_code, stopped, output),
        exit_code=exit_code,
        duration_s=round(duration_s, 3),
    )


def _detail(exit_code: int | None, stopped: str, output: str) -> str:
    last = "\n".join([line for line in output.splitlines() if line.strip()][-_LAST_LINES:])
    how = stopped or (f"ended by signal {-exit_code}" if exit_code and exit_code < 0 else f"exit code {exit_code}")
    return f"{how}: {visible(last)}" if last else how
