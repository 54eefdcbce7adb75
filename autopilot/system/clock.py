"""Time, injected: everything that asks for the time asks a ``Clock``."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "format_instant", "parse_instant"]


class Clock(Protocol):
    """A source of time.

    Wall time is for people and for instants that cross processes as text; it may jump. Durations and lease
    deadlines use ``monotonic``, which neither jumps nor counts a suspended machine (Linux CLOCK_MONOTONIC).
    """

    def now(self) -> datetime:
        """The wall clock, as an aware UTC datetime."""
        ...

    def monotonic(self) -> float:
        """Seconds since some point of this boot; the same for all processes of this host."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The wall clock, as an aware UTC datetime."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some point of this boot."""
        return time.monotonic()


def format_instant(instant: datetime) -> str:
    """``2026-11-22T09:14:03.123456Z``: fixed width, so that text order is time order."""
    # Twice as fast as strftime, which also writes the year 999 with three digits.
    return instant.astimezone(UTC).isoformat("T", "microseconds")[:26] + "Z"


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant; one without an offset is taken as UTC.

    Raises:
        ValueError: the text is no ISO 8601 instant.
    """
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
