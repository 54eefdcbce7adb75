"""What an attempt came to, for each end and each word of the host."""

from __future__ import annotations

import os
import signal

import pytest

from autopilot.models import Limits, Outcome, OutcomeKind
from autopilot.runner.judge import judge
from autopilot.runner.lines import encode_line
from autopilot.runner.talk import Talk, encode_outcome
from autopilot.runner.watch import End
from autopilot.system.clock import SystemClock

LIMITS = Limits(deadline_s=90, idle_s=7)


def talk(*lines: bytes) -> Talk:
    reading, writing = os.pipe()
    os.write(writing, b"".join(lines))
    os.close(writing)
    made = Talk(reading, SystemClock())
    while made.pump():
        pass
    os.close(reading)
    return made


def outcome_of(end: End, said: Talk | None = None, *, exit_code=0, last_line="", cancelled_by=None) -> Outcome:
    return judge(
        end,
        said or talk(),
        exit_code=exit_code,
        last_line=last_line,
        limits=LIMITS,
        cancelled_by=cancelled_by,
    )


FAILED = encode_outcome(Outcome(kind=OutcomeKind.FAILED, message="tests fail", cost_usd=2.0))


@pytest.mark.parametrize("end", [End.EXITED, End.LINGERED])
@pytest.mark.parametrize("exit_code", [0, 3, -9])
def test_the_hosts_word_counts_however_it_ended(end, exit_code):
    assert outcome_of(end, talk(FAILED), exit_code=exit_code).message == "tests fail"


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        (End.TIMED_OUT, OutcomeKind.TIMED_OUT, "stopped at its limit of 90 s"),
        (End.STALLED, OutcomeKind.STALLED, "stopped after 7 s without a sign of life"),
        (End.TERMINATED, OutcomeKind.LOST, "its runner was told to end (SIGTERM)"),
    ],
)
def test_what_the_host_says_when_it_is_stopped_is_only_good_for_its_figures(end, kind, words):
    assert outcome_of(end, talk(FAILED)) == Outcome(kind=kind, message=words, cost_usd=2.0)


@pytest.mark.parametrize("end", list(End))
def test_a_cancel_wins_over_everything(end):
    outcome = outcome_of(end, talk(FAILED), cancelled_by="ada")
    assert (outcome.kind, outcome.message, outcome.cost_usd) == (OutcomeKind.CANCELLED, "cancelled by ada", 2.0)


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (0, "ended with exit code 0"),
        (41, "ended with exit code 41"),
        (None, "ended with exit code None"),
        (-signal.SIGSEGV, "was ended by SIGSEGV"),
        (-63, "was ended by signal 63"),
    ],
)
def test_a_host_without_a_word_is_broken(exit_code, words):
    for last_line, said in (("", ""), ("oh no", ": oh no")):
        assert outcome_of(End.EXITED, exit_code=exit_code, last_line=last_line) == Outcome(
            kind=OutcomeKind.EXECUTOR_BROKEN,
            message=f"the executor's process {words} and gave no outcome{said}",
            hint="see host.log in the run folder",
            exit_code=exit_code,
        )


def test_a_host_that_was_killed_may_have_been_too_big():
    hint = outcome_of(End.EXITED, exit_code=-signal.SIGKILL).hint
    assert hint == "see host.log in the run folder; if nobody killed it, the machine may be short of memory"


def test_an_unreadable_outcome_is_named():
    said = talk(encode_line({"outcome": 7}))
    outcome = outcome_of(End.EXITED, said, exit_code=3)
    assert (outcome.kind, outcome.exit_code) == (OutcomeKind.EXECUTOR_BROKEN, 3)
    assert outcome.message == f"the executor's outcome could not be read: {said.fault}"
