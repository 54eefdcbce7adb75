"""When a limit ends, from Codex's prose: ``try again in 7.5s``, ``try again at 8:39 AM.``, ``… at Nov 24th, 2026
8:39 AM.``; clock times are local ones."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

__all__ = ["reset_told"]

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)[a-z]*")
_IN = re.compile(r"try again in\s+((?:\d+(?:\.\d+)?\s*[a-z]+[\s,]*(?:and\s+)?)+)", re.IGNORECASE)
_AT = re.compile(
    r"try again at\s+(?:(?P<day>[A-Z][a-z]{2} \d{1,2})[a-z]{2}, (?P<year>\d{4}) )?(?P<time>\d{1,2}:\d\d [AP]M)"
)
_MINUTE = timedelta(minutes=1)


def reset_told(text: str, now: datetime | None = None) -> datetime | None:
    """The instant after which to try again, in UTC; None where none is told.

    Args:
        now: an aware instant in the zone of the text's clock times; by default this machine's.
    """
    now = now or datetime.now().astimezone()
    try:
        return _after(text, now) or _at(text, now)
    except (OverflowError, ValueError):
        return None


def _after(text: str, now: datetime) -> datetime | None:
    told = _IN.search(text)
    spans = _SPAN.findall(told.group(1).lower()) if told else []
    seconds = sum(float(number) * _UNITS[unit] for number, unit in spans)
    return (now + timedelta(seconds=seconds)).astimezone(UTC) if spans else None


def _at(text: str, now: datetime) -> datetime | None:
    told = _AT.search(text)
    if told is None:
        return None
    time = datetime.strptime(told["time"], "%I:%M %p").time()
    day = datetime.strptime(f"{told['day']} {told['year']}", "%b %d %Y").date() if told["day"] else now.date()
    # The seconds are cut off: the limit ends somewhere in that minute.
    at = datetime.combine(day, time, now.tzinfo) + _MINUTE
    if not told["day"] and at < now:
        at += timedelta(days=1)
    return at.astimezone(UTC)
