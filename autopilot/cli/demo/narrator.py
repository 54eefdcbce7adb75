"""What the demo says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autopilot.cli.demo.events import all_events
from autopilot.cli.output import Column, print_lines, print_rows
from autopilot.cli.taskview import COLUMNS, task_row

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control
    from autopilot.dispatcher.reports import TickReport

__all__ = ["Narrator"]

DECISIONS = (
    Column("TASK", "task"),
    Column("TRY", "attempt"),
    Column("EXECUTOR", "executor"),
    Column("CONFIDENCE", lambda row: None if row["confidence"] is None else f"{row['confidence']:.2f}"),
    Column("REASON", "reason", wide=True),
)

TRAIL = (
    Column("TIME", "time"),
    Column("TASK", "task"),
    Column("EVENT", "event"),
    Column("DETAIL", "detail", wide=True),
)


class Narrator:
    """Tells the demo's steps on stdout, each under a numbered heading."""

    def __init__(self) -> None:
        self._step = 0

    def heading(self, text: str) -> None:
        """Begin the next step."""
        self._step += 1
        print_lines(["", f"{self._step}. {text}", ""])

    def repository(self, path: str, *, passes: bool) -> None:
        """The repository as it is at the beginning."""
        self.heading(f"A git repository with a bug: {path}")
        print_lines([f"   $ python3 -m unittest    -> {'passes' if passes else 'FAILS, as it should for now'}"])

    def tasks(self, control: Control, title: str) -> None:
        """All tasks, as ``task list`` shows them."""
        self.heading(title)
        print_rows("table", [task_row(task, control.store) for task in control.store.tasks()], COLUMNS)

    def started(self, number: int, report: TickReport) -> None:
        """What a tick started."""
        begun = ", ".join(f"{one.task_id} (attempt {one.attempt}, {one.executor})" for one in report.started)
        print_lines([f"   tick {number}: {begun or 'nothing to start'}"])

    def ended(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """What became of it."""
        print_lines(f"           {row['task_id']}: {row['outcome']}" for row in rows)

    def decisions(self, control: Control) -> None:
        """Each decision, from the event log."""
        self.heading("The decisions, each with its reason (`autopilotctl route explain ID` shows every number)")
        rows = [
            {**event.payload, "task": event.trace_id}
            for event in all_events(control)
            if event.event_type == "dispatch.decision"
        ]
        print_rows("table", rows, DECISIONS, name="task")

    def trail(self, control: Control) -> None:
        """Every event."""
        self.heading("The trail: every fact, hash-chained, in .autopilot/events")
        rows = [
            {
                "time": event.timestamp[11:23],
                "task": event.trace_id,
                "event": event.event_type,
                "detail": _detail(event.payload),
            }
            for event in all_events(control)
        ]
        print_rows("table", rows, TRAIL, name="event")

    def end(self, complaints: Sequence[str], *, passes: bool) -> None:
        """The result."""
        self.heading("The result")
        print_lines([f"   $ python3 -m unittest    -> {'passes' if passes else 'FAILS'}"])
        if complaints:
            print_lines(["   Not as expected:", *(f"   - {text}" for text in complaints)])
        else:
            print_lines(["   All tasks ended as expected. Now your own:", *(f"   {line}" for line in _NEXT)])

    def kept(self, path: str) -> None:
        """Where to look round."""
        print_lines(["", f"Kept: cd {path} && autopilotctl task list"])


_NEXT = (
    '  autopilotctl task create --title "Say hello" --command "echo hello"',
    "  autopilotctl dispatch tick",
)


def _detail(payload: Mapping[str, Any]) -> str:
    for key in ("outcome", "executor", "why", "by"):
        if payload.get(key):
            return f"{key}: {payload[key]}"
    return ""
