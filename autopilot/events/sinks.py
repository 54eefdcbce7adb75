"""Where appended events go next: one callback, which whoever knows the plugins supplies."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from autopilot.models import Event

__all__ = ["OnAppended", "deliver"]

OnAppended = Callable[[Sequence[Event]], None]
"""Called after events are in the log, without any lock held, in the process that appended them."""

_logger = logging.getLogger(__name__)


def deliver(sink: OnAppended | None, events: Sequence[Event]) -> None:
    """Hand events on. They are in the log already, so a sink's fault is noted and never reaches the caller:
    an append that raised would be repeated."""
    if sink is None or not events:
        return
    try:
        sink(events)
    except Exception:
        _logger.exception("a sink failed on %d events", len(events))
