"""The person's editor."""

from __future__ import annotations

import os
import tempfile

import click

from autopilot.errors import SetupError, TaskFormatError, UsageError

__all__ = ["edit_text", "keep"]


def edit_text(data: bytes) -> bytes:
    """Open the editor ($VISUAL, $EDITOR or the system's) on ``data``; the text as it was left, byte for byte.

    Raises:
        SetupError: the editor cannot be started, or ended with an error.
        UsageError: the text was emptied.
    """
    path = _temporary(data)
    try:
        try:
            click.edit(filename=path)
        except click.ClickException as fault:
            raise SetupError(f"the editor failed: {fault.format_message()}", hint="set $EDITOR") from fault
        with open(path, "rb") as file:
            changed = file.read()
    finally:
        os.unlink(path)
    if not changed.strip():
        raise UsageError("the text is empty, so nothing was done")
    return changed


def keep(fault: TaskFormatError, data: bytes, advice: str) -> TaskFormatError:
    """The fault, with the refused text kept in a file.

    Args:
        advice: how to take it up again; ``{path}`` becomes the file's.
    """
    path = _temporary(data)
    hint = "; ".join(filter(None, (fault.hint, "your text is kept: mend it, then " + advice.format(path=path))))
    return TaskFormatError(fault.message, hint=hint, path=path, line=fault.line, column=fault.column)


def _temporary(data: bytes) -> str:
    fd, path = tempfile.mkstemp(prefix="autopilot-", suffix=".md")
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return path
