"""Where each top-level key of the frontmatter stands, for edits."""

from __future__ import annotations

from typing import Any, NamedTuple

from autopilot.taskfile import fast

__all__ = ["Entry", "find"]


class Entry(NamedTuple):
    """The place of a top-level key and its value. Lines count from 0 in the frontmatter, columns from 0.

    Attributes:
        column: where the key begins.
        colon: the column after the key's colon.
        value_line, value_column: where the value begins; for an empty one, after the colon.
        last_line, last_column: where its last visible character ends.
        header: the value is a block scalar (``|`` or ``>``).
    """

    line: int
    column: int
    colon: int
    value_line: int
    value_column: int
    last_line: int
    last_column: int
    header: bool = False


def find(head: str) -> tuple[dict[str, Any], dict[str, Entry]]:
    """The values, as ``codec.read_head`` gives them, and the places of the keys.

    Raises:
        TaskFormatError: with line and column in the file.
    """
    values = fast.read(head)
    if values is not None:
        return values, _plain(head)
    from autopilot.taskfile import full

    document = full.read(head)
    return document.values, document.entries


def _plain(head: str) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    last_key = ""
    for row, found in enumerate(fast.LINE.finditer(head)):
        start = found.start()
        colon = found.end(3) + 1 - start
        first, end = (
            (found.start(4), found.start(4) + len(found[4].rstrip(" "))) if found[4] else (start + colon,) * 2
        )
        if found[3] and not found[1]:
            last_key = found[3]
            entries[last_key] = Entry(row, 0, colon, row, first - start, row, end - start)
        elif found[2] or found[3]:
            entries[last_key] = _extended(entries[last_key], row, len(found[1]), end - start)
    return entries


def _extended(entry: Entry, row: int, indent: int, end: int) -> Entry:
    if entry.value_line == entry.line:
        entry = entry._replace(value_line=row, value_column=indent)
    return entry._replace(last_line=row, last_column=end)
