"""What the host tells the runner: signs of life with running totals, and in the end its outcome."""

from __future__ import annotations

from typing import Any

import attrs

from autopilot.executors.contract import Progress
from autopilot.models import Outcome
from autopilot.models.wire import dump, load
from autopilot.runner.lines import LineReader, encode_line
from autopilot.system.clock import Clock

__all__ = ["LINE_LIMIT", "Talk", "encode_outcome", "encode_progress"]

LINE_LIMIT = 256 * 1024
"""Bytes of one message; a longer line is dropped."""

_FIGURES = ("usage", "cost_usd", "turns", "session_id", "model")
_LONGEST_TEXT = 16 * 1024


def encode_progress(progress: Progress) -> bytes:
    """A sign of life as a line; long texts are cut."""
    cut = {name: value[:_LONGEST_TEXT] for name, value in dump(progress).items() if isinstance(value, str)}
    return encode_line({"progress": {**dump(progress), **cut}})


def encode_outcome(outcome: Outcome) -> bytes:
    """The outcome as a line that is never over ``LINE_LIMIT``: long texts are cut, evidence that is too large, or
    is no JSON, is left out and said to be.

    Raises:
        TypeError, ValueError: other fields hold what is no JSON.
    """
    outcome = attrs.evolve(outcome, message=outcome.message[:_LONGEST_TEXT], hint=outcome.hint[:_LONGEST_TEXT])
    try:
        line = encode_line({"outcome": dump(outcome)})
        if len(line) <= LINE_LIMIT:
            return line
        why = f"left out: {len(line)} bytes"
    except (TypeError, ValueError) as fault:
        why = f"left out: {fault}"
    return encode_line({"outcome": dump(attrs.evolve(outcome, evidence={"evidence": why}))})


class Talk:
    """The runner's end of the host's pipe.

    Attributes:
        heard: CLOCK_MONOTONIC seconds of the last message, at first of the start.
        outcome: what the host said it came to, None so far.
        settled: when it said so.
        fault: why an outcome that it sent could not be read.
    """

    def __init__(self, fd: int, clock: Clock) -> None:
        self.fd = fd
        self.heard = clock.monotonic()
        self.outcome: Outcome | None = None
        self.settled: float | None = None
        self.fault = ""
        self._clock = clock
        self._lines = LineReader(fd, limit=LINE_LIMIT)
        self._totals: dict[str, Any] = {}

    def pump(self) -> bool:
        """Take in what is there; whether more may come."""
        dropped = self._lines.dropped
        messages = self._lines.read()
        if messages or self._lines.dropped != dropped:
            self.heard = self._clock.monotonic()
        for message in messages:
            self._take(message)
        return not self._lines.ended

    def _take(self, message: dict[str, Any]) -> None:
        if "outcome" in message:
            self._settle(message["outcome"])
        elif "progress" in message:
            self._add(message["progress"])

    def _settle(self, data: Any) -> None:
        try:
            self.outcome = load(Outcome, data)
        except ValueError as fault:
            self.fault = str(fault)
            return
        self.settled = self._clock.monotonic()
        self._remember(self.outcome)

    def _add(self, data: Any) -> None:
        try:
            progress = load(Progress, data)
        except ValueError:
            return
        self._remember(progress)

    def _remember(self, said: Progress | Outcome) -> None:
        figures = {name: getattr(said, name) for name in _FIGURES}
        self._totals.update({name: value for name, value in figures.items() if value is not None})

    def with_totals(self, outcome: Outcome) -> Outcome:
        """``outcome``, its unknown cost, usage, turns, model and session filled from all that was said."""
        return attrs.evolve(
            outcome, **{name: value for name, value in self._totals.items() if getattr(outcome, name) is None}
        )
