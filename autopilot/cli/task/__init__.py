"""``autopilotctl task``: everything about single tasks."""

from __future__ import annotations

from collections.abc import Mapping

import click

from autopilot.cli.lazy import Entry, LazyGroup

__all__ = ["task"]

_HERE = "autopilot.cli.task"

COMMANDS: Mapping[str, Entry] = {
    "create": Entry(f"{_HERE}.create:create", "Make a task from options, from a file, or in your editor."),
    "list": Entry(f"{_HERE}.listing:list_", "List tasks, unreadable files included."),
    "show": Entry(f"{_HERE}.show:show", "Show one task with its text and its attempts."),
    "status": Entry(f"{_HERE}.show:status", "Show one task in short, or how many there are of each status."),
    "edit": Entry(f"{_HERE}.edit:edit", "Change a task in your editor, or single keys with --set."),
    "wait": Entry(f"{_HERE}.wait:wait", "Wait until tasks have ended."),
    "cancel": Entry(f"{_HERE}.steer:cancel", "Cancel tasks; running ones are stopped."),
    "retry": Entry(f"{_HERE}.steer:retry", "Make blocked tasks pending again (with --force also ended ones)."),
    "logs": Entry(f"{_HERE}.logs:logs", "Print what an attempt wrote."),
    "why": Entry(f"{_HERE}.why:why", "Say why a task runs, or does not."),
}


@click.command(cls=LazyGroup, entries=COMMANDS)
def task() -> None:
    """Create, list, show, edit and steer tasks."""
