"""The table of keys for ``docs/reference/task-file.md``; ``python -m autopilot.taskfile.reference`` prints it."""

from __future__ import annotations

import sys

from autopilot.taskfile.fields import FIELDS, Field, Kind

__all__ = ["key_table", "main"]

_HEAD = "| key | type | default | meaning | example |\n|---|---|---|---|---|\n"


def key_table() -> str:
    """A Markdown table with a row for each key of the field table."""
    return _HEAD + "".join(_row(field) for field in FIELDS.values())


def _row(field: Field) -> str:
    name = f"`{field.name}` ✎" if field.owned else f"`{field.name}`"
    cells = (name, _type(field), field.default, field.meaning, f"`{field.name}: {field.example}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _type(field: Field) -> str:
    if field.kind is Kind.CHOICE:
        return " / ".join(f"`{word}`" for word in field.choices)
    return field.kind.value + _bounds(field)


def _bounds(field: Field) -> str:
    if field.minimum is None:
        return ""
    low = f"{'>' if field.above else '≥'} {field.minimum:g}"
    return f" {low}" if field.maximum is None else f" {low}, ≤ {field.maximum:,.0f}"


def main() -> None:
    """Print the table."""
    sys.stdout.write(key_table())


if __name__ == "__main__":
    main()
