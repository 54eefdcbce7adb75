"""``task edit``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from autopilot.cli.app import App, common_options, on_terminal, pass_app
from autopilot.cli.find import complete_ids, find_task
from autopilot.cli.output import print_rows
from autopilot.cli.taskview import COLUMNS, task_row
from autopilot.errors import AutopilotError, BusyError, TaskFormatError, UsageError

if TYPE_CHECKING:
    from autopilot.models import InvalidTask, Task

__all__ = ["edit"]


@click.command()
@click.argument("task_id", metavar="ID", shell_complete=complete_ids)
@click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, help="Set a key; lists as a,b or [a, b].")
@click.option("--unset", metavar="KEY", multiple=True, help="Remove a key.")
@common_options
@pass_app
def edit(app: App, *, task_id: str, settings: tuple[str, ...], unset: tuple[str, ...]) -> None:
    """Change a task in your editor, or single keys with --set.

    Only the bytes of the keys that are set change. A running attempt goes on with the text that it began with.
    """
    task = find_task(app, task_id)
    changed = _set(app, task, settings, unset) if settings or unset else _in_editor(app, task)
    print_rows(app.format, [task_row(changed, app.control.store)], COLUMNS)


def _set(app: App, task: Task | InvalidTask, settings: Sequence[str], unset: Sequence[str]) -> Task:
    from autopilot.cli.task.assign import assignments, remarks
    from autopilot.models import InvalidTask

    app.control.refuse_network()
    values = assignments(settings, unset)
    try:
        changed = app.control.store.edit(task.id, values)
    except TaskFormatError as fault:
        if isinstance(task, InvalidTask):
            fault.path = task.path
            raise
        raise UsageError(fault.message, hint=fault.hint) from None
    for remark in remarks(values):
        app.note(remark)
    app.control.store.notify()
    return changed


def _in_editor(app: App, task: Task | InvalidTask) -> Task:
    from autopilot.cli.editor import edited
    from autopilot.system.durable import read_file

    if not on_terminal():
        raise UsageError(
            "there is no terminal to edit on", hint=f"autopilotctl task edit {task.id} --set KEY=VALUE"
        )
    app.control.refuse_network()
    before = read_file(task.path)

    def advice(fault: AutopilotError, path: str) -> str:
        if fault.code == "changed":
            return f"compare it with {task.path}, and edit the task again"
        return f"mend it, then cp {path} {task.path}"

    with edited(before, advice) as after:
        if after == before:
            app.note("nothing was changed")
        changed = _put(app, task, before, after)
    app.control.store.notify()
    return changed


def _put(app: App, task: Task | InvalidTask, before: bytes, after: bytes) -> Task:
    """Store the text, and with it what Autopilot wrote into the file since it was read."""
    from autopilot.system.durable import read_file
    from autopilot.taskfile.merge import merge

    while True:
        try:
            return app.control.store.replace_text(task.id, after, digest=hashlib.sha256(before).hexdigest())
        except BusyError as fault:
            now = read_file(task.path) if fault.code == "changed" else before
            merged = None if now == before else merge(before, after, now)
            if merged is None:
                raise
            before, after = now, merged
