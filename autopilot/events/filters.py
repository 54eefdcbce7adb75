"""Which events a reader wants."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable
from datetime import datetime

from autopilot.events.ids import task_of
from autopilot.events.record import Record, Summary, summary
from autopilot.system.clock import format_instant

__all__ = ["Filter"]


class Filter:
    """Decides by a line's head, so that payloads of unwanted events are never parsed.

    Args:
        types: globs over event types (``task.*``), one or many; None for all.
        task: the id of a task: events with this trace, or with an id of this task.
        since: events of this instant or later, by the timestamps in them.
    """

    def __init__(
        self, *, types: str | Iterable[str] | None = None, task: str | None = None, since: datetime | None = None
    ) -> None:
        globs = [types] if isinstance(types, str) else list(types or ())
        self._types = re.compile("|".join(fnmatch.translate(glob) for glob in globs)) if globs else None
        self._task = task or None
        self.since = format_instant(since) if since else ""

    def wants(self, record: Record) -> bool:
        """Whether the line is an event, and one that is wanted."""
        if self._types or self._task or self.since:
            head = summary(record.line)
            return head is not None and self._accepts(head) and record.is_event
        return record.is_event

    def _accepts(self, head: Summary) -> bool:
        if self._types and not self._types.match(head.event_type):
            return False
        if self.since and head.timestamp < self.since:
            return False
        return self._task is None or self._task in (head.trace_id, task_of(head.id))
