"""The top group: the core's own commands, and those of plugins when somebody asks for them."""

from __future__ import annotations

import click

from autopilot.cli.app import App
from autopilot.cli.lazy import LazyGroup

__all__ = ["PluggedGroup"]


class PluggedGroup(LazyGroup):
    """A ``LazyGroup`` that asks the plugins for a command that it does not know, and for ``--help``.

    A plugin cannot take the name of a core command: the table is asked first.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The core's command, else a plugin's."""
        found = super().get_command(ctx, cmd_name)
        if found is None and not cmd_name.startswith("-") and not ctx.resilient_parsing:
            self._ask_plugins(ctx)
            found = super().get_command(ctx, cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the core's commands, then the plugins'."""
        self._ask_plugins(ctx, listing=True)
        super().format_commands(ctx, formatter)

    def _ask_plugins(self, ctx: click.Context, *, listing: bool = False) -> None:
        app = ctx.find_object(App)
        if app is None:
            return
        from autopilot.cli.plugin_commands import add_commands, nobody_adds

        if not (listing and nobody_adds(app)):
            add_commands(self, app)
