"""One circuit breaker: closed, open until a deadline, then half-open until one attempt has shown how things are.

All times are epoch seconds and come in as arguments, so that a breaker is a pure function of what it was told.
"""

from __future__ import annotations

from enum import StrEnum

import attrs

from autopilot.routing.parameters import Parameters

__all__ = ["CLOCK_SLACK_S", "Breaker", "BreakerState"]

CLOCK_SLACK_S = 300.0
"""How far clocks may disagree before a deadline is taken for one of a clock that was set back since."""

_MAX_LEVEL = 32


class BreakerState(StrEnum):
    """Whether attempts may pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@attrs.define(kw_only=True)
class Breaker:
    """The health of one executor or of one quota pool.

    Attributes:
        tripped: it opened, and nothing has shown since that it works again.
        until: the end of the rest.
        wait: how far ahead ``until`` was when it was set, in seconds.
        level: how many times in a row it opened; each doubles the cooldown.
        streak: infrastructure errors in a row.
        window: the last outcomes, oldest first, ``x`` for an infrastructure error and ``.`` for a judged one.
        trusted: ``until`` is what the provider announced, so no half-open trial is needed after it.
        probe: the attempt that is trying it in the half-open state, empty for none.
        reason, hint: why it opened, and how to mend it.
    """

    tripped: bool = False
    until: float = 0.0
    wait: float = 0.0
    level: int = 0
    streak: int = 0
    window: str = ""
    trusted: bool = False
    probe: str = ""
    reason: str = ""
    hint: str = ""

    @property
    def spotless(self) -> bool:
        """There is nothing in it that a new one would not have."""
        return not self.tripped and "x" not in self.window

    def deadline(self, now: float) -> float:
        """The end of the rest, or 0 where there is none.

        A deadline further ahead than it was when it was set can only mean that the clock was set back since. It
        would let the executor rest for as long as that jump, so it counts as over.
        """
        alive = self.tripped and now < self.until <= now + self.wait + CLOCK_SLACK_S
        return self.until if alive else 0.0

    def state(self, now: float) -> BreakerState:
        """Closed, open or half-open at ``now``."""
        if not self.tripped:
            return BreakerState.CLOSED
        if self.deadline(now):
            return BreakerState.OPEN
        return BreakerState.CLOSED if self.trusted else BreakerState.HALF_OPEN

    def fault(self, now: float, p: Parameters, reason: str = "", hint: str = "") -> None:
        """An infrastructure error: opens at the third in a row, the fifth of ten, or the first when half-open."""
        self.streak += 1
        self.window = (self.window + "x")[-p.breaker_window :]
        often = self.window.count("x") >= p.breaker_errors
        self.probe = ""
        if self.tripped or often or self.streak >= p.breaker_streak:
            self._escalate(now)
            self._open(now, self._cooldown(p), reason, hint)

    def cap(self, now: float, p: Parameters, reason: str = "", hint: str = "") -> None:
        """An error that only a person can mend: the longest cooldown, at once."""
        while self._cooldown(p) < p.cooldown_max_s and self.level < _MAX_LEVEL:
            self.level += 1
        self._open(now, p.cooldown_max_s, reason, hint)

    def rest(self, now: float, p: Parameters, reset_at: float | None, reason: str = "", hint: str = "") -> None:
        """A rate limit: rest until the announced reset, or for a cooldown where there is none.

        A reset that is not in the future says nothing. One in the future is believed up to ``rest_max_s``, and not
        below a floor that doubles from one second to ``cooldown_s`` while nothing but rate limits comes back: a
        provider that says "in one second" for ever is not asked every second for ever.
        """
        self._escalate(now)
        announced = 0.0 if reset_at is None else reset_at - now
        if announced <= 0:
            self._open(now, self._cooldown(p), reason, hint)
            return
        floor = min(p.cooldown_s, 2.0 ** (self.level - 1))
        self._open(now, min(max(announced, floor), p.rest_max_s), reason, hint, trusted=True)

    def judged(self, now: float, p: Parameters) -> None:
        """Work was judged, so the infrastructure works: closes it, but ends no rest that is still running."""
        self.streak = 0
        self.probe = ""
        if self.deadline(now):
            return
        if self.tripped:
            self.tripped, self.trusted, self.level = False, False, 0
            self.window = self.reason = self.hint = ""
        self.window = (self.window + ".")[-p.breaker_window :]

    def _escalate(self, now: float) -> None:
        # Errors that arrive during a rest come from attempts started before it: one outage, not a second one.
        if not self.deadline(now):
            self.level = min(_MAX_LEVEL, self.level + 1)

    def _cooldown(self, p: Parameters) -> float:
        return min(p.cooldown_max_s, p.cooldown_s * 2.0 ** max(0, self.level - 1))

    def _open(self, now: float, wait: float, reason: str, hint: str, *, trusted: bool = False) -> None:
        self.probe = ""
        self.tripped = True
        if now + wait <= self.deadline(now):
            return
        self.until, self.wait, self.trusted = now + wait, wait, trusted
        self.reason, self.hint = reason, hint
