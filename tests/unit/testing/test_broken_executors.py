"""The kit, judged: each deliberately broken executor fails exactly the tests that are meant for its fault."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from datetime import date
from pathlib import Path

import pytest

from tests.campaign import FULL

SOUND = """
import json, os, subprocess, threading, time
from pathlib import Path
from autopilot import Command, CommandExecutor, ExecutorInfo, Health, Outcome, OutcomeKind, Progress
from autopilot.executors.transcript import json_line
from autopilot.testing.executors import CommandExecutorContract

DONE = '{"type": "result", "ok": true}'

class Sound(CommandExecutor):
    name = "sound"
    capabilities = frozenset({"code"})
    install_hint = "pip install sound"
    def __init__(self, options=None):
        super().__init__(options)
        self.program = self.options.get("program") or "sound"
    def command(self, context):
        return Command([self.program], stdin=context.prompt)
    def parse(self, line, stream):
        said = json_line(line) if stream == "stdout" else None
        if said is None:
            return None
        return Progress(final=said.get("type") == "result" and said.get("ok") is True)
    def judge(self, exit_code, transcript):
        if exit_code == 0 and transcript.last(type="result", ok=True):
            return Outcome(kind=OutcomeKind.SUCCEEDED, message="done")
        return Outcome(kind=OutcomeKind.FAILED, message=f"exit code {exit_code}: {transcript.last_line()}")

class Contract(CommandExecutorContract):
    __test__ = False
    done = (DONE,)
    kind = Sound
    limit_s = 15.0
    def make(self, program):
        return self.kind({"program": program})
"""

BROKEN: dict[str, tuple[str, set[str]]] = {
    "TitleAsArgument": (
        "def command(self, context): return Command([self.program, context.task.title], stdin=context.prompt)",
        {"test_words_of_strangers_are_no_words_of_the_command"},
    ),
    "ModelAsOption": (
        """
        def command(self, context):
            words = [word for word in (context.task.model, context.session_id) if word]
            return Command([self.program, *words], stdin=context.prompt)
        """,
        {"test_a_model_or_session_is_never_an_option"},
    ),
    "CapitalName": ('name = "Sound!"', {"test_its_name_can_stand_in_a_task_file"}),
    "CapabilityList": (
        'capabilities = ["code"]\n'
        "def describe(self): return ExecutorInfo(name=self.name, capabilities=self.capabilities)",
        {"test_its_capabilities_are_a_frozen_set_of_words"},
    ),
    "OtherDescription": (
        'def describe(self): return ExecutorInfo(name="other", capabilities=self.capabilities)',
        {"test_it_describes_itself_truly"},
    ),
    "StartsAtOnce": (
        """
        def __init__(self, options=None):
            super().__init__(options)
            if os.path.exists(self.program) and "agent" not in self.program and "true" not in self.program:
                subprocess.run([self.program])
        """,
        {"test_making_one_starts_nothing"},
    ),
    "SharedOptions": (
        """
        shared = {}
        def __init__(self, options=None):
            self.shared.update(options or {})
            self.options = self.shared
            self.program = self.shared["program"]
        """,
        {"test_its_options_are_its_own"},
    ),
    "AlwaysHealthy": (
        'def probe(self): return Health(ok=True, reason="fine")',
        {"test_a_probe_without_its_program_says_so"},
    ),
    "SilentRefusal": (
        'def accepts(self, task): return "" if task.executor is None else None',
        {"test_accepts_is_a_sentence_or_none"},
    ),
    "BelievesExitCodes": (
        """
        def judge(self, exit_code, transcript):
            return Outcome(kind=OutcomeKind.SUCCEEDED if exit_code == 0 else OutcomeKind.FAILED, message="x")
        """,
        {"test_exit_code_0_alone_is_no_success"},
    ),
    "SaysNothing": (
        """
        def judge(self, exit_code, transcript):
            if exit_code == 0 and transcript.last(type="result", ok=True):
                return Outcome(kind=OutcomeKind.SUCCEEDED)
            return Outcome(kind=OutcomeKind.FAILED)
        """,
        {"test_exit_code_0_alone_is_no_success", "test_a_failure_is_no_success_and_says_why"},
    ),
    "IgnoresExitCodes": (
        """
        def judge(self, exit_code, transcript):
            if transcript.last(type="result", ok=True):
                return Outcome(kind=OutcomeKind.SUCCEEDED, exit_code=0)
            return Outcome(kind=OutcomeKind.FAILED, message="no closing line")
        """,
        {"test_a_failing_exit_code_after_success_is_not_hidden"},
    ),
    "FatEvidence": (
        """
        def judge(self, exit_code, transcript):
            judged = super().judge(exit_code, transcript)
            return Outcome(kind=judged.kind, message=judged.message, evidence={"all": "x" * 100_000})
        """,
        {"test_the_outcome_is_plain_data"},
    ),
    "NoInstallHint": (
        """
        def cannot_start(self, message, hint, fault):
            return Outcome(kind=OutcomeKind.CONFIG_ERROR, message=message)
        """,
        {"test_a_missing_program_is_told_with_a_hint"},
    ),
    "PromptOnArgv": (
        "def command(self, context): return Command([self.program, context.prompt[:100_000]])",
        {"test_the_prompt_is_on_no_command_line", "test_a_long_prompt_arrives"},
    ),
    "ForgetsThePrompt": (
        "def command(self, context): return Command([self.program])",
        {
            "test_the_prompt_arrives",
            "test_a_prompt_that_looks_like_an_option_arrives",
            "test_a_long_prompt_arrives",
        },
    ),
    "OtherFolder": (
        "def command(self, context):\n"
        "    return Command([self.program], stdin=context.prompt, cwd=os.path.dirname(context.workdir))",
        {
            "test_success_is_success",
            "test_the_prompt_arrives",
            "test_the_prompt_is_on_no_command_line",
            "test_a_prompt_that_looks_like_an_option_arrives",
            "test_a_long_prompt_arrives",
            "test_standard_input_ends_and_is_no_terminal",
            "test_the_program_sees_the_attempts_environment_only",
        },
    ),
    "ChokesOnOddJson": (
        """
        def parse(self, line, stream):
            said = json.loads(line) if line.startswith("{") else None
            return Progress(final=said["type"] == "result") if said is not None else None
        """,
        {"test_whatever_it_prints_a_success_stays_one"},
    ),
    "LeaksTheEnvironment": (
        "def command(self, context): return Command([self.program], stdin=context.prompt, env=dict(os.environ))",
        {"test_the_program_sees_the_attempts_environment_only"},
    ),
    "KeepsOutput": (
        """
        def run(self, context):
            done = subprocess.run([self.program], input=context.prompt.encode(), capture_output=True,
                                  cwd=context.workdir, env=dict(context.environment))
            Path(context.run_dir, "stdout.log").write_bytes(done.stdout + done.stderr)
            said = done.returncode == 0 and DONE.encode() in done.stdout
            kind = OutcomeKind.SUCCEEDED if said else OutcomeKind.FAILED
            return Outcome(kind=kind, message="x", hint="install it")
        """,
        {
            "test_a_flood_costs_little_memory_and_disk",
            "test_secrets_that_it_prints_are_in_no_file",
            "test_a_program_that_lingers_after_its_last_word_is_ended",
            "test_children_left_behind_do_not_keep_it",
            "test_a_missing_program_is_told_with_a_hint",
        },
    ),
    "NeverFinal": (
        """
        def parse(self, line, stream):
            return Progress() if json_line(line) is not None else None
        """,
        {"test_a_program_that_lingers_after_its_last_word_is_ended"},
    ),
}

LIMIT_S = 6.0
"""How long a broken executor is waited for: some of them hang, as they are meant to."""

HEAVY = {
    "test_whatever_it_prints_a_success_stays_one",
    "test_a_flood_costs_little_memory_and_disk",
    "test_a_slow_success_is_success",
    "test_children_left_behind_do_not_keep_it",
    "test_a_program_that_does_not_read_its_prompt_may_succeed",
    "test_a_long_prompt_arrives",
    "test_a_program_that_lingers_after_its_last_word_is_ended",
}
"""Seconds each: by default only the sound executor and those that should fail them are put to them."""

SELECTION = """
import zlib

