"""The host: the child of the runner in which the executor's own code runs, and the prompt plugins before it.

Whatever happens in here costs this attempt only. An exception becomes ``executor_broken``; ``os._exit``, a signal
or a hang is the runner's to notice.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from autopilot.errors import AutopilotError, PluginError
from autopilot.executors.contract import AttemptContext, Executor, Progress
from autopilot.executors.prompt import default_prompt
from autopilot.models import AttemptSpec, Outcome, OutcomeKind, PluginRef, Task
from autopilot.plugins.direct import call_hook, implementation_of, load_plugin
from autopilot.runner.notes import note
from autopilot.runner.talk import encode_outcome, encode_progress
from autopilot.system.clock import Clock
from autopilot.system.redact import Redactor
from autopilot.taskfile.codec import parse

__all__ = ["host"]

_SHORTEST_PAUSE_S = 0.2

Say = Callable[[bytes], None]


def host(spec: AttemptSpec, environment: Mapping[str, str], say: Say, clock: Clock, redactor: Redactor) -> int:
    """Do the attempt and say what it came to; the exit code for this process.

    Args:
        environment: what the executor's program may see.
        say: hands a line to the runner.
        redactor: hides what the runner knows of secrets.
    """
    reporter = _Reporter(say, clock)
    try:
        outcome = _checked(_do(spec, environment, reporter, redactor), spec.executor)
        line = encode_outcome(outcome)
    except BaseException as fault:  # sys.exit included: it is no way to end an attempt
        traceback.print_exc()
        line = encode_outcome(_broken(fault))
    reporter.flush()
    say(line)
    return 0


def _do(spec: AttemptSpec, environment: Mapping[str, str], reporter: _Reporter, redactor: Redactor) -> Any:
    task = parse(spec.task_text.encode("utf-8", "surrogateescape"), expected_id=spec.task_id)
    executor = _executor(spec)
    prompt = _prompt(spec, task)
    _keep_prompt(spec.run_dir, prompt)
    return executor.run(
        AttemptContext(
            task=task,
            number=spec.token,
            prompt=prompt,
            workdir=spec.workdir,
            run_dir=spec.run_dir,
            environment=environment,
            limits=spec.limits,
            options=spec.executor_options,
            earlier_failure=spec.earlier_failure,
            session_id=spec.session_id,
            report=reporter,
            redactor=redactor,
        )
    )


def _executor(spec: AttemptSpec) -> Executor:
    implementation = _implementation(spec.executor_plugin, "autopilot_executors")
    found = list(call_hook(implementation, config={spec.executor: spec.executor_options}) or ())
    for executor in found:
        if getattr(executor, "name", None) == spec.executor:
            return executor  # type: ignore[no-any-return]
    names = ", ".join(str(getattr(executor, "name", executor)) for executor in found) or "none"
    raise PluginError(
        f"plugin {spec.executor_plugin.name} supplies no executor {spec.executor} here (it has: {names})",
        hint=f"reinstall {spec.executor_plugin.distribution or spec.executor_plugin.name}",
    )


def _implementation(ref: PluginRef, hook: str) -> Callable[..., Any]:
    implementation = implementation_of(load_plugin(ref), hook)
    if implementation is None:
        raise PluginError(f"plugin {ref.name} has no {hook}", hint="was it changed since it was found?")
    return implementation


def _prompt(spec: AttemptSpec, task: Task) -> str:
    attempt = {
        "number": spec.token,
        "executor": spec.executor,
        "earlier_failure": spec.earlier_failure,
        "workdir": spec.workdir,
    }
    for ref in spec.prompt_plugins:
        prompt = call_hook(_implementation(ref, "autopilot_prompt"), task=task, attempt=attempt)
        if prompt is None:
            continue
        if not isinstance(prompt, str):
            raise PluginError(f"plugin {ref.name} gave a {type(prompt).__name__} for a prompt, not a text")
        return prompt
    return default_prompt(task, attempt)


def _keep_prompt(run_dir: str, prompt: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(os.path.join(run_dir, "prompt.md"), flags, 0o600), "wb") as file:
            file.write(prompt.encode("utf-8", "surrogateescape"))
    except OSError as fault:  # a full disk: the prompt for people is not worth the attempt
        note(f"prompt.md: {fault}")


def _checked(outcome: Any, executor: str) -> Outcome:
    if isinstance(outcome, Outcome) and isinstance(outcome.kind, OutcomeKind):
        return outcome
    raise PluginError(
        f"executor {executor} gave a {type(outcome).__name__}, not an Outcome", hint="tell its author"
    )


def _broken(fault: BaseException) -> Outcome:
    said = traceback.format_exception_only(fault)[-1].strip()
    hint = getattr(fault, "hint", "") if isinstance(fault, AutopilotError) else ""
    message = fault.message if isinstance(fault, AutopilotError) else said
    return Outcome(
        kind=OutcomeKind.EXECUTOR_BROKEN, message=message, hint=hint or "see host.log in the run folder"
    )


class _Reporter:
    """``AttemptContext.report``: passes signs of life on, five a second at most, and loses no figure."""

    def __init__(self, say: Say, clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._kept: dict[str, Any] = {}
        self._last = -_SHORTEST_PAUSE_S

    def __call__(self, progress: Progress) -> None:
        self._kept.update({name: value for name, value in _fields(progress) if value is not None})
        if progress.final or self._clock.monotonic() - self._last >= _SHORTEST_PAUSE_S:
            self.flush()

    def flush(self) -> None:
        """Pass on what was held back."""
        if self._kept:
            self._last = self._clock.monotonic()
            kept, self._kept = self._kept, {}
            self._say(encode_progress(Progress(**kept)))


def _fields(progress: Progress) -> list[tuple[str, Any]]:
    names = ("message", "usage", "cost_usd", "turns", "session_id", "model", "final")
    return [(name, getattr(progress, name)) for name in names]
