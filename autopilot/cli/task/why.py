"""``task why``, and ``why`` at the top level: why a task runs, or does not."""

from __future__ import annotations

from typing import Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_ids, find_id
from autopilot.cli.output import Column, print_lines, print_record, print_rows

__all__ = ["why"]

CANDIDATES = (
    Column("EXECUTOR", "executor"),
    Column("ELIGIBLE", "eligible"),
    Column("SCORE", lambda row: None if row["score"] is None else f"{row['score']:.3f}"),
    Column("WHY", "why", wide=True),
)


@click.command()
@click.argument("task_id", metavar="ID", shell_complete=complete_ids)
@common_options
@pass_app
def why(app: App, task_id: str) -> None:
    """Say why a task runs, or does not.

    Prints every condition that the task must pass and every executor that was considered, with its numbers.
    """
    answer = app.control.why(find_id(app, task_id))
    if app.format == "table":
        _explain(answer)
    else:
        print_record(app.format, answer, (), name="task_id")


def _explain(answer: dict[str, Any]) -> None:
    verb = "can start now" if answer["runnable"] else f"is {answer['status']}"
    print_lines([f"{answer['task_id']} {verb}{_because(answer)}"])
    # A single gate is the reason that was just told.
    for gate in answer["gates"] if len(answer["gates"]) > 1 else ():
        mark = "ok " if gate["ok"] else "NO "
        detail = f": {gate['detail']}" if gate["detail"] else ""
        hint = f" -> {gate['hint']}" if gate["hint"] and not gate["ok"] else ""
        print_lines([f"  {mark} {gate['name']}{detail}{hint}"])
    if answer["candidates"]:
        print_lines([""])
        print_rows("table", answer["candidates"], CANDIDATES, name="executor")


def _because(answer: dict[str, Any]) -> str:
    reason = answer.get("reason")
    if isinstance(reason, dict):
        hint = f" -> {reason['hint']}" if reason.get("hint") else ""
        return f": {reason['message']}{hint}"
    return f": {reason}" if reason else ""
