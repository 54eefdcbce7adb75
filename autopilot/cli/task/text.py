"""The text of a new task, from wherever the person has it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from autopilot.cli.app import App, on_terminal
from autopilot.errors import AutopilotError, TaskFormatError, UsageError

if TYPE_CHECKING:
    from autopilot.models import TaskDraft

__all__ = ["from_editor", "from_file", "from_options"]

_LIMIT = 1024 * 1024
_TEMPLATE_BODY = "What is to be done, and how to know that it is done.\n"


def from_options(app: App, id_: str | None, values: Mapping[str, Any], body: str | None) -> TaskDraft:
    """A task whose values all come from the command line.

    Raises:
        UsageError: a value is wrong.
    """
    from autopilot.taskfile import render

    command = values.get("command")
    values = {"title": command.strip().split("\n")[0] if command else "", **values}
    task_id = id_ or _new_id(app)
    fields = {"id": task_id, "title": None, "status": "pending", **values, "created_at": app.control.clock.now()}
    with _typed():
        return _checked(task_id, render(fields, _ended(_body(body))))


def from_file(app: App, file: str, id_: str | None, values: Mapping[str, Any], body: str | None) -> TaskDraft:
    """A task from a whole file; what the command line says besides replaces the file's keys.

    Raises:
        TaskFormatError: the file is no valid task.
        UsageError: the file cannot be read, or a value on the command line is wrong.
    """
    if body is not None:
        raise UsageError("--body and --file exclude each other", hint="write the text into the file")
    data = _read(file)
    task_id = _id_of(app, data, file, id_)
    draft = _checked(task_id, data, path=file, any_id=id_ is not None)
    changed = {**({"id": id_} if id_ else {}), **values}
    if not changed:
        return draft
    from autopilot.taskfile import edit

    with _typed():
        return _checked(task_id, edit(data, changed))


@contextmanager
def from_editor(app: App, id_: str | None, values: Mapping[str, Any], body: str | None) -> Iterator[TaskDraft]:
    """A task that the person writes in an editor; where the block cannot make it, the text is kept in a file.

    Raises:
        UsageError: there is no terminal to edit on, or nothing was written.
        TaskFormatError: what was written is no valid task; the hint names the file that keeps it.
    """
    if not on_terminal():
        raise UsageError(
            "nothing says what is to be done", hint="give --title (and --command or --body), or a file with -F"
        )
    from autopilot.cli.editor import edited
    from autopilot.taskfile import render

    template = render(
        {"title": "…", "priority": "medium", "task_type": "general", **values}, body or _TEMPLATE_BODY
    )

    def advice(_fault: AutopilotError, path: str) -> str:
        return f"mend it, then autopilotctl task create -F {path}" + (f" --id {id_}" if id_ else "")

    with edited(template, advice) as data:
        if data == template:
            raise UsageError("nothing was changed in the editor, so no task was made")
        yield _checked(_id_of(app, data, "", id_), data)


@contextmanager
def _typed() -> Iterator[None]:
    """A value that was typed on the command line is a matter of usage, and not of a file."""
    try:
        yield
    except TaskFormatError as fault:
        raise UsageError(fault.message, hint=fault.hint) from None


def _checked(task_id: str, data: bytes, *, path: str = "", any_id: bool = False) -> TaskDraft:
    """The draft, if the core's own reader takes it."""
    from autopilot.models import TaskDraft
    from autopilot.taskfile import parse

    parse(data, path=path, expected_id=None if any_id else task_id)
    return TaskDraft(id=task_id, text=data)


def _id_of(app: App, data: bytes, file: str, id_: str | None) -> str:
    from autopilot.taskfile import parse_frontmatter

    if id_ is not None:
        return id_
    written = parse_frontmatter(data, path=file).get("id")
    if isinstance(written, str) and written:
        return written
    return _id_from_name(file) or _new_id(app)


def _id_from_name(file: str) -> str:
    from autopilot.taskfile import check_id

    stem, suffix = os.path.splitext(os.path.basename(file))
    try:
        return check_id(stem) if suffix == ".md" else ""
    except TaskFormatError:
        return ""


def _new_id(app: App) -> str:
    from random import SystemRandom

    from autopilot.taskfile import new_id

    return new_id(app.control.clock, SystemRandom())


def _read(file: str) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_LIMIT + 1)
        else:
            with open(file, "rb") as stream:
                data = stream.read(_LIMIT + 1)
    except OSError as fault:
        raise UsageError(f"cannot read {file}: {os.strerror(fault.errno or 0)}") from fault
    if len(data) > _LIMIT:
        raise TaskFormatError(
            "a task file may have 1 MiB", hint="put the long part into a file of its own", path=file
        )
    return data


def _body(body: str | None) -> str:
    if body == "-":
        return _read("-").decode("utf-8", "surrogateescape")
    return body or ""


def _ended(body: str) -> str:
    return body if not body or body.endswith("\n") else body + "\n"
