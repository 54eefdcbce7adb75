"""``task cancel`` and ``task retry``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.faults import explain, tell
from autopilot.cli.find import complete_ids, find_ids
from autopilot.cli.numbers import AMOUNT
from autopilot.cli.output import Column, print_rows
from autopilot.cli.stdout import flush
from autopilot.cli.taskview import COLUMNS, task_row
from autopilot.cli.waiting import wait_for
from autopilot.errors import AutopilotError, DeadlineError

__all__ = ["cancel", "retry"]

CANCELS = (Column("ID", "task_id"), Column("CANCEL", "cancel"))


@click.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ids)
@click.option("--wait", "waits", is_flag=True, help="Wait until the tasks have ended.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=AMOUNT,
    help="With --wait: give up after so many seconds.",
)
@common_options
@pass_app
def cancel(app: App, task_ids: tuple[str, ...], waits: bool, timeout: float | None) -> int:
    """Cancel tasks; running ones are stopped.

    A task that runs is asked to stop (`requested`): its runner ends the whole process tree, and the next tick
    writes down that it is cancelled. One that nobody holds is `cancelled` at once. Of several, one that cannot
    be cancelled does not stop the others; the exit code is that of the first one.
    """

    def row(task_id: str) -> dict[str, Any]:
        return {"task_id": task_id, "cancel": app.control.cancel(task_id)}

    done, code = _each(app, task_ids, row, CANCELS, name="task_id")
    if waits:
        code = _first(code, _waited(app, done, timeout))
    return code


@click.command()
@click.argument("task_ids", metavar="ID...", nargs=-1, required=True, shell_complete=complete_ids)
@click.option("--force", is_flag=True, help="Also tasks that are done or cancelled: a new attempt.")
@common_options
@pass_app
def retry(app: App, task_ids: tuple[str, ...], force: bool) -> int:
    """Make blocked tasks pending again (with --force also ended ones).

    The count of used attempts starts again; the attempt numbers go on growing. Of several, one that cannot be
    retried does not stop the others; the exit code is that of the first one.
    """

    def row(task_id: str) -> dict[str, Any]:
        return task_row(app.control.retry(task_id, force=force), app.control.store)

    return _each(app, task_ids, row, COLUMNS, name="id")[1]


def _each(
    app: App, wanted: Sequence[str], work: Callable[[str], dict[str, Any]], columns: Sequence[Column], *, name: str
) -> tuple[list[str], int]:
    """Do the work on every task, whatever becomes of the others: a row each on stdout, or a fault on stderr.

    Returns:
        The ids where it was done, and the exit code of the first fault.
    """
    rows: list[dict[str, Any]] = []
    faults: list[AutopilotError] = []
    try:
        for task_id in find_ids(app, wanted):
            try:
                rows.append(work(task_id))
            except AutopilotError as fault:
                faults.append(fault)
    finally:
        # What was done is done, also where something ends the loop.
        print_rows(app.format, rows, columns, name=name)
    flush()
    codes = [_told(app, fault) for fault in faults]
    return [row[name] for row in rows], _first(*codes)


def _waited(app: App, ids: Sequence[str], timeout: float | None) -> int:
    try:
        wait_for(app, ids, timeout=timeout)
    except DeadlineError as late:
        return _told(app, late)
    return 0


def _told(app: App, fault: AutopilotError) -> int:
    return tell(explain(fault), as_json=app.format in ("json", "ndjson"))


def _first(*codes: int) -> int:
    return next((code for code in codes if code), 0)
