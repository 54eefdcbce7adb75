"""Instants and spans of time as people type them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from autopilot.errors import UsageError
from autopilot.system.clock import parse_instant

__all__ = ["parse_since", "parse_span"]

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw]?)")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_LONGEST_S = 100 * 365 * 86400


def parse_span(text: str, option: str, *, unit: str = "") -> timedelta:
    """``90s``, ``10m``, ``2h``, ``1d`` or ``4w``.

    Args:
        option: whose value it is, for the message.
        unit: the one that a bare number has; empty refuses bare numbers.

    Raises:
        UsageError: it is none.
    """
    found = _SPAN.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS.get(found[2] or unit, -1) if found else -1.0
    if not 0 <= seconds <= _LONGEST_S:
        raise UsageError(f"{option}: {text!r} is no span of time", hint="for example: 90s, 10m, 2h, 1d, 4w")
    return timedelta(seconds=seconds)


def parse_since(text: str, now: datetime) -> datetime:
    """An instant (ISO 8601, UTC without an offset), or a span that counts back from ``now``.

    Raises:
        UsageError: it is neither.
    """
    if _SPAN.fullmatch(text.strip()) and not text.strip().isdecimal():
        return now - parse_span(text, "--since")
    try:
        return parse_instant(text.strip())
    except ValueError:
        raise UsageError(
            f"--since: {text!r} is neither an instant nor a span of time",
            hint="for example: 2026-11-22T09:00:00Z, 2026-11-22, 10m, 2h, 1d",
        ) from None
