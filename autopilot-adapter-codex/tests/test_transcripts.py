"""What the real program printed, judged: ``transcripts/<case>`` has what ``codex exec --json`` (0.169.0) said."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot import Outcome, OutcomeKind, Progress, Transcript, Usage, json_line
from autopilot.testing.strategies import output_lines
from autopilot_adapter_codex import CodexExecutor

CASES = Path(__file__).parent / "transcripts"
SIZE = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))
K = OutcomeKind

EXPECTED = {
    "text-json": K.SUCCEEDED,
    "write-workspace": K.SUCCEEDED,
    "write-workspace-functions": K.SUCCEEDED,
    "run-workspace": K.SUCCEEDED,
    "run-failing": K.SUCCEEDED,
    "git-commit": K.SUCCEEDED,
    "rate-limit-once": K.SUCCEEDED,
    "resume-2-resume": K.SUCCEEDED,
    "websocket-fallback": K.SUCCEEDED,
    "write-read-only": K.DENIED,
    "write-outside": K.DENIED,
    "write-outside-then-in": K.DENIED,
    "run-read-only": K.DENIED,
    "rate-limit-default-retries": K.RATE_LIMITED,
    "rate-limit-in-stream-retry1": K.RATE_LIMITED,
    "usage-limit": K.RATE_LIMITED,
    "quota": K.QUOTA_EXHAUSTED,
    "no-credit": K.QUOTA_EXHAUSTED,
    "auth-401": K.AUTH_ERROR,
    "forbidden-403": K.AUTH_ERROR,
    "no-env-key": K.CONFIG_ERROR,
    "bad-request-400": K.CONFIG_ERROR,
    "no-model": K.CONFIG_ERROR,
    "bad-config": K.CONFIG_ERROR,
    "full-auto-flag": K.CONFIG_ERROR,
    "not-a-repo": K.CONFIG_ERROR,
    "resume-unknown": K.CONFIG_ERROR,
    "overloaded": K.UNAVAILABLE,
    "overloaded-in-stream": K.UNAVAILABLE,
    "unavailable-default-retries": K.UNAVAILABLE,
    "connection-refused": K.UNAVAILABLE,
    "drop": K.UNAVAILABLE,
    "human-output": K.PROTOCOL_VIOLATION,
    "slow-sigterm": K.FAILED,
    "slow-sigint": K.FAILED,
    "killed": K.FAILED,
}

NEED_SOMEBODY = {K.AUTH_ERROR, K.CONFIG_ERROR, K.DENIED}


def heard(stdout: list[str], stderr: list[str]) -> tuple[Transcript, list[Progress]]:
    """What the core makes of these lines."""
    executor = CodexExecutor()
    told = [(line, executor.parse(line, "stdout")) for line in stdout]
    told += [(line, executor.parse(line, "stderr")) for line in stderr]
    known = [(line, progress) for line, progress in told if progress is not None]
    transcript = Transcript(
        stdout="\n".join(stdout),
        stderr="\n".join(stderr),
        records=tuple(record for line, _ in known if (record := json_line(line)) is not None),
        final=any(progress.final for _, progress in known),
    )
    return transcript, [progress for _, progress in known]


def replay(case: str) -> tuple[Outcome, list[Progress]]:
    folder = CASES / case
    transcript, told = heard(
        *((folder / f"{stream}.txt").read_text().splitlines() for stream in ("stdout", "stderr"))
    )
    code = json.loads((folder / "result.json").read_text())["exit_code"]
    # What had its last word and does not go is ended by the core, and its exit code then counts as 0.
    lingers = case == "connection-refused"
    assert transcript.final or not lingers
    return CodexExecutor().judge(0 if lingers else code, transcript), told


def test_every_transcript_has_its_place_in_the_table() -> None:
    assert sorted(EXPECTED) == sorted(folder.name for folder in CASES.iterdir())


@pytest.mark.parametrize(("case", "kind"), EXPECTED.items())
def test_what_the_program_said_is_judged_truly(case: str, kind: OutcomeKind) -> None:
    outcome, _ = replay(case)
    assert outcome.kind is kind, outcome
    assert outcome.message
    assert bool(outcome.hint) or kind not in NEED_SOMEBODY
    assert "127.0.0.1" not in outcome.message, "a URL says nothing to people, and can hold anything"


def test_progress_tells_thread_work_and_tokens() -> None:
    _, told = replay("write-workspace")
    assert told[0].session_id == "01a201fe-c8f5-7a52-a470-573998c4599e"
    assert [progress.message for progress in told if progress.message] == [
        "edits /project/hello.txt",
        "I created hello.txt.",
    ]
    assert told[-1].usage == Usage(input_tokens=2000, output_tokens=100, cached_tokens=400)
    assert [progress.final for progress in told] == [False] * (len(told) - 1) + [True]


def test_the_answer_is_the_message_and_a_refusal_names_what_was_refused() -> None:
    assert replay("text-json")[0].message == "The answer is 42."
    assert "writing is blocked by read-only sandbox" in replay("write-read-only")[0].message
    assert "Read-only file system" in replay("run-read-only")[0].message


def test_a_provider_that_comes_back_keeps_the_turn() -> None:
    waiting = '{"type":"error","message":"Reconnecting... waiting for network (Connection failed)"}'
    working = '{"type":"item.started","item":{"type":"command_execution","command":"make"}}'
    executor = CodexExecutor()
    lines = [waiting, waiting, working, waiting, waiting, working, waiting, waiting]
    assert not any(executor.parse(line, "stdout").final for line in lines)  # type: ignore[union-attr]
    assert executor.parse(waiting, "stdout").final  # type: ignore[union-attr]


def test_a_reset_that_is_told_is_passed_on() -> None:
    now = datetime.now(UTC)
    soon = replay("rate-limit-in-stream-retry1")[0].reset_at
    assert soon is not None and timedelta(0) < soon - now < timedelta(minutes=5)
    later = replay("usage-limit")[0].reset_at
    assert later is not None and timedelta(0) < later - now <= timedelta(days=1, minutes=1)
    assert (later.astimezone().hour, later.astimezone().minute) == (8, 40), "the minute that was told has passed"
    assert replay("rate-limit-default-retries")[0].reset_at is None


def test_a_missing_variable_is_named_in_the_hint() -> None:
    assert replay("no-env-key")[0].hint == "set FAKE_KEY, and name it in executors.codex.env"


def test_a_turn_without_a_word_or_a_deed_is_no_success() -> None:
    transcript, _ = heard(['{"type":"turn.started"}', '{"type":"turn.completed","usage":{}}'], [])
    assert CodexExecutor().judge(0, transcript).kind is K.PROTOCOL_VIOLATION


@pytest.mark.parametrize(
    ("output", "later", "kind"),
    [
        ("bwrap: No permissions to create a new namespace, likely because", [], K.CONFIG_ERROR),
        ("sh: 1: cannot create /etc/x: Read-only file system", [], K.DENIED),
        ("sh: 1: cannot create /etc/x: Read-only file system", ["completed"], K.SUCCEEDED),
        ("fatal: Unable to create '/r/.git/index.lock': Read-only file system", [], K.SUCCEEDED),
        ("2 tests failed", [], K.SUCCEEDED),
    ],
)
def test_what_a_failed_command_says_of_the_sandbox(output: str, later: list[str], kind: OutcomeKind) -> None:
    items = [{"type": "command_execution", "aggregated_output": output, "status": "failed"}]
    items += [{"type": "command_execution", "aggregated_output": "", "status": status} for status in later]
    items += [{"type": "agent_message", "text": "That is it."}]
    lines = [json.dumps({"type": "item.completed", "item": item}) for item in items]
    transcript, _ = heard([*lines, '{"type":"turn.completed"}'], [])
    assert CodexExecutor().judge(0, transcript).kind is kind


KNOWN = [
    json.loads(line)
    for case in ("write-workspace", "rate-limit-once", "auth-401", "run-failing", "no-credit")
    for line in (CASES / case / "stdout.txt").read_text().splitlines()
]
ITEMS = [{**record, "item": {**record["item"], "status": None}} for record in KNOWN if "item" in record]


@given(
    stdout=st.lists(output_lines(*KNOWN, *ITEMS), max_size=12),
    stderr=st.lists(st.text(max_size=80), max_size=4),
    code=st.sampled_from([0, 1, 2, -9, -15, 137]),
)
@settings(deadline=None, max_examples=100 * SIZE)
def test_whatever_it_prints_is_judged(stdout: list[str], stderr: list[str], code: int) -> None:
    transcript, told = heard(stdout, stderr)
    outcome = CodexExecutor().judge(code, transcript)
    assert outcome.message
    assert len(outcome.message) <= 500
    for progress in told:
        assert progress.message is None or isinstance(progress.message, str)
        assert progress.session_id is None or isinstance(progress.session_id, str)
    if outcome.kind is K.SUCCEEDED:
        assert code == 0
        assert any(record.get("type") == "turn.completed" for record in transcript.records)
