"""The shared base of executors that run a coding agent's command-line program."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import attrs

from autopilot.errors import ConfigError, StorageError
from autopilot.executors.command import CommandExecutor
from autopilot.executors.contract import AttemptContext
from autopilot.models import Health, Outcome, OutcomeKind, Usage
from autopilot.system.durable import read_file, replace_file

__all__ = ["AgentExecutor", "Rules", "classify", "usage_of"]

Rules = tuple[tuple[str, OutcomeKind], ...]
"""Patterns and the kinds of outcome they mean; the first that is found counts. Letters' case does not matter."""

_TOTALS = "session.json"

# Both become words of a command line, and neither is ours: one stands in a task file, the other is what a program
# printed. What begins with a dash would be an option.
_MODEL = re.compile(r"[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]{0,199}")
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,199}")


def classify(text: str, rules: Rules) -> OutcomeKind | None:
    """The outcome that a program's words mean, None where no rule fits."""
    return next((kind for pattern, kind in rules if re.search(pattern, text, re.IGNORECASE)), None)


def usage_of(told: object, *, input: str, output: str, cached: Iterable[str] = ()) -> Usage | None:  # noqa: A002
    """Tokens from a program's own record; None where ``told`` is no record. What is no number counts as 0.

    Args:
        input, output, cached: the record's keys; ``cached`` are cache tokens, counted as input too.
    """
    if not isinstance(told, Mapping):
        return None

    def number(key: str) -> int:
        value = told.get(key)
        return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0

    kept = sum(number(key) for key in cached)
    return Usage(input_tokens=number(input) + kept, output_tokens=number(output), cached_tokens=kept)


class AgentExecutor(CommandExecutor):
    """A coding agent: a program of a known version, with credentials, and sessions that can be resumed.

    Options that every agent has:
        program: the program to run, by name or path.
        model: the model, unless the task names one.
        resume: whether a retry resumes the session of the attempt before (default true).
        arguments: words to add to its command line.

    Class attributes:
        newest_known: the newest version that was tried with this adapter; a newer one is tried, with a warning.
        login_hint: the command that brings credentials.
        totals_continue: tokens and cost of a resumed session go on from the earlier total.
    """

    newest_known: ClassVar[str] = ""
    login_hint: ClassVar[str] = ""
    totals_continue: ClassVar[bool] = False
    own_options: ClassVar[frozenset[str]] = frozenset()

    _COMMON: ClassVar[frozenset[str]] = frozenset({"program", "model", "resume", "arguments"})

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        if self.options.get("program"):
            self.program = str(self.options["program"])  # type: ignore[misc]

    # ---------------------------------------------------------------- options

    def model_for(self, context: AttemptContext) -> str | None:
        """The model to ask for, None for the program's own choice.

        Raises:
            ConfigError: it would not be one word on a command line.
        """
        chosen = context.task.model or self.options.get("model")
        if chosen and not _MODEL.fullmatch(str(chosen)):
            raise ConfigError(
                f"{str(chosen)[:80]!r} is no name of a model", hint="correct `model`, or leave it out"
            )
        return str(chosen) if chosen else None

    def session_to_resume(self, context: AttemptContext) -> str | None:
        """The session that this attempt goes on with, None to start afresh."""
        session = context.session_id if self.options.get("resume", True) else None
        return session if session and _SESSION.fullmatch(session) else None

    def more_arguments(self) -> list[str]:
        """The words of the option ``arguments``."""
        words = self.options.get("arguments") or ()
        return [words] if isinstance(words, str) else [str(word) for word in words]

    # ---------------------------------------------------------------- health

    def missing_credentials(self, environ: Mapping[str, str]) -> str:
        """A sentence when no credentials are there, empty when some are; they may still be refused."""
        return ""

    def probe(self) -> Health:
        """The program, its version, its credentials; all of it cheap and local."""
        health = super().probe()
        if not health.ok:
            return health
        missing = self.missing_credentials(self.environ)
        if missing:
            return attrs.evolve(health, ok=False, reason=f"{health.reason}: {missing}", hint=self.login_hint)
        unknown = sorted(set(self.options) - self._COMMON - self.own_options)
        warnings = [f"unknown options: {', '.join(unknown)}"] if unknown else []
        if self.newest_known and _numbers(health.version) > _numbers(self.newest_known):
            warnings.append(
                f"version {health.version} is newer than {self.newest_known}, the newest that was tried"
            )
        return attrs.evolve(health, warning="; ".join(warnings))

    # ---------------------------------------------------------------- totals

    def run(self, context: AttemptContext) -> Outcome:
        """Run and judge; where totals continue over a resumed session, only this attempt's share is reported."""
        outcome = super().run(context)
        if not self.totals_continue or not outcome.session_id:
            return outcome
        before = _totals(context, outcome.session_id) if self.session_to_resume(context) else None
        _keep_totals(context, outcome)
        return _share(outcome, before) if before else outcome


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _keep_totals(context: AttemptContext, outcome: Outcome) -> None:
    if outcome.usage is None and outcome.cost_usd is None:
        return  # cut short before it told any: the totals of the attempt before still hold
    totals = {
        "session_id": outcome.session_id,
        "cost_usd": outcome.cost_usd,
        "usage": attrs.asdict(outcome.usage) if outcome.usage else None,
    }
    path = os.path.join(context.run_dir, _TOTALS)
    try:
        replace_file(path, json.dumps(totals).encode("ascii"), point="agent.totals", sync=False)
    except (StorageError, OSError) as fault:  # a full disk: these figures are not worth the attempt
        sys.stderr.write(f"{_TOTALS}: {fault}\n")


def _totals(context: AttemptContext, session_id: str) -> Mapping[str, Any] | None:
    """What the last earlier attempt of this session left as its totals."""
    runs = os.path.dirname(context.run_dir)
    for number in range(context.number - 1, 0, -1):
        try:
            told = json.loads(read_file(os.path.join(runs, str(number), _TOTALS), limit=64 * 1024))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and told.get("session_id") == session_id:
            return told
    return None


def _share(outcome: Outcome, before: Mapping[str, Any]) -> Outcome:
    cost, used = before.get("cost_usd"), before.get("usage")
    if outcome.cost_usd is not None and isinstance(cost, int | float):
        outcome = attrs.evolve(outcome, cost_usd=max(0.0, outcome.cost_usd - cost))
    if outcome.usage is not None and isinstance(used, dict):
        left = {
            name: max(0, value - int(used.get(name) or 0)) for name, value in attrs.asdict(outcome.usage).items()
        }
        outcome = attrs.evolve(outcome, usage=Usage(**left))
    return outcome
