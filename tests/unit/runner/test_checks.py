"""What verify plugins say from their child, whatever it is. (The rest: ``tests/process``.)"""

from __future__ import annotations

import os

from autopilot.models import Verdict
from autopilot.models.wire import dump
from autopilot.runner.checks import _Answers
from autopilot.runner.lines import encode_line

GOOD = Verdict(name="good", ok=True, detail="fine", exit_code=0, duration_s=1.5)


def answers_to(*messages) -> _Answers:
    """What is made of these messages."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    answers = _Answers(reading)
    assert answers.fd == reading
    for message in messages:
        os.write(writing, encode_line(message))
        assert answers.pump()
    os.close(writing)
    assert not answers.pump()
    os.close(reading)
    return answers


def test_nothing_is_known_of_a_child_that_says_nothing():
    answers = answers_to()
    assert (answers.verdicts, answers.at_work, answers.done) == ([], "", False)


def test_verdicts_come_after_the_names_of_those_that_are_asked():
    answers = answers_to({"asked": "one"}, {"verdict": dump(GOOD)}, {"asked": "two"}, {"done": True}, {"news": 1})
    assert (answers.verdicts, answers.at_work, answers.done) == ([GOOD], "two", True)


def test_a_verdict_that_cannot_be_read_is_a_failed_one_of_who_was_asked():
    (verdict,) = answers_to({"asked": "odd"}, {"verdict": {"name": "x"}}).verdicts
    assert verdict == Verdict(name="odd", ok=False, detail=verdict.detail)
    assert verdict.detail.startswith("not a valid Verdict: ")
