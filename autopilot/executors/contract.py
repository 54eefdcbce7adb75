"""The executor contract: the class that an adapter's author subclasses.

An executor is plain blocking code. It runs in a process of its own (the *host*), a child of the attempt's
runner: it may hang, leak, call ``os._exit`` or flood its output, and costs one attempt only.

``Executor`` is the general form. For a command-line program subclass
``autopilot.executors.command.CommandExecutor`` instead: it needs three short methods and leaves everything
about processes to the core.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from autopilot.models import ExecutorInfo, Health, Limits, Outcome, Task, Usage

if TYPE_CHECKING:
    from autopilot.system.redact import Redactor

__all__ = ["AttemptContext", "Executor", "Progress"]


@attrs.frozen(kw_only=True)
class Progress:
    """A sign of life from inside an attempt; anything that is not known stays None.

    Attributes:
        message: one line for people (``editing src/app.py``).
        usage, cost_usd, turns: the running totals of this attempt.
        session_id: the program's session, as soon as it is known, so that a retry can resume it.
        final: the program has said its last word; it now has ``limits.linger_s`` seconds to exit.
    """

    message: str | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    turns: int | None = None
    session_id: str | None = None
    model: str | None = None
    final: bool = False


@attrs.frozen(kw_only=True)
class AttemptContext:
    """All that an executor may know of the attempt it does.

    Attributes:
        task: the task as it was when it was claimed.
        number: the attempt's number, from 1.
        prompt: the rendered prompt (also in ``run_dir/prompt.md``).
        workdir: the folder to work in.
        run_dir: a private folder for this attempt's files.
        environment: what a program started by the executor may see; nothing else is to be passed on.
        options: the executor's section of the config.
        earlier_failure: what the last judged attempt said, empty on the first.
        session_id: the program's session of an earlier attempt on this executor, None to start afresh.
        report: call it with a ``Progress``; cheap, may be called often; feeds the idle watch.
        redactor: hides what the dispatcher's environment has of secrets, also those that ``environment`` lacks, in
            what is written; None where nobody knows more than the environments show.
    """

    task: Task
    number: int
    prompt: str
    workdir: str
    run_dir: str
    environment: Mapping[str, str]
    limits: Limits
    options: Mapping[str, Any] = attrs.field(factory=dict)
    earlier_failure: str = ""
    session_id: str | None = None
    report: Callable[[Progress], None] = lambda progress: None
    redactor: Redactor | None = attrs.field(default=None, repr=False)


class Executor(abc.ABC):
    """Does attempts.

    Class attributes:
        name: the executor's name in task files and on the screen: ``[a-z0-9][a-z0-9-]*``.
        capabilities: what it can do, for ``requires:``; ``code``, ``review``, ``shell``, or words of your own.
        environment: prefixes or names of environment variables that its program needs, such as ``ANTHROPIC_``.
            The core passes those on, beside a small list that every program gets, and nothing else.

    Attributes:
        set_env: the variables that the config sets for its programs (``set_env:``).

    Construction must be cheap and must not touch the network or start programs: every command of
    ``autopilotctl`` that asks for executors makes one.
    """

    name: ClassVar[str]
    capabilities: ClassVar[frozenset[str]] = frozenset()
    environment: ClassVar[tuple[str, ...]] = ()
    set_env: Mapping[str, str] = MappingProxyType({})

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self.options: Mapping[str, Any] = options or {}

    @property
    def environ(self) -> Mapping[str, str]:
        """For ``probe``: the environment that an attempt's is taken from, with ``set_env`` on top."""
        return {**os.environ, **self.set_env}

    def describe(self) -> ExecutorInfo:
        """Tier, declared strengths, quota pool, model, slots. Called in the dispatcher; must be cheap."""
        return ExecutorInfo(name=self.name, capabilities=self.capabilities)

    def accepts(self, task: Task) -> str | None:
        """None, or why this executor can never do this task (one sentence). Must be cheap and pure."""
        return None

    def probe(self) -> Health:
        """Whether it can be tried now: program on PATH, version, credentials there. At most a second or two;
        the core caches the answer."""
        return Health(ok=True, reason="ready")

    @abc.abstractmethod
    def run(self, context: AttemptContext) -> Outcome:
        """Do the attempt and judge it by evidence. Runs in the host process; an exception becomes
        ``executor_broken``."""
