"""``autopilotctl stats``."""

from __future__ import annotations

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.output import Column, print_lines, print_record, print_rows

__all__ = ["stats"]


TASKS = (Column("STATUS", "status"), Column("TASKS", "count"))
FIGURES = (
    Column("EXECUTOR", "executor"),
    Column("TASK TYPE", "task_type"),
    Column("RUNS", lambda row: f"{row['runs']:.1f}"),
    Column("SUCCESSES", lambda row: f"{row['successes']:.1f}"),
    Column("EXPECTED", lambda row: f"{row['mean']:.2f} ± {row['sd']:.2f}"),
    Column("COST", lambda row: f"${row['cost_usd']:.2f}"),
    Column("MINUTES", lambda row: f"{row['minutes']:.1f}"),
)


@click.command()
@common_options
@pass_app
def stats(app: App) -> None:
    """Show what the executors achieved.

    Runs and successes are discounted: old ones count less. EXPECTED is the chance of success that routing
    reckons with. With -o name: the executors that achieved something.
    """
    answer = app.control.stats()
    if app.format == "name":
        print_lines(dict.fromkeys(row["executor"] for row in answer["executors"]))
        return
    if app.format != "table":
        print_record(app.format, answer, ())
        return
    counts = [{"status": status, "count": count} for status, count in answer["tasks"].items()]
    print_rows("table", counts, TASKS)
    if answer["executors"]:
        print_lines([""] if counts else [])
        print_rows("table", answer["executors"], FIGURES)
    if not counts:
        app.note("no tasks yet")
