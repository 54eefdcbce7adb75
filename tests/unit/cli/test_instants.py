"""Instants and spans of time as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from autopilot.cli.instants import parse_since, parse_span
from autopilot.errors import UsageError

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129600), ("4w", 2419200), (" 1 h ", 3600), ("0s", 0)],
)
def test_spans(text: str, expected: float) -> None:
    assert parse_span(text, "--x") == timedelta(seconds=expected)


def test_bare_numbers_need_a_unit() -> None:
    assert parse_span("30", "--x", unit="d") == timedelta(days=30)
    with pytest.raises(UsageError):
        parse_span("30", "--x")


@pytest.mark.parametrize("text", ["", "x", "-1h", "1y", "h", "9" * 30 + "w", "1e3s", "inf"])
def test_what_is_no_span(text: str) -> None:
    with pytest.raises(UsageError):
        parse_span(text, "--x", unit="s")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T09:00:00Z", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T09:00:00+02:00", datetime(2026, 11, 22, 7, tzinfo=UTC)),
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("20261122", datetime(2026, 11, 22, tzinfo=UTC)),
    ],
)
def test_since(text: str, expected: datetime) -> None:
    assert parse_since(text, NOW) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "10"])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(UsageError):
        parse_since(text, NOW)
