"""``autopilotctl doctor``: what is wrong with this machine and this root, and how to mend it."""

from __future__ import annotations

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.output import Column, print_rows

__all__ = ["doctor"]

SETUP_MISSING = 4
COLUMNS = (
    Column("CHECK", "check"),
    Column("STATUS", "status"),
    Column("DETAIL", "detail", wide=True),
    Column("HINT", "hint", wide=True),
)


@click.command()
@common_options
@pass_app
def doctor(app: App) -> int:
    """Check this machine and this root, and say what to mend.

    Each check is ok, warn (something to know) or fail (to be mended). Exit code 4 when one failed. Nothing is
    written, also where there is no root yet.
    """
    from autopilot.cli.doctor.checks import examine

    findings = list(examine(app))
    print_rows(app.format, [finding.row() for finding in findings], COLUMNS, name="check")
    failed = sum(finding.status == "fail" for finding in findings)
    if app.format == "table":
        app.note(f"{failed} to be mended" if failed else "all is well")
    return SETUP_MISSING if failed else 0
