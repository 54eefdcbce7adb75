"""One line of the log as a reader sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import attrs

from autopilot.models import Event

__all__ = ["Record", "Summary", "parse_line", "summary"]

# Our own lines have this head; the few that have not (a hand wrote them) are parsed as a whole.
_HEAD = re.compile(
    rb'\{"id":"([^"\\]*)","event_type":"([^"\\]*)","timestamp":"([^"\\]*)","source":"[^"\\]*","trace_id":(?:null|"([^"\\]*)"),'
)
_TEXT_KEYS = ("id", "event_type", "timestamp")


class Summary(NamedTuple):
    """What filters look at."""

    id: str
    event_type: str
    timestamp: str
    trace_id: str | None


def parse_line(line: bytes) -> dict[str, Any] | None:
    """A line (without its newline) as JSON, or None where it is no event."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in _TEXT_KEYS):
        return None
    return value if isinstance(value.get("payload"), dict) else None


def summary(line: bytes) -> Summary | None:
    """The head of a line without reading its payload; None where the line is no event."""
    found = _HEAD.match(line)
    if found and line.endswith(b"}"):
        trace = found[4]
        return Summary(
            found[1].decode(), found[2].decode(), found[3].decode(), None if trace is None else trace.decode()
        )
    value = parse_line(line)
    if value is None:
        return None
    trace_id = value.get("trace_id")
    return Summary(
        value["id"], value["event_type"], value["timestamp"], trace_id if isinstance(trace_id, str) else None
    )


@attrs.define
class Record:
    """A line of the log and where it ends. It is parsed once, when somebody asks for what is in it.

    Attributes:
        line: the line's bytes without the newline, exactly as they are in the file.
        segment: the number of its segment.
        end: the offset in that segment just after its newline.
    """

    line: bytes
    segment: int
    end: int
    _value: dict[str, Any] | None = attrs.field(default=None, init=False, eq=False, repr=False)

    @property
    def cursor(self) -> str:
        """Where reading goes on after this event: for ``read``, ``follow`` and ``subscribe``."""
        return f"{self.segment}:{self.end}"

    @property
    def is_event(self) -> bool:
        """Whether the line can be read; ``EventLog`` hands out no others."""
        if self._value is None:
            self._value = parse_line(self.line)
        return self._value is not None

    @property
    def data(self) -> Mapping[str, Any]:
        """The line as JSON.

        Raises:
            ValueError: it is no event.
        """
        if not self.is_event or self._value is None:
            raise ValueError(f"segment {self.segment}, before offset {self.end}: not an event")
        return self._value

    @property
    def event(self) -> Event:
        """The line as an event.

        Raises:
            ValueError: it is none.
        """
        value = self.data
        return Event(
            id=value["id"],
            event_type=value["event_type"],
            timestamp=value["timestamp"],
            source=str(value.get("source", "")),
            trace_id=value.get("trace_id"),
            payload=value["payload"],
            prev=str(value.get("prev", "")),
        )
