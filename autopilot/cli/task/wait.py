"""``task wait``."""

from __future__ import annotations

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_ids, find_ids
from autopilot.cli.numbers import AMOUNT
from autopilot.cli.output import print_rows
from autopilot.cli.taskview import COLUMNS, task_row
from autopilot.cli.waiting import wait_for
from autopilot.errors import DeadlineError

__all__ = ["wait"]


@click.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ids)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=AMOUNT,
    help="Give up after so many seconds (exit code 124).",
)
@common_options
@pass_app
def wait(app: App, task_ids: tuple[str, ...], timeout: float | None) -> int:
    """Wait until tasks have ended.

    Exit code 0 when all are done, 1 when one is blocked, cancelled or invalid, 124 when the time is up. It starts
    nothing: a dispatcher must be running, or be run. Results of attempts that ended are adopted.
    """
    ids = find_ids(app, task_ids)
    late: DeadlineError | None = None
    try:
        wait_for(app, ids, timeout=timeout)
    except DeadlineError as fault:
        late = fault
    store = app.control.store
    rows = [task_row(store.get(task_id), store) for task_id in ids]
    print_rows(app.format, rows, COLUMNS)
    if late is not None:
        raise late
    return 0 if all(row["status"] == "done" for row in rows) else 1
