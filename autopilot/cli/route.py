"""``autopilotctl route``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_ids, find_task
from autopilot.cli.lazy import LazyGroup
from autopilot.cli.output import Column, print_lines, print_record, print_rows

if TYPE_CHECKING:
    from autopilot.models import Decision, InvalidTask

__all__ = ["route"]

COLUMNS = (
    Column("EXECUTOR", "executor"),
    Column("ELIGIBLE", "eligible"),
    Column("SCORE", lambda row: _number(row["score"])),
    Column("CONFIDENCE", lambda row: _number(row["confidence"])),
    Column("WHY", "why", wide=True),
)


@click.command(cls=LazyGroup, entries={})
def route() -> None:
    """Explain which executor a task would get."""


@route.command()
@click.argument("task_id", metavar="ID", shell_complete=complete_ids)
@common_options
@pass_app
def explain(app: App, task_id: str) -> None:
    """Explain which executor a task would get now, with every term of every score.

    Answers for every task in every state; nothing is started and nothing is written.
    """
    from autopilot.models import InvalidTask
    from autopilot.models.wire import dump

    task = find_task(app, task_id)
    if isinstance(task, InvalidTask):
        answer = {**dump(_unreadable(task)), "status": "invalid"}
    else:
        answer = {**dump(app.control.decide(task)), "status": str(task.status)}
    if app.format == "table":
        _print(answer)
    else:
        print_record(app.format, answer, (), name="task_id")


def _unreadable(broken: InvalidTask) -> Decision:
    from autopilot.models import Decision

    place = f" (line {broken.line}, column {broken.column})" if broken.line else ""
    return Decision(
        task_id=broken.id,
        executor=None,
        reason_code="task_invalid",
        reason=f"the file cannot be read: {broken.message}{place}",
        hint=broken.hint,
    )


def _print(answer: dict[str, Any]) -> None:
    chosen = f"{answer['executor'] or 'nobody'}: "
    print_lines([f"{answer['task_id']} -> {chosen}{answer['reason'].removeprefix(chosen)}"])
    if answer["hint"]:
        print_lines([f"  -> {answer['hint']}"])
    if answer["candidates"]:
        print_lines([""])
        print_rows("table", answer["candidates"], COLUMNS, name="executor")
    for candidate in answer["candidates"]:
        for term in candidate["terms"]:
            print_lines([f"  {candidate['executor']}: {term['value']:+.3f} {term['name']}: {term['detail']}"])


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
