"""A click group whose commands are imported when they are asked for.

The table of a group holds each command's address and its one-line help, so that ``--help`` imports none of
them; a test keeps the lines equal to what the commands say of themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from autopilot.system.near import did_you_mean

__all__ = ["Entry", "LazyGroup"]


class Entry(NamedTuple):
    """One command of a group: ``module:attribute``, and what ``--help`` says of it."""

    address: str
    help: str


class LazyGroup(click.Group):
    """A group over a table of ``Entry``.

    Args:
        entries: command name -> where it is; in the order in which ``--help`` lists them.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **attributes: Any) -> None:
        super().__init__(*args, **{"no_args_is_help": False, **attributes})
        self.entries = entries

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a group without a command prints its help and is content."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), color=ctx.color)
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table, then those that were added."""
        return [*self.entries, *(name for name in sorted(self.commands) if name not in self.entries)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and hand the command over; None for an unknown name."""
        if cmd_name not in self.entries:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.entries[cmd_name].address.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        assert isinstance(found, click.Command)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        rows = [(name, self._line(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is refused with the nearest names."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            self._refuse(ctx, name)
        return super().resolve_command(ctx, args)

    def _line(self, ctx: click.Context, name: str) -> str:
        if name in self.entries:
            return self.entries[name].help
        command = self.get_command(ctx, name)
        return command.get_short_help_str(90) if command else ""

    def _refuse(self, ctx: click.Context, name: str) -> None:
        guess = did_you_mean(name, self.list_commands(ctx))
        ctx.fail(f"No such command {name!r}" + (f"; {guess}" if guess else "."))
