"""Data on stdout: as a table, as JSON, as a line of JSON each, or as names only.

Texts of tasks and agents are never trusted: tables show control characters made visible, and JSON has them
escaped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from autopilot.cli.stdout import write

__all__ = ["Column", "print_lines", "print_record", "print_rows", "to_json"]

Row = Mapping[str, Any]

_SHORT = 1000


class Column(NamedTuple):
    """One column of a table.

    Attributes:
        title: the heading.
        value: what to show of a row: its key, or a function of it.
        wide: this column may be cut or wrapped when the terminal is too narrow.
    """

    title: str
    value: str | Callable[[Row], object]
    wide: bool = False

    def text(self, row: Row) -> str:
        """The cell: empty for None, made harmless."""
        value = row.get(self.value) if isinstance(self.value, str) else self.value(row)
        if value is None:
            return ""
        text = value if isinstance(value, str) else _plain(value)
        if text.isascii() and text.isprintable() and len(text) < _SHORT:
            return text  # nearly every cell of a long table
        from autopilot.system.sanitize import visible

        return visible(text).replace("\n", " ")


def print_rows(form: str, rows: Sequence[Row], columns: Sequence[Column], *, name: str = "id") -> None:
    """Print a list of objects.

    Args:
        form: ``table``, ``json`` (one list), ``ndjson`` (an object a line) or ``name``.
        name: the key that ``name`` prints.
    """
    if form == "json":
        write(to_json(list(rows), indent=2) + "\n")
    elif form == "ndjson":
        write("".join(to_json(row) + "\n" for row in rows))
    elif form == "name":
        print_lines(str(row[name]) for row in rows)
    elif rows:
        _table(rows, columns)


def print_record(form: str, row: Row, lines: Iterable[tuple[str, object]], *, name: str = "id") -> None:
    """Print one object; ``lines`` are the label and value of each line of its table form, None left out."""
    if form == "json":
        write(to_json(row, indent=2) + "\n")
    elif form in ("ndjson", "name"):
        print_rows(form, [row], (), name=name)
    else:
        _record(list(lines))


def print_lines(lines: Iterable[str]) -> None:
    """Print plain lines, each made harmless for terminals."""
    from autopilot.system.sanitize import visible

    write("".join(visible(line, limit=0) + "\n" for line in lines))


def to_json(value: Any, *, indent: int | None = None) -> str:
    """JSON that is also harmless on a terminal, and one line where ``indent`` is None."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=_jsonable)
    if text.isascii() and "\x7f" not in text:
        return text
    from autopilot.system.sanitize import escaped

    # What JSON may hold as it is, but a terminal would act on, or a line reader break at.
    return escaped(text, lambda character: json.dumps(character)[1:-1])


def _jsonable(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else _plain(value)


def _plain(value: object) -> str:
    from datetime import datetime

    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        from autopilot.system.clock import format_instant

        return format_instant(value)
    if isinstance(value, Mapping):
        return to_json(value)
    if isinstance(value, set | frozenset):
        value = sorted(value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _table(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    cells = [[column.text(row) for column in columns] for row in rows]
    if sys.stdout.isatty():
        from autopilot.cli.drawing import draw_table

        draw_table([(column.title, column.wide) for column in columns], cells)
        return
    write("".join(f"{line}\n" for line in aligned([[column.title for column in columns], *cells])))


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """The table's lines with columns two spaces apart; the last column is not padded."""
    widths = [max(map(_width, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def _record(lines: list[tuple[str, object]]) -> None:
    shown = [(label, value) for label, value in lines if value not in (None, "", [], ())]
    from autopilot.system.sanitize import visible

    width = max((len(label) for label, _ in shown), default=0)
    for label, value in shown:
        first, *rest = _plain(value).split("\n")
        write(f"{label + ':':<{width + 1}}  {visible(first)}\n")
        write("".join(f"{'':<{width + 1}}  {visible(line)}\n" for line in rest))
