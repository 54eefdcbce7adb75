"""Short questions to programs: a version, a login status. Bounded in time, output and processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from autopilot.executors.spawn import describe_exit, sentence_for, start
from autopilot.executors.supervise import supervise
from autopilot.models import Limits
from autopilot.system.clock import Clock, SystemClock

__all__ = ["Answer", "quick_run"]

_MOST_BYTES = 64 * 1024


@attrs.frozen(kw_only=True)
class Answer:
    """What a program answered.

    Attributes:
        code: its exit code; None where it could not be started or took too long.
        text: its stdout, or its stderr where that is empty; at most 64 KiB.
        sentence: how it ended, in words.
    """

    code: int | None
    text: str
    sentence: str


class _Ear:
    """Keeps the beginning of each stream, and ends the program when its time is up."""

    def __init__(self, clock: Clock, limit_s: float) -> None:
        self.said = {"stdout": bytearray(), "stderr": bytearray()}
        self._clock = clock
        self._deadline = clock.monotonic() + limit_s

    @property
    def final(self) -> bool:
        """Its time is up: the supervisor then ends it at once."""
        return self._clock.monotonic() >= self._deadline

    def output(self, stream: str, data: bytes) -> None:
        """Keep the first part."""
        kept = self.said[stream]
        kept += data[: _MOST_BYTES - len(kept)]

    def tick(self) -> float | None:
        """Wake the supervisor at the deadline."""
        left = self._deadline - self._clock.monotonic()
        return left if left > 0 else None


def quick_run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: str = "/",
    stdin: bytes | None = None,
    limit_s: float = 5.0,
    clock: Clock | None = None,
) -> Answer:
    """Run a program for its answer. Never raises for what the program does, and never takes much longer than
    ``limit_s``; its process group does not outlive it."""
    clock = clock or SystemClock()
    try:
        program = start(argv, cwd=cwd, environment=environment, stdin=stdin)
    except OSError as fault:
        return Answer(code=None, text="", sentence=sentence_for(fault, argv, cwd)[0])
    ear = _Ear(clock, limit_s)
    ended = supervise(program, ear, limits=Limits(linger_s=0.0, grace_s=0.2), clock=clock, whole_group=True)
    text = bytes(ear.said["stdout"] or ear.said["stderr"]).decode("utf-8", "replace").strip()
    if ended.lingered:
        return Answer(code=None, text=text, sentence=f"did not answer within {limit_s:g} s")
    return Answer(code=ended.code, text=text, sentence=f"ended with {describe_exit(ended.code)}")
