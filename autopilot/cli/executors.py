"""``autopilotctl executors``."""

from __future__ import annotations

from typing import Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_executors, find_executor
from autopilot.cli.lazy import LazyGroup
from autopilot.cli.output import Column, print_rows

__all__ = ["executors"]

COLUMNS = (
    Column("NAME", "name"),
    Column("HEALTHY", "healthy"),
    Column("RUNNING", lambda row: f"{row['running']}/{'-' if row['slots'] is None else row['slots']}"),
    Column("CAPABILITIES", "capabilities"),
    Column("PLUGIN", "plugin"),
    Column("RESTS UNTIL", "cooldown_until"),
    Column("REASON", "reason", wide=True),
)

PROBES = (
    Column("NAME", "name"),
    Column("HEALTHY", "healthy"),
    Column("VERSION", "version"),
    Column("REASON", "reason", wide=True),
    Column("HINT", "hint", wide=True),
)

SETUP_MISSING = 4
NONE_INSTALLED = "no executor is installed; `pip install autopilot-adapter-local` brings the first"


@click.command(cls=LazyGroup, entries={})
def executors() -> None:
    """List, probe and reset executors."""


@executors.command("list")
@common_options
@pass_app
def list_(app: App) -> None:
    """List the executors, with their health, slots and what rests."""
    rows = app.control.executor_rows()
    if not rows and app.format == "table":
        app.note(NONE_INSTALLED)
    print_rows(app.format, rows, COLUMNS, name="name")


@executors.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_executors)
@common_options
@pass_app
def probe(app: App, names: tuple[str, ...]) -> int:
    """Look afresh whether executors can be used, and how to mend those that cannot.

    Exit code 4 when one of them cannot be used.
    """
    wanted = [find_executor(app, name) for name in names] or sorted(app.control.executors)
    if not wanted and app.format == "table":
        app.note(NONE_INSTALLED)
    rows = [_probe(app, name) for name in wanted]
    print_rows(app.format, rows, PROBES, name="name")
    return 0 if all(row["healthy"] for row in rows) else SETUP_MISSING


@executors.command()
@click.argument("name", metavar="NAME", shell_complete=complete_executors)
@common_options
@pass_app
def reset(app: App, name: str) -> None:
    """Close the breaker and end the rest of one executor, because its cause is mended."""
    name = find_executor(app, name)
    app.writable().reset_executor(name)
    if app.format == "table":
        app.note(f"{name} may be tried again")
    else:
        print_rows(
            app.format, [row for row in app.control.executor_rows() if row["name"] == name], (), name="name"
        )


def _probe(app: App, name: str) -> dict[str, Any]:
    health = app.control.health(name, fresh=True)
    return {
        "name": name,
        "healthy": health.ok,
        "reason": health.reason,
        "hint": health.hint,
        "version": health.version,
        "dialect": health.dialect,
        "warning": health.warning,
    }
