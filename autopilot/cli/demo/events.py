"""The demo's view of the event log."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control
    from autopilot.models import Event

__all__ = ["all_events"]

_MORE_THAN_ENOUGH = 10_000


def all_events(control: Control) -> list[Event]:
    """Every event of the demo's short log, the oldest first."""
    return [record.event for record in control.log.tail(_MORE_THAN_ENOUGH)]
