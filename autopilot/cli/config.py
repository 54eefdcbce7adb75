"""``autopilotctl config``."""

from __future__ import annotations

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.lazy import LazyGroup
from autopilot.cli.output import Column, print_rows

__all__ = ["config"]

VALUE = Column("VALUE", lambda row: _shown(row["value"]), wide=True)
COLUMNS = (Column("KEY", "key"), VALUE)
WITH_ORIGIN = (Column("KEY", "key"), VALUE, Column("ORIGIN", "origin", wide=True))


@click.command(cls=LazyGroup, entries={})
def config() -> None:
    """Show the settings, and where each comes from."""


@config.command()
@click.option("--origin", is_flag=True, help="Also say where each value comes from.")
@common_options
@pass_app
def show(app: App, origin: bool) -> None:
    """Show every setting in force, defaults included.

    A wrong setting ends it with exit code 5, and the file, line and key at fault.
    """
    from autopilot.config.load import origins
    from autopilot.system.redact import Redactor

    found = origins(app.control.root.config_path, app.environ)
    hide = Redactor(app.control.settings.secrets()).values
    rows = [
        {"key": key, "value": hide(value), **({"origin": where} if origin else {})} for key, value, where in found
    ]
    print_rows(app.format, rows, WITH_ORIGIN if origin else COLUMNS, name="key")


def _shown(value: object) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value, default=list)
