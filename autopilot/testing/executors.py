"""The contracts for executors: subclass one, say how to make yours, and run pytest.

``ExecutorContract`` holds for every executor. ``CommandExecutorContract`` adds what executors of command-line
programs owe, with a fake agent in the place of the program::

    class TestMyExecutor(CommandExecutorContract):
        done = ('{"type": "result", "ok": true}',)   # what your program prints when it has succeeded

        def make(self, program):
            return MyExecutor({"program": program})  # run this program instead of yours
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from autopilot.errors import AutopilotError
from autopilot.executors.command import CommandExecutor
from autopilot.executors.contract import AttemptContext, Executor
from autopilot.models import ExecutorInfo, Health, Limits, Outcome, OutcomeKind, Task
from autopilot.models.wire import dump
from autopilot.testing.attempts import Ran, run_attempt
from autopilot.testing.fake_agent import MARK, WORK

__all__ = ["SUCCESSES", "CommandExecutorContract", "ExecutorContract", "context_for"]

SUCCESSES = frozenset({OutcomeKind.SUCCEEDED, OutcomeKind.NO_CHANGE_NEEDED})

SECRETS = {"KIT_API_KEY": "kit-0123456789-secret-value", "KIT_PASSWORD": "hunter2hunter2"}
"""Planted: in the environment of the host, where no program and no log may find them."""

HOSTILE_WORDS = (
    "--dangerously-skip-permissions",
    "-x",
    "two\nlines",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned #",
    "a\0b",
    "\x1b]52;c;eA==\x07",
    "'\"\\",
)
"""What strangers write into titles, and what a program may give for the name of its session."""

FLOOD_MAY_COST_MIB = 24
LOGS_MAY_TAKE = 4 * 1024 * 1024


def context_for(folder: Path, task: Task, *, prompt: str = f"Please do {MARK}.", **more: Any) -> AttemptContext:
    """A context for one attempt of ``task``, with fresh folders below ``folder``."""
    workdir, run_dir = folder / "work", folder / "run"
    workdir.mkdir(parents=True)
    run_dir.mkdir(mode=0o700)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    defaults: dict[str, Any] = {
        "task": task,
        "number": 1,
        "prompt": prompt,
        "workdir": str(workdir),
        "run_dir": str(run_dir),
        "environment": {**environment, "TERM": "dumb"},
        "limits": Limits(deadline_s=120, grace_s=1, linger_s=1, output_bytes=1024 * 1024),
    }
    return AttemptContext(**{**defaults, **more})


class ExecutorContract:
    """What every executor owes. Override ``make``; the rest has defaults that fit most."""

    def make(self, program: str) -> Executor:
        """The executor under test. ``program``: the program it is to run instead of its own, where it runs one."""
        raise NotImplementedError("say how to make the executor: def make(self, program)")

    def task(self, program: str) -> Task:
        """A task that the executor accepts."""
        return Task(
            id="kit-task", title="A task of the kit", body=f"Please do {MARK}.", executor=self.make(program).name
        )

    def test_its_name_can_stand_in_a_task_file(self) -> None:
        name = self.make("true").name
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", name), f"{name!r} is not of a-z, 0-9 and -"

    def test_its_capabilities_are_a_frozen_set_of_words(self) -> None:
        capabilities = self.make("true").capabilities
        assert isinstance(capabilities, frozenset)
        assert capabilities, "without a capability no task is ever routed to it"
        assert all(isinstance(word, str) and re.fullmatch(r"[a-z0-9][a-z0-9_-]*", word) for word in capabilities)

    def test_it_describes_itself_truly(self) -> None:
        executor = self.make("true")
        info = executor.describe()
        assert isinstance(info, ExecutorInfo)
        assert (info.name, info.capabilities) == (executor.name, executor.capabilities)
        assert info.tier in ("", "high", "volume")
        assert info.slots is None or info.slots > 0

    def test_making_one_starts_nothing(self, tmp_path: Path) -> None:
        before = threading.active_count()
        tattler = tmp_path / "program"
        tattler.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-started\n")
        tattler.chmod(0o755)
        self.make(str(tattler)).describe()
        assert threading.active_count() == before, "it started a thread"
        assert not (tmp_path / "was-started").exists(), "it started its program"

    def test_its_options_are_its_own(self) -> None:
        one, other = self.make("/bin/one"), self.make("/bin/other")
        assert one is not other
        assert one.options != other.options or not one.options, "two executors share their options"

    def test_a_probe_without_its_program_says_so(self, tmp_path: Path) -> None:
        health = self.make(str(tmp_path / "not-there")).probe()
        assert isinstance(health, Health)
        assert not health.ok, "it calls itself healthy although its program is missing"
        assert health.reason, "an unhealthy executor gives a reason"
        assert health.hint, "and a hint how to mend it"

    def test_accepts_is_a_sentence_or_none(self) -> None:
        executor = self.make("true")
        assert executor.accepts(self.task("true")) is None
        for task in (Task(id="a", title="prose"), Task(id="b", title="shell", command="true")):
            refusal = executor.accepts(task)
            assert refusal is None or (isinstance(refusal, str) and refusal.strip())


class CommandExecutorContract(ExecutorContract):
    """What executors of command-line programs owe.

    Class attributes:
        done: the lines that the program prints when it has succeeded.
        takes_prompt: the prompt reaches the program (it does not for a shell).
        prompt_by_argument: the program can take its prompt as an argument only; long ones go by a file.
        exit_code_is_evidence: exit code 0 alone is success (a shell); agents must show more.
        limit_s: how long an attempt with a fake agent may take before it counts as hanging.
    """

    done: ClassVar[tuple[str, ...]] = ()
    takes_prompt: ClassVar[bool] = True
    prompt_by_argument: ClassVar[bool] = False
    exit_code_is_evidence: ClassVar[bool] = False
    limit_s: ClassVar[float] = 60.0

    @pytest.fixture
    def ran(
        self, tmp_path: Path, fake_agent: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> Callable[..., Ran]:
        """Run an attempt with the fake agent in a mode: ``ran("works")``; more goes into the context."""
        for name, value in SECRETS.items():
            monkeypatch.setenv(name, value)

        def run(mode: str, **more: Any) -> Ran:
            program = fake_agent(mode, self.done)
            context = context_for(tmp_path / f"attempt-{mode}", self.task(program), **more)
            return run_attempt(self.make(program), context, limit_s=self.limit_s)

        return run

    # ------------------------------------------------------------------ judging

    def test_success_is_success(self, ran: Callable[..., Ran]) -> None:
        done = ran("works")
        assert _outcome(done).kind in SUCCESSES, _outcome(done)
        assert (done.workdir / WORK).exists(), "it did not run in the attempt's workdir"

    def test_a_slow_success_is_success(self, ran: Callable[..., Ran]) -> None:
        assert _outcome(ran("slow")).kind in SUCCESSES

    @pytest.mark.parametrize("mode", ["silent", "chatty", "cut", "closes-output"])
    def test_exit_code_0_alone_is_no_success(self, ran: Callable[..., Ran], mode: str) -> None:
        if self.exit_code_is_evidence:
            pytest.skip("for this executor the exit code is the evidence")
        outcome = _outcome(ran(mode))
        assert outcome.kind not in SUCCESSES
        assert outcome.message, "a failure says in a sentence what happened"

    @pytest.mark.parametrize("mode", ["fails", "killed", "terminated", "aborts", "asks"])
    def test_a_failure_is_no_success_and_says_why(self, ran: Callable[..., Ran], mode: str) -> None:
        outcome = _outcome(ran(mode))
        assert outcome.kind not in SUCCESSES
        assert outcome.message, "a failure says in a sentence what happened"

    def test_a_failing_exit_code_after_success_is_not_hidden(self, ran: Callable[..., Ran]) -> None:
        outcome = _outcome(ran("fails-after-done"))
        assert outcome.kind not in SUCCESSES or outcome.exit_code == 3

    def test_the_outcome_is_plain_data(self, ran: Callable[..., Ran]) -> None:
        outcome = _outcome(ran("works"))
        assert len(json.dumps(dump(outcome))) < 64 * 1024, "evidence is small; what is long belongs into run_dir"

    def test_a_missing_program_is_told_with_a_hint(self, tmp_path: Path) -> None:
        program = str(tmp_path / "not-there")
        outcome = _outcome(run_attempt(self.make(program), context_for(tmp_path / "attempt", self.task(program))))
        assert outcome.kind not in SUCCESSES
        assert outcome.message
        assert outcome.hint, "it says how to install the program"

    # ------------------------------------------------------------------ the prompt

    def test_the_prompt_arrives(self, ran: Callable[..., Ran]) -> None:
        self._needs_prompt()
        assert MARK in _heard(ran("works"))

    def test_the_prompt_is_on_no_command_line(self, ran: Callable[..., Ran]) -> None:
        self._needs_prompt()
        if self.prompt_by_argument:
            pytest.skip("this program takes its prompt as an argument only")
        assert MARK not in " ".join(ran("works").told()["argv"]), (
            "everybody on the machine can read a command line"
        )

    def test_a_prompt_that_looks_like_an_option_arrives(self, ran: Callable[..., Ran]) -> None:
        self._needs_prompt()
        assert MARK in _heard(ran("works", prompt=f"--help {MARK}"))

    @pytest.mark.parametrize("word", HOSTILE_WORDS, ids=ascii)
    def test_words_of_strangers_are_no_words_of_the_command(self, tmp_path: Path, word: str) -> None:
        executor, task = self._command_executor(), self.task("true")
        context = context_for(tmp_path, task)
        argv = executor.command(context).argv
        told: dict[str, Any] = {"title": word, "tags": (word,), "acceptance_criteria": (word,)}
        again = executor.command(attrs.evolve(context, task=attrs.evolve(task, **told))).argv
        assert _lasting(again) == _lasting(argv), "a title is part of the prompt, not of the command line"

    @pytest.mark.parametrize("word", HOSTILE_WORDS, ids=ascii)
    def test_a_model_or_session_is_never_an_option(self, tmp_path: Path, word: str) -> None:
        executor, task = self._command_executor(), self.task("true")
        changes: tuple[dict[str, Any], ...] = ({"task": attrs.evolve(task, model=word)}, {"session_id": word})
        for change in changes:
            context = attrs.evolve(context_for(tmp_path / next(iter(change)), task), **change)
            try:
                argv = executor.command(context).argv
            except AutopilotError:
                continue  # it says what is wrong with it
            assert argv[0] != word
            assert not (word.startswith("-") and word in argv), "give it as --option=value, or refuse it"
            assert not any("\0" in argument for argument in argv), "no program can be started with a NUL"

    def test_a_long_prompt_arrives(self, ran: Callable[..., Ran]) -> None:
        self._needs_prompt()
        done = ran("works", prompt="many words " * 20_000 + MARK)
        assert _outcome(done).kind in SUCCESSES, _outcome(done)
        assert MARK in _heard(done)

    def test_a_program_that_does_not_read_its_prompt_may_succeed(self, ran: Callable[..., Ran]) -> None:
        assert _outcome(ran("no-stdin", prompt="word " * 100_000)).kind in SUCCESSES

    def test_standard_input_ends_and_is_no_terminal(self, ran: Callable[..., Ran]) -> None:
        assert ran("works").told()["stdin_is_terminal"] is False

    # ------------------------------------------------------------------ what it prints

    @pytest.mark.parametrize(
        "mode", ["binary", "escapes", "odd-json", "long-line", "many-lines", "floods", "floods-stderr"]
    )
    def test_whatever_it_prints_a_success_stays_one(self, ran: Callable[..., Ran], mode: str) -> None:
        assert _outcome(ran(mode)).kind in SUCCESSES

    def test_a_flood_costs_little_memory_and_disk(self, ran: Callable[..., Ran]) -> None:
        calm, flooded = ran("works"), ran("floods")
        assert flooded.peak_mib - calm.peak_mib < FLOOD_MAY_COST_MIB, "output is kept in memory without a bound"
        assert len(flooded.written()) < LOGS_MAY_TAKE, "output is written to disk without a bound"

    # ------------------------------------------------------------------ secrets

    def test_the_program_sees_the_attempts_environment_only(self, ran: Callable[..., Ran]) -> None:
        seen = ran("works").told()["environ"]
        leaked = sorted(set(SECRETS) & set(seen))
        assert not leaked, (
            f"the program was given {', '.join(leaked)}: pass on context.environment and nothing else"
        )

    def test_secrets_that_it_prints_are_in_no_file(self, ran: Callable[..., Ran]) -> None:
        environment = {"PATH": os.environ["PATH"], "VENDOR_API_KEY": "sk-vendor-0123456789abcdef"}
        done = ran("tells-secrets", environment=environment)
        written = done.written() + json.dumps(dump(_outcome(done))).encode()
        assert environment["VENDOR_API_KEY"].encode() not in written
        assert b"ghp_A1b2" not in written

    # ------------------------------------------------------------------ how it ends

    def test_a_program_that_lingers_after_its_last_word_is_ended(self, ran: Callable[..., Ran]) -> None:
        if not self.done:
            pytest.skip("without a last word nobody can tell lingering from working")
        done = ran("lingers")
        assert not done.hung, "it waits for ever for a program that has said its last word"
        assert _outcome(done).kind in SUCCESSES, "the result that was there is kept"

    @pytest.mark.parametrize("mode", ["leaves-child", "forks-away"])
    def test_children_left_behind_do_not_keep_it(self, ran: Callable[..., Ran], mode: str) -> None:
        done = ran(mode)
        assert not done.hung, "it waits for the end of output, and not for the end of the program"
        assert _outcome(done).kind in SUCCESSES

    # ------------------------------------------------------------------

    def _command_executor(self) -> CommandExecutor:
        executor = self.make("true")
        assert isinstance(executor, CommandExecutor)
        return executor

    def _needs_prompt(self) -> None:
        if not self.takes_prompt:
            pytest.skip("this executor gives its program no prompt")


def _outcome(done: Ran) -> Outcome:
    assert not done.hung, "run() did not come back"
    assert done.outcome is not None, f"run() gave no outcome: {done.fault}"
    return done.outcome


def _lasting(argv: tuple[str, ...]) -> list[str]:
    """The words of a command line without what is made afresh each time, such as a session's id."""
    return [re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID", word) for word in argv]


def _heard(done: Ran) -> str:
    """All that the program could read of its prompt: standard input, arguments, and the files they name."""
    told: Mapping[str, Any] = done.told()
    named = [Path(word) for argument in told["argv"] for word in re.findall(r"/[^\s'\"`]+", argument)]
    files = [path.read_text(errors="replace") for path in named if path.is_file()]
    return "\n".join([told["stdin"], *told["argv"], *files])
