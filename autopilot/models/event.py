"""One past-tense fact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Event", "EventDraft"]


@attrs.frozen(kw_only=True)
class EventDraft:
    """A fact to be logged; the log or the lease's outbox gives it its id and time.

    Attributes:
        event_type: ``<noun>.<past-tense verb>``, one of ``autopilot.events.types.REGISTRY``.
        payload: JSON values only.
    """

    event_type: str
    payload: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Event:
    """One line of the event log.

    Attributes:
        id: ``evt-<task>.<attempt>.<seq>`` for facts about a task, else ``evt-<unique>``; readers drop repeats.
        timestamp: ISO 8601 UTC with microseconds and ``Z``.
        source: who says so: ``autopilot``, or ``plugin:<name>``, or ``user``.
        trace_id: groups the events of one task (its id) or one run of a command; None where there is none.
        prev: SHA-256 (hex) of the line before, without its newline; 64 zeros at the start of the log.
    """

    id: str
    event_type: str
    timestamp: str
    source: str = "autopilot"
    trace_id: str | None = None
    payload: Mapping[str, Any] = attrs.field(factory=dict)
    prev: str = ""
