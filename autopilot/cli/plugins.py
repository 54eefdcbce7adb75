"""``autopilotctl plugins``."""

from __future__ import annotations

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.lazy import LazyGroup
from autopilot.cli.output import Column, print_rows

__all__ = ["plugins"]

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
    reports = app.control.plugins.reports()
    rows = [
        {
            "name": report.name,
            "distribution": report.distribution,
            "version": report.version,
            "status": str(report.status),
            "reason": report.reason,
            "hooks": sorted(report.hooks),
        }
        for report in reports
    ]
    print_rows(app.format, rows, COLUMNS, name="name")
