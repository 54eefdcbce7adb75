"""``task cancel`` and ``task retry``."""

from __future__ import annotations

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_ids, find_id
from autopilot.cli.output import Column, print_rows
from autopilot.cli.taskview import COLUMNS, task_row
from autopilot.cli.waiting import wait_for

__all__ = ["cancel", "retry"]

CANCELS = (Column("ID", "task_id"), Column("CANCEL", "cancel"))


@click.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ids)
@click.option("--wait", "waits", is_flag=True, help="Wait until the tasks have ended.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="With --wait: give up after so many seconds.",
)
@common_options
@pass_app
def cancel(app: App, task_ids: tuple[str, ...], waits: bool, timeout: float | None) -> None:
    """Cancel tasks; running ones are stopped.

    A task that runs is asked to stop (`requested`): its runner ends the whole process tree, and the next tick
    writes down that it is cancelled. One that nobody holds is `cancelled` at once.
    """
    ids = [find_id(app, task_id) for task_id in task_ids]
    rows = [{"task_id": task_id, "cancel": app.control.cancel(task_id)} for task_id in ids]
    print_rows(app.format, rows, CANCELS, name="task_id")
    if waits:
        wait_for(app, ids, timeout=timeout)


@click.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ids)
@click.option("--force", is_flag=True, help="Also tasks that are done or cancelled: a new attempt.")
@common_options
@pass_app
def retry(app: App, task_ids: tuple[str, ...], force: bool) -> None:
    """Make blocked tasks pending again (with --force also ended ones).

    The count of used attempts starts again; the attempt numbers go on growing.
    """
    ids = [find_id(app, task_id) for task_id in task_ids]
    rows = [task_row(app.control.retry(task_id, force=force), app.control.store) for task_id in ids]
    print_rows(app.format, rows, COLUMNS)
