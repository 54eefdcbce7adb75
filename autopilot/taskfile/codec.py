"""From the bytes of a task file to a ``Task``, in three steps: cut, read, understand.

``read_fields`` is the cheap one, for folders with 100,000 files: it checks everything and builds no ``Task``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from autopilot.errors import TaskFormatError
from autopilot.models import Task
from autopilot.taskfile import fast
from autopilot.taskfile.fields import SCHEMA
from autopilot.taskfile.ids import check_id
from autopilot.taskfile.scalars import shown
from autopilot.taskfile.source import Source, split
from autopilot.taskfile.values import READERS, FieldError

__all__ = ["parse", "parse_frontmatter", "read_fields", "read_head"]

_HEADING = re.compile(r"#{1,6}[ \t]+(.*)")
_TITLE_LENGTH = 120


def parse(data: bytes, *, path: str = "", expected_id: str | None = None) -> Task:
    """Read a task file.

    Args:
        data: the file's bytes.
        path: where they come from, for errors and ``Task.path``.
        expected_id: what the file's name says; a file that says something else is refused, and one that says
            nothing gets this id.

    Returns:
        The task; ``digest`` is that of ``data``. Of a file in a newer format only ``id``, ``title`` and ``status``
        are certain; ``schema`` tells.

    Raises:
        TaskFormatError: with path, line, column and hint.
    """
    try:
        source = split(data)
        fields = _fields(source, expected_id)
    except TaskFormatError as fault:
        fault.path = path
        raise
    return Task(**fields, body=source.body_text(), path=path, digest=hashlib.sha256(data).hexdigest())


def read_fields(data: bytes, *, path: str = "", expected_id: str | None = None) -> dict[str, Any]:
    """All that ``parse`` finds in the frontmatter, checked as ``parse`` does, as ``Task``'s keyword arguments.

    ``id`` and ``title`` are always there, the other known keys where the file has them; ``extra`` holds the
    unknown ones, where there are any. Costs a fraction of ``parse``.

    Raises:
        TaskFormatError: with path, line, column and hint.
    """
    try:
        return _fields(split(data), expected_id)
    except TaskFormatError as fault:
        fault.path = path
        raise


def parse_frontmatter(data: bytes, *, path: str = "") -> Mapping[str, Any]:
    """The keys and values as they stand, in order and without their types: text, None, lists, mappings.

    Below ``result``, true, false, null and numbers mean what they mean in JSON.

    Raises:
        TaskFormatError: with path, line, column and hint.
    """
    try:
        return read_head(split(data).head)
    except TaskFormatError as fault:
        fault.path = path
        raise


def read_head(head: str) -> dict[str, Any]:
    """``parse_frontmatter`` for frontmatter that is already cut out (``Source.head``)."""
    found = fast.read(head)
    if found is not None:
        return found
    from autopilot.taskfile import full

    return full.read(head).values


def _fields(source: Source, expected_id: str | None) -> dict[str, Any]:
    raw = read_head(source.head)
    try:
        fields = _understand(raw)
        _settle_id(fields, expected_id)
    except FieldError as fault:
        raise _placed(fault, source) from None
    if "title" not in fields:
        fields["title"] = _title_from(source.body_text())
    return fields


def _understand(raw: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    readers = READERS
    newer = "schema" in raw and raw["schema"] is not None and readers["schema"](raw["schema"]) > SCHEMA
    for key, value in raw.items():
        if key not in readers:
            extra[key] = value
        elif value is not None:
            try:
                fields[key] = readers[key](value)
            except FieldError:
                if not newer or key in _ESSENTIAL:
                    raise
                extra[key] = value
    if extra:
        fields["extra"] = extra
    return fields


_ESSENTIAL = frozenset({"id", "title", "status", "schema"})


def _settle_id(fields: dict[str, Any], expected: str | None) -> None:
    found = fields.get("id")
    if found is None:
        if expected is None:
            raise FieldError((), "the task has no id", "add a line such as `id: fix-login`")
        fields["id"] = check_id(expected)
    elif expected is not None and found != expected:
        raise FieldError(
            ("id",),
            f"the id is `{found}`, but the file is named {shown(expected + '.md')}",
            _rename(found, expected),
        )


def _rename(found: str, expected: str) -> str:
    try:
        check_id(expected)
    except TaskFormatError:
        return f"rename the file to {found}.md"
    return f"rename the file to {found}.md, or write `id: {expected}`"


def _title_from(body: str) -> str:
    line = _first_heading_or_line(body)
    if not line:
        raise TaskFormatError(
            "the task has no title and no text", hint="add a line such as `title: Fix the login page`"
        )
    return line if len(line) <= _TITLE_LENGTH else line[: _TITLE_LENGTH - 1] + "…"


def _first_heading_or_line(body: str) -> str:
    first, fenced = "", False
    for line in body.split("\n"):
        text = line.strip()
        if text.startswith(("```", "~~~")):
            fenced = not fenced
        elif text and not fenced:
            heading = _HEADING.fullmatch(text)
            if heading:
                return _without_closing_signs(heading[1])
            first = first or text
    return first


def _without_closing_signs(heading: str) -> str:
    text, _, last = heading.rpartition(" ")
    return text.rstrip() if text and not last.strip("#") else heading


def _placed(fault: FieldError, source: Source) -> TaskFormatError:
    from autopilot.taskfile import full
    from autopilot.taskfile.diagnosis import item_hint

    mark = full.read(source.head).marks.get(fault.way)
    if mark is None:
        return TaskFormatError(fault.message, hint=fault.hint)
    row, column = mark
    hint = item_hint(source.head.split("\n")[row], fault.hint) if fault.to_quote else fault.hint
    return TaskFormatError(fault.message, hint=hint, line=row + 2, column=column + 1)
