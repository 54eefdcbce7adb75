"""``task create``: from options, from a file, or in an editor; the core's own reader judges the result."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_executors, complete_ids
from autopilot.cli.numbers import AMOUNT, COUNT
from autopilot.cli.output import print_lines, print_record
from autopilot.cli.task.listing import PRIORITIES
from autopilot.cli.task.text import from_editor, from_file, from_options
from autopilot.cli.taskview import task_row
from autopilot.errors import UsageError

if TYPE_CHECKING:
    from autopilot.models import Task, TaskDraft

__all__ = ["create"]

_LISTS = ("tags", "depends_on", "verify", "requires", "touches", "acceptance_criteria")


@click.command()
@click.option("--id", "id_", metavar="ID", help="The task's id; a new one by default.")
@click.option("--title", help="What is to be done, in one line.")
@click.option("--priority", type=click.Choice(PRIORITIES), help="How urgent it is.")
@click.option("--type", "task_type", metavar="WORD", help="The kind of work; the router learns by it.")
@click.option("--command", metavar="LINE", help="A shell line, for shell executors.")
@click.option(
    "--executor", metavar="NAME", shell_complete=complete_executors, help="Only this executor may do it."
)
@click.option(
    "--timeout", "timeout_minutes", metavar="MINUTES", type=AMOUNT, help="The wall limit of one attempt."
)
@click.option("--tag", "tags", metavar="WORD", multiple=True, help="May be repeated.")
@click.option(
    "--depends-on",
    metavar="ID",
    multiple=True,
    shell_complete=complete_ids,
    help="Must be done first; repeatable.",
)
@click.option("--verify", metavar="LINE", multiple=True, help="A shell line that must exit 0; repeatable.")
@click.option("--requires", metavar="WORD", multiple=True, help="A capability it needs; repeatable.")
@click.option("--touches", metavar="GLOB", multiple=True, help="Paths that it will change; repeatable.")
@click.option(
    "--criteria", "acceptance_criteria", metavar="TEXT", multiple=True, help="When is it done; repeatable."
)
@click.option("--repo", metavar="FOLDER", type=click.Path(), help="The repository that it is about.")
@click.option("--workspace", type=click.Choice(("worktree", "repo", "none")), help="Where an attempt works.")
@click.option("--max-attempts", metavar="N", type=COUNT, help="How many attempts may be used up.")
@click.option("--budget", "budget_usd", metavar="USD", type=AMOUNT, help="What all attempts together may cost.")
@click.option("--model", help="The model, in the executor's own words.")
@click.option("-b", "--body", metavar="TEXT", help="The text below the frontmatter; - reads it from stdin.")
@click.option("-F", "--file", "file", metavar="FILE", help="A whole task file; - reads it from stdin.")
@common_options
@pass_app
def create(app: App, /, *, id_: str | None, body: str | None, file: str | None, **options: Any) -> None:
    """Make a task from options, from a file, or in your editor.

    Prints the id. With -F the other options change or add keys of the file. Without anything, and on a
    terminal, your editor opens with an empty task.
    """
    if id_ == "":
        # A variable of a script that was never set: a new id would be made with every run of it.
        raise UsageError("--id is empty", hint="leave --id out to get a new id")
    values = _given(app, options)
    if file == "-" and body == "-":
        raise UsageError("-F - and --body - both read stdin", hint="give one of them as text or as a file")
    if file is not None:
        task = _store(app, from_file(app, file, id_, values, body))
    elif "title" in values or "command" in values:
        task = _store(app, from_options(app, id_, values, body))
    else:
        with from_editor(app, id_, values, body) as draft:
            task = _store(app, draft)
    if app.format in ("table", "name"):
        print_lines([task.id])
    else:
        print_record(app.format, task_row(task, app.control.store), ())


def _given(app: App, options: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: list(value) if key in _LISTS else value for key, value in options.items()}
    given = {key: value for key, value in kept.items() if value not in (None, [])}
    repo = given.get("repo")
    if isinstance(repo, str) and not os.path.isabs(repo) and "://" not in repo:
        # Typed here, it is meant from here; in the file it counts from the project's folder.
        given["repo"] = os.path.relpath(os.path.expanduser(repo), app.control.root.project)
    return given


def _store(app: App, draft: TaskDraft) -> Task:
    return app.writable().create_task(draft)
