"""``autopilotctl plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.lazy import LazyGroup
from autopilot.cli.output import Column, print_rows

if TYPE_CHECKING:
    from autopilot.plugins.manager import PluginReport

__all__ = ["plugin_reports", "plugins"]

COLUMNS = (
    Column("NAME", "name"),
    Column("STATUS", "status"),
    Column("DISTRIBUTION", "distribution"),
    Column("VERSION", "version"),
    Column("HOOKS", lambda row: [hook.removeprefix("autopilot_") for hook in row["hooks"]], wide=True),
    Column("REASON", "reason", wide=True),
)


@click.command(cls=LazyGroup, entries={})
def plugins() -> None:
    """List the installed plugins, broken ones with their reason."""


@plugins.command("list")
@common_options
@pass_app
def list_(app: App) -> None:
    """List the plugins, each with its status and, where something is wrong, the reason."""
    rows = [
        {
            "name": report.name,
            "distribution": report.distribution,
            "version": report.version,
            "status": str(report.status),
            "reason": report.reason,
            "hooks": sorted(report.hooks),
        }
        for report in plugin_reports(app)
    ]
    print_rows(app.format, rows, COLUMNS, name="name")


def plugin_reports(app: App) -> list[PluginReport]:
    """Every plugin, also judged by the executors that it supplies: two of one name are found only there."""
    assert app.control.executors is not None
    return app.control.plugins.reports()
