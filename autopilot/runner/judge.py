"""The runner's own judgement: what an attempt came to, from the host's word and from what was seen."""

from __future__ import annotations

import signal

from autopilot.models import Limits, Outcome, OutcomeKind
from autopilot.runner.talk import Talk
from autopilot.runner.watch import End

__all__ = ["judge"]


def judge(
    end: End, talk: Talk, *, exit_code: int | None, last_line: str, limits: Limits, cancelled_by: str | None
) -> Outcome:
    """The outcome of the executor's part.

    The host's word counts, whatever became of the host afterwards, unless it spoke only because it was being
    stopped: then just its figures count. A cancel that was asked for before the end wins over all, because that is
    what a person wanted.

    Args:
        exit_code: of the host, negative for a signal.
        last_line: the last that the host wrote to its standard error.
    """
    if cancelled_by is not None:
        return talk.with_totals(_known(OutcomeKind.CANCELLED, f"cancelled by {cancelled_by}"))
    if talk.outcome is not None and end in (End.EXITED, End.LINGERED):
        return talk.with_totals(talk.outcome)
    return talk.with_totals(_without_a_word(end, talk, exit_code, last_line, limits))


def _without_a_word(end: End, talk: Talk, exit_code: int | None, last_line: str, limits: Limits) -> Outcome:
    if end is End.TIMED_OUT:
        return _known(OutcomeKind.TIMED_OUT, f"stopped at its limit of {limits.deadline_s:g} s")
    if end is End.STALLED:
        return _known(OutcomeKind.STALLED, f"stopped after {limits.idle_s:g} s without a sign of life")
    if end is End.TERMINATED:
        return _known(OutcomeKind.LOST, "its runner was told to end (SIGTERM)")
    if talk.fault:
        return _broken(f"the executor's outcome could not be read: {talk.fault}", exit_code)
    said = f": {last_line}" if last_line else ""
    return _broken(f"the executor's process {_how(exit_code)} and gave no outcome{said}", exit_code)


def _known(kind: OutcomeKind, message: str) -> Outcome:
    return Outcome(kind=kind, message=message)


def _broken(message: str, exit_code: int | None) -> Outcome:
    hint = "see host.log in the run folder"
    if exit_code == -signal.SIGKILL:
        hint += "; if nobody killed it, the machine may be short of memory"
    return Outcome(kind=OutcomeKind.EXECUTOR_BROKEN, message=message, hint=hint, exit_code=exit_code)


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was ended by signal {-exit_code}"