MEANT, HEAVY, DAY = {meant!r}, {heavy!r}, {day}

def chosen(item):
    if item.originalname in MEANT.get(item.cls.__name__, ()):
        return True
    today = (zlib.crc32(item.nodeid.encode()) + DAY) % 5 == 0
    return item.originalname not in HEAVY and (item.cls.__name__ == "TestSound" or today)

def pytest_collection_modifyitems(items):
    items[:] = filter(chosen, items)
"""
"""The everyday run: all that is meant for a fault, and a fifth of what is not, another one on each day."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_fault_is_found_by_the_tests_meant_for_it(tmp_path: Path) -> None:
    text = SOUND + "\nclass TestSound(Contract):\n    __test__ = True\n"
    for name, (body, _) in BROKEN.items():
        text += f"\nclass {name}(Sound):\n{textwrap.indent(textwrap.dedent(body).strip(), '    ')}\n"
        text += f"\nclass Test{name}(Contract):\n    __test__ = True\n    kind = {name}\n    limit_s = {LIMIT_S}\n"
    (tmp_path / "test_generated.py").write_text(text)
    if not FULL:
        meant = {"TestSound": HEAVY, **{f"Test{name}": tests for name, (_, tests) in BROKEN.items()}}
        (tmp_path / "conftest.py").write_text(
            SELECTION.format(meant=meant, heavy=HEAVY, day=date.today().toordinal())
        )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rf",
            "--tb=line",
            "-p",
            "no:cacheprovider",
            "test_generated.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    failed: dict[str, set[str]] = {name: set() for name in ("Sound", *BROKEN)}
    for name, test in re.findall(r"^FAILED test_generated\.py::Test(\w+)::(\w+)", done.stdout, re.M):
        failed[name].add(test)
    assert failed == {"Sound": set(), **{name: tests for name, (_, tests) in BROKEN.items()}}, done.stdout[-3000:]
