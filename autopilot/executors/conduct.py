"""One attempt of a ``CommandExecutor``, from ``command`` to the judged outcome."""

from __future__ import annotations

import os
import traceback
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from autopilot.errors import AutopilotError
from autopilot.executors.command import Command, CommandExecutor
from autopilot.executors.contract import AttemptContext
from autopilot.executors.output import CappedFile
from autopilot.executors.recorder import Notes, Parse, Recorder
from autopilot.executors.spawn import NO_ROOM, Program, closed_folder, sentence_for, start
from autopilot.executors.supervise import Exit, StopRequest, supervise
from autopilot.executors.transcript import Transcript
from autopilot.models import Outcome, OutcomeKind
from autopilot.system.clock import Clock, SystemClock
from autopilot.system.environment import secrets_in
from autopilot.system.redact import Redactor

__all__ = ["conduct"]

_T = TypeVar("_T")
_TRACE_CHARACTERS = 4000


def conduct(executor: CommandExecutor, context: AttemptContext, *, clock: Clock | None = None) -> Outcome:
    """Run the program of one attempt and judge it; never raises for what the executor's code does."""
    redactor = context.redactor or Redactor(secrets_in({**os.environ, **context.environment}))
    outcome = _Attempt(executor, context, redactor, clock or SystemClock()).outcome()
    return attrs.evolve(
        outcome,
        message=redactor.text(outcome.message),
        hint=redactor.text(outcome.hint),
        evidence=redactor.values(outcome.evidence),
    )


def _expect(kind: type[_T], value: object) -> _T:
    if not isinstance(value, kind):
        raise TypeError(f"it returned {type(value).__name__} where {kind.__name__} is due")
    return value


def _broken(message: str, fault: BaseException, **evidence: Any) -> Outcome:
    what = "".join(traceback.format_exception_only(fault)).strip()
    trace = "".join(traceback.format_exception(fault))[-_TRACE_CHARACTERS:]
    return Outcome(
        kind=OutcomeKind.EXECUTOR_BROKEN,
        message=f"{message}: {what}",
        hint="this is a fault of the executor's package; `evidence` has the place",
        evidence={"traceback": trace, **evidence},
    )


class _Attempt:
    def __init__(
        self, executor: CommandExecutor, context: AttemptContext, redactor: Redactor, clock: Clock
    ) -> None:
        self._executor = executor
        self._context = context
        self._redactor = redactor
        self._clock = clock

    def outcome(self) -> Outcome:
        """The whole attempt."""
        name = self._executor.name
        try:
            command = _expect(Command, self._executor.command(self._context))
        except AutopilotError as fault:
            return Outcome(kind=OutcomeKind.CONFIG_ERROR, message=fault.message, hint=fault.hint)
        except Exception as fault:
            return _broken(f"executor {name} could not say what to run", fault)
        with StopRequest() as stop:
            return self._run(command, stop)

    def _run(self, command: Command, stop: StopRequest) -> Outcome:
        cwd = command.cwd or self._context.workdir
        try:
            program = self._start(command, cwd)
        except OSError as fault:
            message, hint = sentence_for(fault, command.argv, cwd)
            if closed_folder(cwd) is not None:
                return Outcome(kind=OutcomeKind.CONFIG_ERROR, message=message, hint=hint)
            if fault.errno in NO_ROOM:
                return Outcome(kind=OutcomeKind.UNAVAILABLE, message=message, hint=hint, host_fault=True)
            return self._executor.cannot_start(message, hint, fault)
        except ValueError as fault:
            return _broken(f"executor {self._executor.name} made a command line that cannot be run", fault)
        recorder = self._recorder(command, program)
        ended = supervise(program, recorder, limits=self._context.limits, clock=self._clock, stop=stop)
        return self._judge(ended, recorder, recorder.close(ended))

    def _start(self, command: Command, cwd: str) -> Program:
        return start(
            command.argv,
            cwd=cwd,
            environment={**self._context.environment, **command.env},
            stdin=command.stdin_bytes,
            scratch=self._context.run_dir,
        )

    def _recorder(self, command: Command, program: Program) -> Recorder:
        folder, redactor = self._context.run_dir, self._redactor
        notes = Notes(os.path.join(folder, "transcript.ndjson"), redactor, self._clock)
        notes.add("started", argv=command.argv, cwd=command.cwd or self._context.workdir, pid=program.process.pid)
        limit = self._context.limits.output_bytes
        files = {
            name: CappedFile(os.path.join(folder, f"{name}.log"), redactor, limit_bytes=limit)
            for name in ("stdout", "stderr")
        }
        parses = type(self._executor).parse is not CommandExecutor.parse
        parse: Parse | None = self._executor.parse if parses else None
        return Recorder(
            files, notes, parse=parse, report=self._context.report, redactor=redactor, clock=self._clock
        )

    def _judge(self, ended: Exit, recorder: Recorder, transcript: Transcript) -> Outcome:
        code = 0 if transcript.lingered and transcript.final else ended.code
        try:
            judged = _expect(Outcome, self._executor.judge(code, transcript))
        except Exception as fault:
            judged = _broken(f"executor {self._executor.name} could not judge the attempt", fault)
        if recorder.parse_errors:
            judged = self._parser_broken(judged, recorder)
        return _completed(judged, ended, transcript, recorder.faults())

    def _parser_broken(self, judged: Outcome, recorder: Recorder) -> Outcome:
        times = f"{recorder.parse_errors} time{'s' if recorder.parse_errors > 1 else ''}"
        return attrs.evolve(
            judged,
            kind=OutcomeKind.EXECUTOR_BROKEN,
            message=f"the parser of executor {self._executor.name} failed {times}: {recorder.first_parse_error}",
            hint="this is a fault of the executor's package; transcript.ndjson has the line and the place",
            evidence={**judged.evidence, "judged": judged.kind.value, "parse_errors": recorder.parse_errors},
        )


def _completed(outcome: Outcome, ended: Exit, transcript: Transcript, faults: Mapping[str, str]) -> Outcome:
    """What the author left out, from the transcript."""
    totals = transcript.totals
    known: dict[str, Any] = {
        "usage": totals.usage,
        "cost_usd": totals.cost_usd,
        "turns": totals.turns,
        "model": totals.model,
        "session_id": totals.session_id,
        "exit_code": ended.code,
    }
    missing = {name: value for name, value in known.items() if getattr(outcome, name) is None}
    notable = {name: True for name in ("lingered", "stopped") if getattr(ended, name)}
    evidence = {**notable, **({"output_incomplete": dict(faults)} if faults else {}), **outcome.evidence}
    return attrs.evolve(outcome, evidence=evidence, **missing)
