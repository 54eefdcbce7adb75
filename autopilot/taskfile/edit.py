"""Edits that change the bytes of the named keys and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autopilot.errors import TaskFormatError
from autopilot.taskfile.codec import read_head
from autopilot.taskfile.emit import below, checked, inline, lines, one_line
from autopilot.taskfile.entries import Entry, find
from autopilot.taskfile.fields import SCHEMA
from autopilot.taskfile.source import Source, split

__all__ = ["edit", "newer_format"]

_HEADER = re.compile(r"[|>][^\s#]*([ \t]+#.*)?")


def edit(data: bytes, values: Mapping[str, Any]) -> bytes:
    """Set top-level keys of the frontmatter.

    Comments, the order of the keys, line ends, a byte order mark, the body and its last line end stay as they are;
    so does a comment on the line of a key that gets a new value. Missing keys are added at the end, in the order
    of ``values``.

    Args:
        data: the file's bytes.
        values: key -> text, number, truth value, datetime, enum, list, set or mapping; None removes the key.

    Returns:
        The new bytes; read back, they have these values and all others unchanged.

    Raises:
        TaskFormatError: the file cannot be read, is in a newer format, or would become too large; a field does
            not take its value; or the text around a key is so unusual that the edit cannot be proved harmless.
    """
    source = split(data)
    before, entries = find(source.head)
    _refuse_newer(before)
    wanted = {key: checked(key, value) for key, value in values.items()}
    text = _edited(source, entries, wanted)
    result = data[: source.begin] + text.encode() + data[source.end :]
    _verify(source, result, before, wanted)
    return result


def _refuse_newer(before: Mapping[str, Any]) -> None:
    number = before.get("schema")
    if isinstance(number, str) and number.isascii() and number.isdigit() and int(number[:9]) > SCHEMA:
        raise newer_format(number[:9])


def newer_format(number: object, path: str = "") -> TaskFormatError:
    """The refusal to write into a file whose ``schema`` is newer than ours."""
    return TaskFormatError(
        f"the file is in format {number}, which this version does not write",
        hint="install a newer autopilot-core",
        path=path,
    )


def _edited(source: Source, entries: Mapping[str, Entry], wanted: Mapping[str, Any]) -> str:
    rows = source.data[source.begin : source.end].decode().split("\n")
    end = "\r" if source.crlf else ""
    indent = " " * next((entry.column for entry in entries.values()), 0)
    added = [
        line
        for key, raw in wanted.items()
        if key not in entries and raw is not None
        for line in lines(key, raw, indent)
    ]
    rows[-1:] = [*(line + end for line in added), ""]
    # From the bottom upwards, so that the places above stay right.
    for key in sorted(wanted.keys() & entries.keys(), key=lambda key: -entries[key].line):
        entry = entries[key]
        rows[entry.line : entry.last_line + 1] = _replaced(rows, entry, wanted[key], indent)
    return "\n".join(rows)


def _replaced(rows: list[str], entry: Entry, raw: Any, indent: str) -> list[str]:
    if raw is None:
        return []
    line = rows[entry.line]
    end = "\r" if line.endswith("\r") else ""
    line = line.removesuffix("\r")
    rest = _rest(line, rows[entry.last_line].removesuffix("\r"), entry)
    if not one_line(raw):
        return [line[: entry.colon] + rest.rstrip() + end, *(row + end for row in below(raw, indent))]
    has_gap = entry.value_line == entry.line and entry.value_column > entry.colon
    start = line[: entry.value_column] if has_gap else line[: entry.colon] + " "
    return [start + inline(raw) + rest + end]


def _rest(line: str, last: str, entry: Entry) -> str:
    """What follows the value on the key's line and is not the value's: spaces and a comment."""
    if entry.value_line != entry.line:
        rest = line[entry.colon :]
    elif entry.header:
        found = _HEADER.match(line, entry.value_column)
        rest = (found and found[1]) or ""
    else:
        rest = last[entry.last_column :]
    return f" {rest}" if rest.startswith("#") else rest


def _verify(source: Source, result: bytes, before: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    after = split(result)
    read = read_head(after.head)
    expected = [(key, wanted.get(key, raw)) for key, raw in before.items() if wanted.get(key, "") is not None]
    expected += [(key, raw) for key, raw in wanted.items() if key not in before and raw is not None]
    if list(read.items()) != expected or after.data[after.body :] != source.data[source.body :]:
        raise TaskFormatError(
            f"setting {', '.join(wanted)} here would change other keys",
            hint="write the frontmatter as plain `key: value` lines",
        )
