"""``autopilotctl events``."""

from __future__ import annotations

from collections.abc import Mapping

import click

from autopilot.cli.lazy import Entry, LazyGroup

__all__ = ["events"]

COMMANDS: Mapping[str, Entry] = {
    "tail": Entry("autopilot.cli.eventlog:tail", "Print the last events, and with -f those to come."),
    "verify": Entry("autopilot.cli.eventlog:verify", "Check the hash chain of the whole log."),
    "gc": Entry("autopilot.cli.eventlog:gc", "Delete old segments of the log, whole."),
    "publish": Entry("autopilot.cli.channels:publish", "Send a message to a channel."),
    "subscribe": Entry("autopilot.cli.channels:subscribe", "Print the messages of a channel."),
}


@click.command(cls=LazyGroup, entries=COMMANDS)
def events() -> None:
    """Read and verify the event log; publish and subscribe."""
