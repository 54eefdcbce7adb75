"""``task list``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_executors
from autopilot.cli.output import print_rows
from autopilot.cli.taskview import COLUMNS, task_row

if TYPE_CHECKING:
    from autopilot.models import InvalidTask, Task

__all__ = ["list_"]

STATUSES = ("pending", "claimed", "in_progress", "done", "blocked", "cancelled", "invalid")
PRIORITIES = ("critical", "high", "medium", "low")


@click.command("list")
@click.option("--status", multiple=True, type=click.Choice(STATUSES), help="Only these; may be repeated.")
@click.option("--tag", multiple=True, help="Only tasks with all of these tags.")
@click.option("--executor", shell_complete=complete_executors, help="Only tasks of this executor.")
@click.option("--type", "task_type", help="Only tasks of this type.")
@click.option("--priority", multiple=True, type=click.Choice(PRIORITIES), help="Only these; may be repeated.")
@click.option("--sort", type=click.Choice(("id", "dispatch")), default="id", help="By id, or as they would start.")
@common_options
@pass_app
def list_(
    app: App,
    *,
    status: tuple[str, ...],
    tag: tuple[str, ...],
    executor: str | None,
    task_type: str | None,
    priority: tuple[str, ...],
    sort: str,
) -> None:
    """List tasks, unreadable files included.

    Tasks that are held show the state of their attempt; `autopilotctl why ID` says why one does not start.
    """
    store = app.control.store
    found = list(store.tasks())
    rows = [task_row(task, store) for task in (_in_order(app, found) if sort == "dispatch" else found)]
    wanted = {"status": status, "priority": priority}
    rows = [row for row in rows if all(not values or row[key] in values for key, values in wanted.items())]
    rows = [row for row in rows if set(tag) <= set(row["tags"]) and _is(row, "task_type", task_type)]
    rows = [row for row in rows if executor is None or executor in _executors(row)]
    if not rows and app.format == "table":
        app.note("no tasks match" if found else 'no tasks yet; `autopilotctl task create --title "…"` makes one')
    print_rows(app.format, rows, COLUMNS)


def _is(row: dict[str, Any], key: str, wanted: str | None) -> bool:
    return wanted is None or row[key] == wanted


def _executors(row: dict[str, Any]) -> tuple[Any, Any]:
    return row["executor"], (row["result"] or {}).get("executor")


def _in_order(app: App, tasks: Iterable[Task | InvalidTask]) -> list[Task | InvalidTask]:
    """What may run in the order of the dispatcher, then the others by id."""
    from autopilot.dispatcher.board import order_key
    from autopilot.models import InvalidTask
    from autopilot.store.contract import TaskSummary

    aging_s = app.control.settings.dispatcher.aging_hours * 3600

    def key(task: Task | InvalidTask) -> tuple[bool, float, str]:
        if isinstance(task, InvalidTask) or task.status not in ("pending", "blocked"):
            return True, 0.0, task.id
        created = task.created_at.timestamp() if task.created_at else 0.0
        summary = TaskSummary(id=task.id, status=task.status, priority=task.priority, created=created)
        return False, *order_key(summary, aging_s)

    return sorted(tasks, key=key)
