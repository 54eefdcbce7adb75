"""``CommandExecutor``: the base of executors that run a command-line program."""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import attrs

from autopilot.executors.contract import AttemptContext, Executor, Progress
from autopilot.executors.transcript import Transcript, json_line
from autopilot.models import Health, Outcome, OutcomeKind

__all__ = ["Command", "CommandExecutor", "Transcript", "json_line"]


def _argv(words: Sequence[str]) -> tuple[str, ...]:
    argv = tuple(words) if not isinstance(words, str | bytes) else ()
    if not argv or not all(isinstance(word, str) for word in argv) or not argv[0]:
        raise ValueError(
            "argv must be a list of strings that begins with the program; a shell line is [sh, -c, line]"
        )
    return argv


@attrs.frozen
class Command:
    """A program to run.

    Attributes:
        argv: the program and its arguments; no shell looks at them. Long or untrusted text belongs into ``stdin``
            or a file: one argument may have 131,071 bytes, everybody on the machine can read it, and one that
            begins with ``-`` is an option.
        env: variables on top of the attempt's environment.
        stdin: what the program reads before end of file; None is ``/dev/null``. It is never a terminal.
        cwd: the working folder; None is the attempt's ``workdir``.
    """

    argv: tuple[str, ...] = attrs.field(converter=_argv)
    env: Mapping[str, str] = attrs.field(factory=dict, kw_only=True)
    stdin: str | bytes | None = attrs.field(default=None, kw_only=True)
    cwd: str | None = attrs.field(default=None, kw_only=True)

    @property
    def stdin_bytes(self) -> bytes | None:
        """``stdin`` as UTF-8."""
        return self.stdin.encode("utf-8", "replace") if isinstance(self.stdin, str) else self.stdin


class CommandExecutor(Executor):
    """Runs a program and judges what it says.

    The author writes ``command`` and ``judge``, and ``parse`` where the program tells its progress. Everything
    about processes belongs to the core: an own session, a stdin that ends, output to capped and redacted files
    (``stdout.log``, ``stderr.log``, ``transcript.ndjson`` in the attempt's folder), the end of the program however
    it comes, and of everything that it started.

    Class attributes:
        program: the program's name, for ``probe``; empty where there is none to look for.
        version_arguments: arguments that make it print its version and exit 0; empty to skip that.
        version_limit_s: how long it may take to print it, in seconds.
        install_hint: how to install the program, for ``probe`` and for an attempt that does not find it.

    Example::

        class Echo(CommandExecutor):
            name = "echo"
            capabilities = frozenset({"code"})
            program = "echo-agent"

            def command(self, context):
                return Command(["echo-agent", "--json"], stdin=context.prompt)

            def parse(self, line, stream):
                said = json_line(line)
                return Progress(message=said["text"], final=said["type"] == "result") if said else None

            def judge(self, exit_code, transcript):
                if exit_code == 0 and transcript.final:
                    return Outcome(kind=OutcomeKind.SUCCEEDED)
                return Outcome(kind=OutcomeKind.FAILED, message=transcript.last_line())
    """

    program: ClassVar[str] = ""
    version_arguments: ClassVar[tuple[str, ...]] = ("--version",)
    version_limit_s: ClassVar[float] = 5.0
    install_hint: ClassVar[str] = ""

    @abc.abstractmethod
    def command(self, context: AttemptContext) -> Command:
        """The program to run for this attempt. May write files to ``context.run_dir``. An ``AutopilotError`` that
        it raises becomes ``config_error`` with its message and hint, any other exception ``executor_broken``."""

    def parse(self, line: str, stream: str) -> Progress | None:
        """What one line says; None for one that says nothing.

        Called for each line of ``stdout`` and ``stderr`` (``stream``), without its newline, cut after 1 MiB. The
        JSON object of a line for which this returns a ``Progress``, be it an empty one, is kept in
        ``Transcript.records`` for ``judge``. ``Progress(final=True)`` says that the program has had its last word:
        it is ended if it has not exited ``limits.linger_s`` seconds later. An exception does not stop the program;
        the attempt then ends as ``executor_broken``. Leave it out where there is nothing to parse: then no line is
        looked at, and output costs next to nothing.
        """
        return None

    @abc.abstractmethod
    def judge(self, exit_code: int, transcript: Transcript) -> Outcome:
        """The outcome, from evidence.

        Usage, cost, turns, model, session and exit code may be left out where ``parse`` reported them.

        Args:
            exit_code: negative for a signal; 0 for a program that had its last word and was ended for lingering.
        """

    def cannot_start(self, message: str, hint: str, fault: OSError) -> Outcome:
        """The outcome when the program could not be started; ``message`` and ``hint`` say why in words.

        Not asked where this machine has no process, descriptor, memory or disk left: that is nobody's fault; nor
        where its folder is not there or may not be entered: that is the task's.
        """
        import errno

        missing = fault.errno in (errno.ENOENT, errno.ENOTDIR)
        return Outcome(
            kind=OutcomeKind.CONFIG_ERROR if missing else OutcomeKind.EXECUTOR_BROKEN,
            message=message,
            hint=(self.install_hint if missing else "") or hint,
            evidence={"errno": errno.errorcode.get(fault.errno or 0, "")},
        )

    def probe(self) -> Health:
        """Whether ``program`` is on PATH and tells its version within ``version_limit_s``."""
        import shutil

        if not self.program:
            return Health(ok=True, reason="ready")
        path = shutil.which(self.program, path=self.environ.get("PATH"))
        if path is None:
            return Health(
                ok=False,
                reason=f"the program {self.program} was not found on PATH",
                hint=self.install_hint or f"install {self.program}, or put its folder on PATH",
            )
        return self._version_of(path) if self.version_arguments else Health(ok=True, reason=f"{path} is there")

    def _version_of(self, path: str) -> Health:
        from autopilot.executors.quick import quick_run
        from autopilot.system.environment import child_environment

        line = [path, *self.version_arguments]
        environment = child_environment(os.environ, prefixes=self.environment, values=self.set_env)
        done = quick_run(line, environment=environment, limit_s=self.version_limit_s)
        if done.code != 0:
            reason = f"`{self.program} {' '.join(self.version_arguments)}` {done.sentence}"
            return Health(ok=False, reason=reason, hint=f"run {path} by hand and see what it says")
        return self.version_says(done.text)

    def version_says(self, text: str) -> Health:
        """What the program's answer to ``version_arguments`` means: by default its version, the first number with
        a dot. Override it where the answer also tells a dialect, or that the program is not to be used."""
        found = re.search(r"\d+(?:\.\d+)+\S*", text)
        version = found.group() if found else ""
        return Health(ok=True, reason=f"{self.program} {version}".strip(), version=version)

    def run(self, context: AttemptContext) -> Outcome:
        """Run the program and judge it."""
        from autopilot.executors.conduct import conduct

        return conduct(self, context)
