"""``task show`` and ``task status``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.attempts import attempt_rows
from autopilot.cli.find import complete_ids, find_task
from autopilot.cli.output import Column, print_lines, print_record, print_rows
from autopilot.cli.taskview import task_row

if TYPE_CHECKING:
    from autopilot.models import InvalidTask, Task

__all__ = ["show", "status"]

ATTEMPTS = (
    Column("TRY", "attempt"),
    Column("EXECUTOR", "executor"),
    Column("OUTCOME", lambda row: row["outcome"] or "running"),
    Column("SECONDS", lambda row: None if row["duration_s"] is None else f"{row['duration_s']:.1f}"),
    Column("VERIFIED", "verified"),
    Column("COST", lambda row: None if row["cost_usd"] is None else f"${row['cost_usd']:.2f}"),
    Column("MESSAGE", "message", wide=True),
)

COUNTS = (Column("STATUS", "status"), Column("TASKS", "count"))

_MORE = (
    "command",
    "verify",
    "requires",
    "touches",
    "acceptance_criteria",
    "repo",
    "workspace",
    "model",
    "timeout_minutes",
    "max_attempts",
    "budget_usd",
    "on_unavailable",
    "review",
    "origin",
    "extra",
)


@click.command()
@click.argument("task_id", metavar="ID", shell_complete=complete_ids)
@common_options
@pass_app
def show(app: App, task_id: str) -> None:
    """Show one task with its text and its attempts."""
    task = find_task(app, task_id)
    row = {**_full_row(app, task), "attempts": attempt_rows(app.control, task)}
    print_record(app.format, row, _lines(row))
    if app.format != "table":
        return
    if row["attempts"]:
        print_lines([""])
        print_rows("table", row["attempts"], ATTEMPTS, name="attempt")
    if row["body"].strip():
        print_lines(["", *row["body"].strip("\n").split("\n")])


@click.command()
@click.argument("task_id", metavar="[ID]", required=False, shell_complete=complete_ids)
@common_options
@pass_app
def status(app: App, task_id: str | None) -> None:
    """Show one task in short, or how many there are of each status."""
    store = app.control.store
    if task_id is not None:
        row = task_row(find_task(app, task_id), store)
        print_record(app.format, row, _lines(row))
        return
    counts = Counter(str(getattr(task, "status", "invalid")) for task in store.tasks())
    rows = [{"status": name, "count": number} for name, number in sorted(counts.items())]
    if not rows and app.format == "table":
        app.note("no tasks yet")
    print_rows(app.format, rows, COUNTS, name="status")


def _full_row(app: App, task: Task | InvalidTask) -> dict[str, Any]:
    from autopilot.models import Task
    from autopilot.models.wire import dump

    row = task_row(task, app.control.store)
    if not isinstance(task, Task):
        return {**row, "body": ""}
    values = dump(task)
    return {**row, **{key: values[key] for key in _MORE}, "body": task.body}


def _lines(row: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for key in ("id", "title", "status", "priority", "task_type", "executor", "attempt", "tags", "depends_on"):
        yield key.replace("_", " "), row[key]
    for key in ("not_before", "created_at", "updated_at", "path"):
        yield key.replace("_", " "), row[key]
    for key in _MORE:
        yield key.replace("_", " "), row.get(key) or None
    reason = row["reason"]
    if reason:
        yield "reason", f"{reason['message']} ({reason['code']})"
        yield "hint", reason["hint"]
    for key, value in (row["result"] or {}).items():
        if key != "reason":
            yield f"result {key}", value
