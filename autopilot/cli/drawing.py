"""Tables on a terminal. The only module that imports rich, which costs more than most commands do."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["draw_table"]

_COLOURS = {
    "done": "green",
    "in_progress": "cyan",
    "claimed": "cyan",
    "blocked": "red",
    "invalid": "red",
    "broken": "red",
    "cancelled": "dim",
    "critical": "bold red",
    "high": "yellow",
}


def draw_table(columns: Sequence[tuple[str, bool]], cells: Sequence[Sequence[str]]) -> None:
    """Draw on stdout; honours NO_COLOR and TERM=dumb.

    Args:
        columns: each heading, and whether the column gives way when the terminal is narrow.
        cells: texts without control characters; they are taken literally, never as markup.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for title, wide in columns:
        table.add_column(title, no_wrap=not wide, overflow="ellipsis" if not wide else "fold")
    for row in cells:
        table.add_row(*(Text(cell, style=_COLOURS.get(cell.split(" ")[0], "")) for cell in row))
    Console(highlight=False).print(table)
