"""Run the verifications of an attempt: the task's commands one after the other, then the plugins."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from autopilot.executors.spawn import sentence_for, start
from autopilot.models import AttemptSpec, Verdict
from autopilot.models.wire import dump, load
from autopilot.runner.children import fork_child
from autopilot.runner.lines import LineReader, encode_line
from autopilot.runner.logs import LogPipe
from autopilot.runner.talk import LINE_LIMIT
from autopilot.runner.watch import Child, End, Watcher
from autopilot.runner.work import Work
from autopilot.taskfile.codec import parse
from autopilot.verification.commands import shell_argv, verdict_of
from autopilot.verification.hooks import verdicts_of, without_verdict

__all__ = ["verify"]

_LONGEST_DETAIL = 16 * 1024


def verify(work: Work, attempt: Mapping[str, Any]) -> tuple[bool | None, tuple[Verdict, ...]]:
    """Verify an attempt whose executor calls it a success; the first failure ends it.

    Args:
        attempt: what verify plugins are told.

    Returns:
        True: all passed; False: nothing was configured; None: one failed, or the attempt was cancelled
        meanwhile. And the verdicts of those that ran.

    Raises:
        LeaseLostError: the task is somebody else's now.
    """
    spec = work.spec
    verdicts: list[Verdict] = []
    for number, command in enumerate(spec.verify, 1):
        verdicts.append(_run_command(work, number, command))
        if not verdicts[-1].ok or work.interrupted():
            return None, tuple(verdicts)
    if spec.verify_plugins:
        verdicts += _ask_plugins(work, attempt)
    if not all(verdict.ok for verdict in verdicts) or work.interrupted():
        return None, tuple(verdicts)
    return bool(verdicts), tuple(verdicts)


def _run_command(work: Work, number: int, command: str) -> Verdict:
    spec = work.spec
    argv = shell_argv(command)
    began = work.clock.monotonic()
    judged = functools.partial(verdict_of, command)
    try:
        program = start(argv, cwd=spec.workdir, environment=work.environment)
    except (OSError, ValueError) as fault:
        why = sentence_for(fault, argv, spec.workdir)[0] if isinstance(fault, OSError) else str(fault)
        return judged(exit_code=None, stopped=why, output="", duration_s=0.0)
    sink = work.sink(f"verify-{number}.log")
    pipes = (LogPipe(program.stdout, sink.lane()), LogPipe(program.stderr, sink.lane()))
    child = Child(pid=program.process.pid, streams=pipes, deadline_s=spec.limits.verify_s)
    end = _supervise(work, child)
    program.process.returncode = child.exit_code  # we have waited for it ourselves
    program.close()
    return judged(
        exit_code=child.exit_code,
        stopped=_why_stopped(end, spec.limits.verify_s),
        output=sink.close(),
        duration_s=work.clock.monotonic() - began,
    )


def _supervise(work: Work, child: Child) -> End:
    watcher: Watcher = work.watcher
    end = watcher.watch(child)
    # A command that ended by itself has no claim on a grace for what it left running.
    watcher.clear(child, 0.0 if end is End.EXITED else work.spec.limits.grace_s)
    return end


def _why_stopped(end: End, limit_s: float) -> str:
    if end is End.EXITED:
        return ""
    return f"stopped at its limit of {limit_s:g} s" if end is End.TIMED_OUT else str(end)


def _ask_plugins(work: Work, attempt: Mapping[str, Any]) -> list[Verdict]:
    spec = work.spec
    forked = fork_child(lambda say: _answer(spec, attempt, say), work.setting)
    answers = _Answers(forked.talk)
    sink = work.sink("verify-plugins.log")
    streams = (answers, LogPipe(forked.log, sink))
    child = Child(pid=forked.pid, streams=streams, deadline_s=spec.limits.verify_s)
    end = _supervise(work, child)
    forked.close()
    sink.close()
    if not answers.done:
        why = _why_stopped(end, spec.limits.verify_s) or f"its process ended with {child.exit_code}"
        answers.verdicts.append(without_verdict(answers.at_work, why))
    return answers.verdicts


def _answer(spec: AttemptSpec, attempt: Mapping[str, Any], say: Callable[[bytes], None]) -> int:
    task = parse(spec.task_text.encode("utf-8", "surrogateescape"), expected_id=spec.task_id)
    for name, verdict in verdicts_of(spec.verify_plugins, task, attempt):
        if verdict is None:
            say(encode_line({"asked": name}))
        else:
            say(encode_line({"verdict": {**dump(verdict), "detail": str(verdict.detail)[:_LONGEST_DETAIL]}}))
    say(encode_line({"done": True}))
    return 0


class _Answers:
    """What the plugins' child says."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.verdicts: list[Verdict] = []
        self.at_work = ""
        self.done = False
        self._lines = LineReader(fd, limit=LINE_LIMIT)

    def pump(self) -> bool:
        """Take in what is there; whether more may come."""
        for message in self._lines.read():
            if "verdict" in message:
                self._judge(message["verdict"])
            self.at_work = str(message.get("asked", self.at_work))
            self.done = self.done or "done" in message
        return not self._lines.ended

    def _judge(self, data: Any) -> None:
        try:
            self.verdicts.append(load(Verdict, data))
        except ValueError as fault:
            self.verdicts.append(without_verdict(self.at_work, str(fault)))
