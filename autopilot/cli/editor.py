"""The person's editor. What was written in it is never lost: it stays in its file until it is taken."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from autopilot.errors import AutopilotError, SetupError, TaskFormatError, UsageError

__all__ = ["edited"]

# The capital letter keeps `task create -F` from taking the file's name for an id.
_PREFIX = "Autopilot-"


@contextmanager
def edited(data: bytes, advice: Callable[[AutopilotError, str], str]) -> Iterator[bytes]:
    """The text as the person left it in the editor ($VISUAL, $EDITOR or the system's), byte for byte.

    The block is what becomes of the text. Where the editor or the block fails, a text that was changed is kept,
    and the fault says where.

    Args:
        data: what the editor opens.
        advice: how to take a kept text up again, by the fault and the text's path.

    Raises:
        SetupError: the editor cannot be started, ended with an error, or left no text.
        UsageError: the text was emptied.
    """
    path = _temporary(data)
    try:
        _open_editor(path)
        yield _left(path)
    except AutopilotError as fault:
        if _worth_keeping(path, data):
            raise _with_place(fault, path, advice(fault, path)) from None
        raise
    except BaseException:
        if _worth_keeping(path, data):
            click.echo(f"your text is kept in {path}", err=True)
        raise
    os.unlink(path)


def _open_editor(path: str) -> None:
    try:
        click.edit(filename=path)
    except click.ClickException as fault:
        raise SetupError(f"the editor failed: {fault.format_message()}", hint="set $EDITOR") from fault
    except ValueError as fault:  # a quotation that is not closed
        raise SetupError(
            f"the editor's command cannot be read: {fault}", hint="mend $VISUAL or $EDITOR, whichever is set"
        ) from fault


def _left(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        raise SetupError(
            "the editor removed the file that it was to edit", hint="set $EDITOR to a program that edits a file"
        ) from None
    if not data.strip():
        raise UsageError("the text is empty, so nothing was done")
    return data


def _worth_keeping(path: str, opened: bytes) -> bool:
    """Whether the person wrote something; where not, the file goes."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return False
    if data.strip() and data != opened:
        return True
    os.unlink(path)
    return False


def _with_place(fault: AutopilotError, path: str, advice: str) -> AutopilotError:
    fault.hint = "; ".join(filter(None, (fault.hint, f"your text is kept in {path}: {advice}")))
    if isinstance(fault, TaskFormatError):
        fault.path = path
    return fault


def _temporary(data: bytes) -> str:
    fd, path = tempfile.mkstemp(prefix=_PREFIX, suffix=".md")
    with os.fdopen(fd, "wb") as file:
        file.write(data)
    return path
