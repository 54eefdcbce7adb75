"""Claude Code: the contract, recorded runs of the real program, its command line, and any output at all."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot import AttemptContext, Outcome, OutcomeKind, Progress, Task, Transcript
from autopilot.testing.attempts import run_attempt
from autopilot.testing.executors import CommandExecutorContract, context_for
from autopilot.testing.fake_agent import install_replay
from autopilot.testing.strategies import output_lines
from autopilot_adapter_claude import ClaudeExecutor

TRANSCRIPTS = Path(__file__).parent / "transcripts"
DONE = (
    '{"type":"system","subtype":"init","session_id":"3c3acbff-5e18-42fd-82ee-e702041949ec","model":"claude"}',
    '{"type":"result","subtype":"success","is_error":false,"result":"Done.","num_turns":1,"total_cost_usd":0.005,'
    '"usage":{"input_tokens":1000,"output_tokens":50},"permission_denials":[],'
    '"session_id":"3c3acbff-5e18-42fd-82ee-e702041949ec"}',
)

K = OutcomeKind
RECORDED = {
    "text-stream-json": K.SUCCEEDED,
    "write-acceptEdits": K.SUCCEEDED,
    "write-dontAsk": K.DENIED,
    "max-turns": K.LIMIT_REACHED,
    "stream-rate-limit": K.RATE_LIMITED,
    "usage-limit-oauth": K.RATE_LIMITED,
    "stream-quota": K.QUOTA_EXHAUSTED,
    "stream-no-credit": K.QUOTA_EXHAUSTED,
    "stream-auth": K.AUTH_ERROR,
    "stream-forbidden": K.AUTH_ERROR,
    "stream-no-credentials": K.AUTH_ERROR,
    "stream-bad-request": K.CONFIG_ERROR,
    "stream-no-model": K.CONFIG_ERROR,
    "bad-session-id": K.CONFIG_ERROR,
    "bad-flag": K.CONFIG_ERROR,
    "resume-3-same-session-id-again": K.CONFIG_ERROR,
    "resume-4-unknown": K.CONFIG_ERROR,
    "write-bypass-root": K.CONFIG_ERROR,
    "stream-overloaded": K.UNAVAILABLE,
    "stream-overloaded-in-stream": K.UNAVAILABLE,
    "stream-unavailable": K.UNAVAILABLE,
    "stream-drop": K.UNAVAILABLE,
    "child-sigint": K.FAILED,
    "slow-sigterm": K.FAILED,
    "killed-4-sigkill": K.FAILED,
}


class TestContract(CommandExecutorContract):
    done = DONE

    def make(self, program: str) -> ClaudeExecutor:
        return ClaudeExecutor({"program": program})


def replay(folder: Path, case: str) -> Outcome:
    recorded = TRANSCRIPTS / case
    code = int((recorded / "exit_code").read_text())
    program = install_replay(folder, recorded / "stdout.txt", recorded / "stderr.txt", code)
    done = run_attempt(
        ClaudeExecutor({"program": program}), context_for(folder / "attempt", Task(id="t", title="T"))
    )
    assert done.outcome is not None, done.fault
    return done.outcome


@pytest.mark.parametrize(("case", "kind"), RECORDED.items())
def test_a_recorded_run_is_judged_rightly(tmp_path: Path, case: str, kind: OutcomeKind) -> None:
    outcome = replay(tmp_path, case)
    assert outcome.kind is kind, outcome
    assert outcome.message


def test_every_recording_is_used() -> None:
    assert {path.name for path in TRANSCRIPTS.iterdir()} == set(RECORDED)


def test_tokens_cost_turns_and_session_are_told(tmp_path: Path) -> None:
    outcome = replay(tmp_path, "text-stream-json")
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (1000, 50)
    assert outcome.cost_usd == 0.005
    assert outcome.turns == 1
    assert outcome.session_id == "3c3acbff-5e18-42fd-82ee-e702041949ec"


def test_a_subscription_window_has_its_reset(tmp_path: Path) -> None:
    assert replay(tmp_path, "usage-limit-oauth").reset_at == datetime.fromtimestamp(1795336787, UTC)


# ---------------------------------------------------------------------- the command line


def words(tmp_path: Path, options: dict[str, Any] | None = None, **more: Any) -> list[str]:
    task = more.pop("task", Task(id="t", title="T"))
    context: AttemptContext = context_for(tmp_path, task, **more)
    return list(ClaudeExecutor(options).command(context).argv)


def test_a_first_attempt_has_a_session_of_its_own_and_a_retry_resumes(tmp_path: Path) -> None:
    first = words(tmp_path / "a")
    assert "--resume" not in first
    uuid.UUID(first[first.index("--session-id") + 1])
    again = words(tmp_path / "b", session_id="3c3acbff-5e18-42fd-82ee-e702041949ec")
    assert again[again.index("--resume") + 1] == "3c3acbff-5e18-42fd-82ee-e702041949ec"
    afresh = words(tmp_path / "c", {"resume": False}, session_id="3c3acbff-5e18-42fd-82ee-e702041949ec")
    assert "--resume" not in afresh
    assert first[first.index("--session-id") + 1] != afresh[afresh.index("--session-id") + 1]


def test_options_become_flags_that_swallow_nothing(tmp_path: Path) -> None:
    line = words(
        tmp_path,
        {
            "permission_mode": "plan",
            "allowed_tools": ["Bash(npm test:*)", "Edit"],
            "max_turns": 7,
            "arguments": ["--effort", "high"],
        },
        task=Task(id="t", title="T", model="opus", budget_usd=1.5),
    )
    assert "--allowedTools=Bash(npm test:*),Edit" in line
    for flag, value in (
        ("--permission-mode", "plan"),
        ("--max-turns", "7"),
        ("--model", "opus"),
        ("--max-budget-usd", "1.5"),
    ):
        assert line[line.index(flag) + 1] == value
    assert line[-2:] == ["--effort", "high"]


def test_the_probe_wants_credentials_and_warns_of_what_it_does_not_know(tmp_path: Path, monkeypatch: Any) -> None:
    program = tmp_path / "claude"
    program.write_text("#!/bin/sh\necho '9.9.9 (Claude Code)'\n")
    program.chmod(0o755)
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path))
    health = ClaudeExecutor({"program": str(program)}).probe()
    assert not health.ok
    assert "ANTHROPIC_API_KEY" in health.hint
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
    health = ClaudeExecutor({"program": str(program), "permision_mode": "plan"}).probe()
    assert health.ok
    assert health.version == "9.9.9"
    assert "newer than" in health.warning
    assert "permision_mode" in health.warning


# ---------------------------------------------------------------------- anything at all


EVENTS = [
    json.loads(line)
    for case in ("text-stream-json", "usage-limit-oauth", "stream-rate-limit")
    for line in (TRANSCRIPTS / case / "stdout.txt").read_text().splitlines()
]


@settings(deadline=None, max_examples=200)
@given(st.lists(output_lines(*EVENTS), max_size=6), st.integers(-15, 255))
def test_no_output_breaks_parser_or_judge(lines: list[str], exit_code: int) -> None:
    executor = ClaudeExecutor()
    kept = []
    for line in lines:
        progress = executor.parse(line, "stdout")
        assert progress is None or isinstance(progress, Progress)
        if progress is not None:
            kept.append(json.loads(line))
    text = "\n".join(lines)
    outcome = executor.judge(exit_code, Transcript(stdout=text, stderr=text, records=tuple(kept)))
    assert isinstance(outcome, Outcome)
    if exit_code != 0:
        assert outcome.kind is not OutcomeKind.SUCCEEDED
