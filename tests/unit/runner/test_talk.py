"""What a host says arrives, in bounds, and figures are never lost."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest

from autopilot.executors.contract import Progress
from autopilot.models import Outcome, OutcomeKind, Usage
from autopilot.models.wire import dump
from autopilot.runner.lines import encode_line
from autopilot.runner.talk import LINE_LIMIT, Talk, encode_outcome, encode_progress


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self):
        return datetime.now(UTC)

    def monotonic(self):
        return self.time


class Line:
    """A pipe from a host to a ``Talk``."""

    def __init__(self) -> None:
        reading, self.writing = os.pipe()
        os.set_blocking(reading, False)
        self.clock = Clock()
        self.talk = Talk(reading, self.clock)

    def say(self, *lines: bytes) -> bool:
        os.write(self.writing, b"".join(lines))
        return self.talk.pump()

    def close(self) -> None:
        os.close(self.writing)


@pytest.fixture
def line():
    made = Line()
    yield made
    os.close(made.talk.fd)


def test_nothing_is_known_before_the_first_word(line: Line):
    known = (line.talk.heard, line.talk.outcome, line.talk.settled, line.talk.fault)
    assert known == (100.0, None, None, "")


def test_an_outcome_arrives_whole(line: Line):
    outcome = Outcome(
        kind=OutcomeKind.RATE_LIMITED,
        message="later",
        reset_at=datetime(2026, 1, 1, tzinfo=UTC),
        usage=Usage(input_tokens=3),
        evidence={"a": [1, None]},
    )
    line.clock.time = 107.0
    assert line.say(encode_outcome(outcome))
    assert line.talk.outcome == outcome
    assert line.talk.settled == 107.0


def test_figures_add_up_and_fill_what_the_outcome_leaves_open(line: Line):
    line.say(
        encode_progress(Progress(usage=Usage(input_tokens=1), cost_usd=0.5, session_id="s")),
        encode_progress(Progress(cost_usd=0.75, turns=2, message="going")),
    )
    filled = line.talk.with_totals(Outcome(kind=OutcomeKind.TIMED_OUT, turns=9))
    assert (filled.usage, filled.cost_usd, filled.session_id) == (Usage(input_tokens=1), 0.75, "s")
    assert (filled.turns, filled.model) == (9, None)


def test_the_figures_of_an_outcome_count_for_another(line: Line):
    line.say(encode_outcome(Outcome(kind=OutcomeKind.FAILED, cost_usd=1.5)))
    assert line.talk.with_totals(Outcome(kind=OutcomeKind.TIMED_OUT)).cost_usd == 1.5


def test_every_message_is_a_sign_of_life_and_silence_is_none(line: Line):
    line.clock.time = 105.0
    line.say(encode_progress(Progress()))
    assert line.talk.heard == 105.0
    line.clock.time = 110.0
    assert line.talk.pump()
    assert line.talk.heard == 105.0
    line.say(b"x" * 10 + b"\n")
    assert line.talk.heard == 110.0
    line.clock.time = 120.0
    line.talk.pump()
    assert line.talk.heard == 110.0


def test_an_outcome_that_cannot_be_read_is_a_fault(line: Line):
    line.say(encode_line({"outcome": {"kind": "splendid"}}))
    assert line.talk.outcome is None
    assert line.talk.settled is None
    assert "splendid" in line.talk.fault


def test_progress_that_cannot_be_read_and_unknown_messages_are_passed_over(line: Line):
    assert line.say(encode_line({"progress": {"turns": "many"}}), encode_line({"news": 1}))
    assert line.talk.with_totals(Outcome(kind=OutcomeKind.FAILED)) == Outcome(kind=OutcomeKind.FAILED)


def test_the_end_of_the_pipe_is_told(line: Line):
    line.close()
    assert not line.talk.pump()


def test_long_texts_are_cut():
    (said,) = json.loads(encode_progress(Progress(message="m" * 10**6, session_id="s", turns=2))).values()
    assert said == dump(Progress(message="m" * 16384, session_id="s", turns=2))
    (said,) = json.loads(
        encode_outcome(Outcome(kind=OutcomeKind.FAILED, message="m" * 10**6, hint="h" * 10**6))
    ).values()
    assert said == dump(Outcome(kind=OutcomeKind.FAILED, message="m" * 16384, hint="h" * 16384))


def with_evidence(evidence):
    """What an outcome with this evidence is told as, and the line's length."""
    line = encode_outcome(Outcome(kind=OutcomeKind.FAILED, message="no", evidence=evidence))
    told = json.loads(line)
    said = told["outcome"]
    assert told == {"outcome": dump(Outcome(kind=OutcomeKind.FAILED, message="no", evidence=said["evidence"]))}
    return said["evidence"], len(line)


def test_evidence_that_is_too_large_is_left_out():
    _, more = with_evidence({"a": ""})
    largest = {"a": "x" * (LINE_LIMIT - more)}
    assert with_evidence(largest) == (largest, LINE_LIMIT)
    larger = {"a": largest["a"] + "x"}
    assert with_evidence(larger)[0] == {"evidence": f"left out: {LINE_LIMIT + 1} bytes"}


def test_evidence_that_is_no_json_is_left_out_and_said_so():
    said, _ = with_evidence({"object": object()})
    assert said == {"evidence": "left out: Object of type object is not JSON serializable"}


def test_an_outcome_of_wrong_fields_is_refused_at_once():
    with pytest.raises((TypeError, AttributeError)):
        encode_outcome(Outcome(kind=OutcomeKind.FAILED, message=7))  # type: ignore[arg-type]
