"""When a limit ends, read from prose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot_adapter_codex.resets import reset_told

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 11, 22, 10, 30, 15, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("rate limit exceeded: … Please try again in 7.5s.", 7.5),
        ("try again in 350ms", 0.35),
        ("Try again in 20 seconds.", 20),
        ("try again in 1m30s", 90),
        ("try again in 3 days 4 hours 5 minutes", 3 * 86400 + 4 * 3600 + 5 * 60),
        ("try again in 1 week, 2 hours and 1 minute, or later", 604800 + 7200 + 60),
    ],
)
def test_a_span(text: str, seconds: float) -> None:
    assert reset_told(text, NOW) == (NOW + timedelta(seconds=seconds)).astimezone(UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("purchase more credits or try again at 11:39 AM.", datetime(2026, 11, 22, 11, 40, tzinfo=ZONE)),
        ("try again at 12:05 PM.", datetime(2026, 11, 22, 12, 6, tzinfo=ZONE)),
        ("try again at 10:30 AM.", datetime(2026, 11, 22, 10, 31, tzinfo=ZONE)),
        ("try again at 12:05 AM.", datetime(2026, 11, 23, 0, 6, tzinfo=ZONE)),
        ("try again at Nov 24th, 2026 8:39 AM.", datetime(2026, 11, 24, 8, 40, tzinfo=ZONE)),
        ("try again at Jan 1st, 2027 11:59 PM.", datetime(2027, 1, 2, 0, 0, tzinfo=ZONE)),
    ],
)
def test_a_clock_time_is_local_and_its_minute_has_passed(text: str, at: datetime) -> None:
    assert reset_told(text, NOW) == at


@pytest.mark.parametrize(
    "text", ["", "Try again later.", "try again at 25:61 PM", "try again at Foo 3rd, 2026 8:39 AM"]
)
def test_nothing_told(text: str) -> None:
    assert reset_told(text, NOW) is None


@given(st.text(max_size=40), st.integers(0, 10**400), st.sampled_from(["s", " days", "ms", "w"]))
@settings(deadline=None)
def test_any_prose_is_survived(text: str, number: int, unit: str) -> None:
    for prose in (text, f"try again in {number}{unit}", f"try again at {text}", f"try again in {text}"):
        told = reset_told(prose, NOW)
        assert told is None or told.tzinfo is not None
