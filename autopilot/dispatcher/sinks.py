"""Hands the log's events to the sinks: in order, at least once, by one dispatcher at a time.

The position is kept in a file, so that events logged by runners, by other commands or by a dispatcher that died
reach the sinks, too. Where no position is known yet, delivery begins with what comes next: a new sink is not
flooded with the past.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from autopilot.models import Event
from autopilot.system.durable import ensure_folder, read_file, replace_file
from autopilot.system.locks import FileLock

__all__ = ["SinkFeed"]


class SinkFeed:
    """Feeds sinks from the log.

    Args:
        deliver: gives one event to every sink; must not raise.
    """

    def __init__(self, events_folder: str, state_folder: str, deliver: Callable[[Event], None]) -> None:
        self._events = events_folder
        self._path = os.path.join(state_folder, "cursors", "sinks")
        self._lock = FileLock(os.path.join(state_folder, "locks", "sinks"))
        self._deliver = deliver

    def begin(self) -> None:
        """Fix the position of a feed that is new, so that what comes next is delivered."""
        if not os.path.exists(self._path):
            from autopilot.events.reader import end_cursor

            self._keep(end_cursor(self._events))

    def pump(self) -> int:
        """Deliver what is new, unless another dispatcher is doing so; how many events."""
        if not self._lock.try_acquire():
            return 0
        try:
            return self._pump()
        finally:
            self._lock.release()

    def _pump(self) -> int:
        from autopilot.events.reader import Reader

        reader = Reader(self._events, self._position())
        count = 0
        try:
            for record in reader.records():
                event = _event(record.line)
                if event is not None:
                    self._deliver(event)
                    count += 1
            if count:
                self._keep(reader.cursor)
        finally:
            reader.close()
        return count

    def _position(self) -> str | None:
        try:
            return read_file(self._path).decode("ascii").strip() or None
        except (OSError, UnicodeDecodeError):
            return None

    def _keep(self, cursor: str) -> None:
        ensure_folder(os.path.dirname(self._path))
        replace_file(self._path, cursor.encode(), point="sinks.cursor", sync=False)


def _event(line: bytes) -> Event | None:
    try:
        return Event(**json.loads(line))
    except (ValueError, TypeError):
        return None
