"""The text of a new task file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot.errors import TaskFormatError
from autopilot.taskfile.codec import read_head
from autopilot.taskfile.emit import checked, lines
from autopilot.taskfile.scalars import TABOO
from autopilot.taskfile.source import split

__all__ = ["render"]


def render(fields: Mapping[str, Any], body: str = "") -> bytes:
    """Write a task file.

    Args:
        fields: key -> value in the order of the file, as for ``edit``; those that are None are left out.
        body: the Markdown below the frontmatter, as it is.

    Returns:
        Bytes whose ``parse`` gives these fields and this body.

    Raises:
        TaskFormatError: a field does not take its value, or the file would be too large.
    """
    wanted = {
        key: raw for key, raw in ((key, checked(key, value)) for key, value in fields.items()) if raw is not None
    }
    head = "".join(f"{line}\n" for key, raw in wanted.items() for line in lines(key, raw))
    if TABOO.search(body):
        raise TaskFormatError("the body has a NUL or half a surrogate pair", hint="delete the character")
    data = f"---\n{head}---\n{_set_off(body)}".encode()
    if read_head(split(data).head) != wanted:
        raise TaskFormatError("the fields cannot be written as YAML", hint="simplify the names of the keys")
    return data


def _set_off(body: str) -> str:
    return f"\n{body}" if body else ""
