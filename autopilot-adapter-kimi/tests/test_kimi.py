"""Kimi: the contract in both dialects, recorded runs of the real programs, command lines, any output at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot import AttemptContext, Command, ConfigError, Outcome, OutcomeKind, Progress, Task, Transcript
from autopilot.testing.attempts import run_attempt
from autopilot.testing.executors import CommandExecutorContract, context_for
from autopilot.testing.fake_agent import install_replay
from autopilot.testing.strategies import output_lines
from autopilot_adapter_kimi import KimiExecutor

TRANSCRIPTS = Path(__file__).parent / "transcripts"
SESSION = "session_b87733b7-93aa-4f8f-aca6-6ffb179acc36"
K = OutcomeKind

RECORDED = {
    "text-stream-json": K.SUCCEEDED,
    "write-file": K.SUCCEEDED,
    "run-command": K.SUCCEEDED,
    "run-failing": K.SUCCEEDED,
    "rate-limit-once": K.SUCCEEDED,
    "rate-limit-default": K.RATE_LIMITED,
    "rate-limit-attempts-1": K.RATE_LIMITED,
    "rate-limit-long": K.RATE_LIMITED,
    "usage-limit": K.QUOTA_EXHAUSTED,
    "auth-401": K.AUTH_ERROR,
    "no-api-key": K.AUTH_ERROR,
    "no-model-configured": K.CONFIG_ERROR,
    "no-model-404": K.CONFIG_ERROR,
    "bad-request-400": K.CONFIG_ERROR,
    "old-flags": K.CONFIG_ERROR,
    "old-node": K.CONFIG_ERROR,
    "prompt-and-auto": K.CONFIG_ERROR,
    "prompt-stdin": K.CONFIG_ERROR,
    "resume-6-other-dir": K.CONFIG_ERROR,
    "connection-refused": K.UNAVAILABLE,
    "slow-sigterm": K.FAILED,
    "child-sigint": K.FAILED,
    "child-sigkill": K.FAILED,
    "print-write-file": K.SUCCEEDED,
    "print-rate-limit": K.RATE_LIMITED,
    "print-quota": K.QUOTA_EXHAUSTED,
    "print-auth": K.AUTH_ERROR,
    "print-bad-flag": K.CONFIG_ERROR,
    "print-max-steps": K.LIMIT_REACHED,
    "print-unavailable": K.UNAVAILABLE,
    "print-drop": K.UNAVAILABLE,
    "tombstone": K.CONFIG_ERROR,
}


class TestCurrent(CommandExecutorContract):
    prompt_by_argument = True
    done = (
        '{"role":"meta","type":"system.version","version":"2.1.0"}',
        '{"role":"assistant","content":"The answer is 42."}',
        f'{{"role":"meta","type":"session.resume_hint","session_id":"{SESSION}","command":"kimi -r {SESSION}"}}',
    )

    def make(self, program: str) -> KimiExecutor:
        return KimiExecutor({"program": program, "dialect": "current"})


class TestPrint(CommandExecutorContract):
    done = (
        '{"role":"assistant","content":"The answer is 42, and these words make this line the longer one."}',
        "To resume this session: kimi -r 182b9f03-bf86-497b-ae0f-43679598ae3c",
    )

    def make(self, program: str) -> KimiExecutor:
        return KimiExecutor({"program": program, "dialect": "print"})


# ---------------------------------------------------------------------- recorded runs


def replay(folder: Path, case: str) -> Outcome:
    recorded = TRANSCRIPTS / case
    code = int((recorded / "exit_code").read_text())
    program = install_replay(folder, recorded / "stdout.txt", recorded / "stderr.txt", code)
    dialect = "print" if case.startswith("print-") else "current"
    executor = KimiExecutor({"program": program, "dialect": dialect})
    done = run_attempt(executor, context_for(folder / "attempt", Task(id="t", title="T")))
    assert done.outcome is not None, done.fault
    return done.outcome


@pytest.mark.parametrize(("case", "kind"), RECORDED.items())
def test_a_recorded_run_is_judged_rightly(tmp_path: Path, case: str, kind: OutcomeKind) -> None:
    outcome = replay(tmp_path, case)
    assert outcome.kind is kind, outcome
    assert outcome.message
    assert bool(outcome.hint) is (kind in (K.AUTH_ERROR, K.CONFIG_ERROR))


def test_every_recording_is_used() -> None:
    assert {path.name for path in TRANSCRIPTS.iterdir()} == set(RECORDED)


def test_an_answer_and_a_session_are_told(tmp_path: Path) -> None:
    outcome = replay(tmp_path, "text-stream-json")
    assert (outcome.message, outcome.session_id) == ("The answer is 42.", SESSION)
    older = replay(tmp_path / "older", "print-write-file")
    assert (older.message, older.session_id) == ("I created hello.txt.", "182b9f03-bf86-497b-ae0f-43679598ae3c")


@pytest.mark.parametrize(("case", "seconds"), [("rate-limit-long", 3600), ("rate-limit-default", 2)])
def test_the_wait_it_announces_is_the_reset(tmp_path: Path, case: str, seconds: int) -> None:
    before = datetime.now(UTC)
    outcome = replay(tmp_path, case)
    wait = timedelta(seconds=seconds)
    assert outcome.reset_at is not None
    assert before + wait <= outcome.reset_at <= datetime.now(UTC) + wait


def test_without_an_announcement_there_is_no_reset(tmp_path: Path) -> None:
    assert replay(tmp_path, "rate-limit-attempts-1").reset_at is None


@pytest.mark.parametrize("dialect", ["current", "print"])
def test_a_long_wait_ends_the_program_at_once(tmp_path: Path, dialect: str) -> None:
    line = (TRANSCRIPTS / "rate-limit-long" / "stdout.txt").read_text().splitlines()[1]
    program = tmp_path / "sleeper"
    program.write_text(f"#!/bin/sh\necho '{line}'\nexec sleep 600\n")
    program.chmod(0o755)
    context = context_for(tmp_path / "attempt", Task(id="t", title="T"))
    done = run_attempt(KimiExecutor({"program": str(program), "dialect": dialect}), context, limit_s=100)
    assert not done.hung
    assert done.outcome is not None
    assert done.outcome.kind is K.RATE_LIMITED
    assert "3600 s" in done.outcome.message


def test_a_wait_that_is_allowed_is_waited_for() -> None:
    executor = KimiExecutor()
    line = (TRANSCRIPTS / "rate-limit-once" / "stdout.txt").read_text().splitlines()[1]
    progress = executor.parse(line, "stdout")
    assert progress is not None
    assert (progress.final, progress.message) == (False, "429 fake: rate limit reached, slow down; it waits 2 s")


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"status_code": 503, "error_name": "APIStatusError", "error_message": "503 busy"}, K.UNAVAILABLE),
        ({"error_name": "APIProviderRateLimitError"}, K.RATE_LIMITED),
        ({"status_code": 429, "error_message": "exceeded your current quota"}, K.QUOTA_EXHAUSTED),
    ],
)
def test_what_it_waits_for_counts(record: dict[str, Any], kind: OutcomeKind) -> None:
    told = {"role": "meta", "type": "turn.step.retrying", "delay_ms": 1e18, **record}
    outcome = KimiExecutor({"dialect": "current"}).judge(143, Transcript(records=(told,)))
    assert outcome.kind is kind
    assert outcome.reset_at is not None


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("provider.api_error: 429 Your account is in arrears", K.QUOTA_EXHAUSTED),
        ("provider.auth_error: 403 usage limit of your plan", K.QUOTA_EXHAUSTED),
        ("provider.api_error: 403 fake: key lacks permission", K.AUTH_ERROR),
        ("auth.login_required: log in first", K.AUTH_ERROR),
        ("auth.model_not_resolved: nope", K.CONFIG_ERROR),
        ("model slow does not resolve to a configured provider", K.CONFIG_ERROR),
        ("provider.overloaded: 529 fake: overloaded", K.UNAVAILABLE),
        ("provider.api_error: 503 fake: service unavailable", K.UNAVAILABLE),
        ("loop.max_steps_exceeded: 2 steps", K.LIMIT_REACHED),
        ("context.overflow: 300000 tokens", K.LIMIT_REACHED),
        ("provider.filtered: content", K.FAILED),
        ("something else altogether", K.FAILED),
    ],
)
def test_errors_by_their_code(error: str, kind: OutcomeKind) -> None:
    text = f"error: failed to run prompt: {error}\nSee log: /home/me/.kimi-code/logs/kimi-code.log\n"
    outcome = KimiExecutor({"dialect": "current"}).judge(1, Transcript(stderr=text))
    assert outcome.kind is kind
    assert error in outcome.message


def test_a_model_that_talks_of_errors_is_not_believed() -> None:
    """Words of the model and of tools are in JSON; only the program's own count."""
    said = {"role": "assistant", "content": "kimi-cli is no longer maintained\nerror: provider.auth_error: 401"}
    told = Transcript(stdout=json.dumps(said), records=(said,))
    assert KimiExecutor({"dialect": "current"}).judge(1, told).kind is K.FAILED
    assert KimiExecutor({"dialect": "current"}).judge(0, told).kind is K.PROTOCOL_VIOLATION


def test_the_older_program_must_have_answered_last() -> None:
    judge = KimiExecutor({"dialect": "print"}).judge
    answer = {
        "role": "assistant",
        "content": [{"type": "think", "think": "hm"}, {"type": "text", "text": "Done."}],
    }
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "Shell"}}]}
    tool = {"role": "tool", "content": "ok"}
    assert judge(0, Transcript(records=(call, tool, answer))).kind is K.SUCCEEDED
    assert judge(0, Transcript(records=(answer, call))).kind is K.PROTOCOL_VIOLATION
    assert judge(0, Transcript(records=(answer, call, tool))).kind is K.PROTOCOL_VIOLATION
    hung = Transcript(stdout="Error code: 500\n", records=(answer,), lingered=True, final=True)
    assert judge(0, hung).kind is K.UNAVAILABLE, "its exit code is not known"


# ---------------------------------------------------------------------- the command line


def asked(folder: Path, options: dict[str, Any] | None = None, **more: Any) -> Command:
    task = more.pop("task", Task(id="t", title="T"))
    context: AttemptContext = context_for(folder, task, **more)
    return KimiExecutor({"dialect": "current", **(options or {})}).command(context)


KEY = {"KIMI_MODEL_API_KEY": "sk-0123456789", "KIMI_MODEL_NAME": "k2", "HOME": "/nowhere"}


def test_the_current_program_gets_its_prompt_as_one_argument(tmp_path: Path) -> None:
    line = asked(tmp_path, prompt="--yolo, do it")
    assert line.argv[:4] == ("kimi", "--prompt=--yolo, do it", "--output-format", "stream-json")
    assert line.stdin is None
    assert line.env["KIMI_DISABLE_CRON"] == "1"
    assert line.env["KIMI_LOOP_MAX_ATTEMPTS_PER_STEP"] == "3"


@pytest.mark.parametrize("prompt", ["word " * 30_000, "a\0b", "\ud800" * 40_000])
def test_a_prompt_that_fits_no_argument_goes_into_a_private_file(tmp_path: Path, prompt: str) -> None:
    line = asked(tmp_path, prompt=prompt)
    file = tmp_path / "run" / "kimi-prompt.md"
    assert str(file) in line.argv[1]
    assert file.read_bytes() == prompt.encode("utf-8", "replace")
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_older_program_gets_its_prompt_by_stdin(tmp_path: Path) -> None:
    line = asked(tmp_path, {"dialect": "print", "max_steps": 5, "max_retries": 0}, prompt="do it")
    assert line.argv[:2] == ("kimi", "--print")
    assert line.stdin == "do it"
    assert "do it" not in " ".join(line.argv)
    assert line.argv[line.argv.index("--max-steps-per-turn") + 1] == "5"
    assert line.argv[line.argv.index("--max-retries-per-step") + 1] == "1"


def test_with_a_key_the_task_has_a_home_of_its_own(tmp_path: Path) -> None:
    line = asked(tmp_path, environment=KEY, task=Task(id="t", title="T", model="k3"))
    home = tmp_path / "run" / "kimi-home"
    assert line.env["KIMI_CODE_HOME"] == str(home)
    assert home.stat().st_mode & 0o777 == 0o700
    assert line.env["KIMI_MODEL_NAME"] == "k3"
    assert "--model" not in line.argv


@pytest.mark.parametrize(
    ("environment", "options"),
    [({**KEY, "KIMI_MODEL_NAME": ""}, {}), ({"HOME": "/nowhere"}, {}), (KEY, {"own_home": False})],
)
def test_without_one_the_users_home_is_left_alone(
    tmp_path: Path, environment: dict[str, str], options: dict[str, Any]
) -> None:
    line = asked(tmp_path, options, environment=environment)
    assert "KIMI_CODE_HOME" not in line.env
    assert not (tmp_path / "run" / "kimi-home").exists()


def test_options_become_flags(tmp_path: Path) -> None:
    options = {"model": "kimi-k2", "max_steps": 7, "max_retries": 0, "arguments": ["--add-dir", "../other"]}
    line = asked(tmp_path, options)
    assert line.argv[line.argv.index("--model") + 1] == "kimi-k2"
    assert line.env["KIMI_LOOP_MAX_STEPS_PER_TURN"] == "7"
    assert line.env["KIMI_LOOP_MAX_ATTEMPTS_PER_STEP"] == "1"
    assert line.argv[-2:] == ("--add-dir", "../other")


@pytest.mark.parametrize("options", [{"dialect": "wire"}, {"max_steps": "many"}, {"longest_wait_s": -1}])
def test_a_wrong_option_is_told_by_its_name(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"executors.kimi.{next(iter(options))}") as raised:
        asked(tmp_path, options)
    assert raised.value.hint


# ---------------------------------------------------------------------- the probe


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a program that prints something on PATH, in a home without credentials."""
    for name in ("KIMI_MODEL_API_KEY", "KIMI_MODEL_NAME", "KIMI_API_KEY", "KIMI_CODE_HOME", "KIMI_SHARE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def install(says: str, name: str = "kimi") -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (tmp_path / name).chmod(0o755)

    return install


def test_the_gone_program_is_never_healthy(install: Any) -> None:
    for text in ((TRANSCRIPTS / "tombstone" / "stdout.txt").read_text().strip(), "kimi-cli 已停止维护"):
        install(f"kimi, version 1.52.0\n{text}")
        health = KimiExecutor().probe()
        assert not health.ok
        assert text in health.reason
        assert "npm install -g @moonshot-ai/kimi-code" in health.hint


@pytest.mark.parametrize(
    ("says", "name", "dialect", "key"),
    [
        ("2.1.0", "kimi", "current", "KIMI_MODEL_API_KEY"),
        ("kimi, version 1.40.0", "kimi-cli", "print", "KIMI_API_KEY"),
    ],
)
def test_a_key_and_a_model_are_enough(
    install: Any, monkeypatch: Any, says: str, name: str, dialect: str, key: str
) -> None:
    install(says, name)
    health = KimiExecutor().probe()
    assert not health.ok
    assert "/login" in health.hint
    monkeypatch.setenv(key, "sk-0123456789")
    assert not KimiExecutor().probe().ok
    monkeypatch.setenv("KIMI_MODEL_NAME", "k2")
    health = KimiExecutor().probe()
    assert (health.ok, health.version, health.dialect) == (True, says.rsplit(maxsplit=1)[-1], dialect)
    assert ("no longer maintained" in health.warning) is (dialect == "print")


def test_a_login_or_a_provider_is_enough(install: Any, tmp_path: Path) -> None:
    install("2.1.0")
    home = tmp_path / ".kimi-code"
    (home / "credentials").mkdir(parents=True)
    (home / "config.toml").write_text("[models]\n\n[providers]\n")
    assert not KimiExecutor().probe().ok
    (home / "config.toml").write_text('[providers.moonshot]\ntype = "kimi"\n')
    assert KimiExecutor().probe().ok
    (home / "config.toml").unlink()
    (home / "credentials" / "kimi-code.json").write_text("{}")
    assert KimiExecutor().probe().ok


def test_a_program_that_crashes_wants_a_newer_node(tmp_path: Path) -> None:
    program = tmp_path / "kimi"
    program.write_text("#!/bin/sh\necho 'SyntaxError: The requested module' >&2\nexit 1\n")
    program.chmod(0o755)
    health = KimiExecutor({"program": str(program)}).probe()
    assert not health.ok
    assert "Node.js 22.19" in health.hint


def test_a_slow_start_is_no_illness_of_an_installed_package(tmp_path: Path, monkeypatch: Any) -> None:
    program = tmp_path / "kimi-code" / "dist" / "main.mjs"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n# node\nexec sleep 60\n")
    program.chmod(0o755)
    link = tmp_path / "kimi"
    link.symlink_to(program)
    monkeypatch.setattr(KimiExecutor, "version_limit_s", 0.1)
    monkeypatch.setenv("KIMI_MODEL_NAME", "k2")
    monkeypatch.setenv("KIMI_MODEL_API_KEY", "sk-0123456789")
    executor = KimiExecutor({"program": str(link), "dialect": "current"})
    assert not executor.probe().ok
    package = {"name": "@moonshot-ai/kimi-code", "version": "2.1.0"}
    (program.parent.parent / "package.json").write_text(json.dumps(package, indent=2))
    health = executor.probe()
    assert (health.ok, health.version, health.dialect) == (True, "2.1.0", "current")
    assert "did not answer" in health.warning
    monkeypatch.delenv("KIMI_MODEL_API_KEY")
    monkeypatch.setenv("KIMI_CODE_HOME", str(tmp_path / "home"))
    assert not executor.probe().ok


def test_a_newer_version_is_tried_with_a_warning(install: Any, monkeypatch: Any) -> None:
    install("9.9.9")
    monkeypatch.setenv("KIMI_MODEL_API_KEY", "x")
    health = KimiExecutor({"model": "k2", "max_stepps": 3}).probe()
    assert health.ok
    assert "newer than 2.1.0" in health.warning
    assert "max_stepps" in health.warning


def test_the_file_of_a_program_may_tell_its_dialect(tmp_path: Path) -> None:
    for name, text, older in (
        ("a", "#!/usr/bin/env node\n", False),
        ("b", "#!/x/python\nimport kimi_cli\n", True),
    ):
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)
        line = KimiExecutor({"program": str(program)}).command(
            context_for(tmp_path / f"at-{name}", Task(id="t", title="T"))
        )
        assert ("--print" in line.argv) is older


# ---------------------------------------------------------------------- anything at all


EVENTS = [
    json.loads(line)
    for case in ("write-file", "rate-limit-once", "rate-limit-long", "print-write-file")
    for line in (TRANSCRIPTS / case / "stdout.txt").read_text().splitlines()
]


@settings(deadline=None, max_examples=200)
@given(st.lists(output_lines(*EVENTS), max_size=6), st.integers(-15, 255), st.sampled_from(["current", "print"]))
def test_no_output_breaks_parser_or_judge(lines: list[str], exit_code: int, dialect: str) -> None:
    executor = KimiExecutor({"dialect": dialect})
    kept = []
    for line in lines:
        progress = executor.parse(line, "stdout")
        assert progress is None or isinstance(progress, Progress)
        if progress is not None and line.lstrip().startswith("{"):
            kept.append(json.loads(line))
    text = "\n".join(lines)
    outcome = executor.judge(exit_code, Transcript(stdout=text, stderr=text, records=tuple(kept)))
    assert isinstance(outcome, Outcome)
    if exit_code != 0:
        assert outcome.kind is not OutcomeKind.SUCCEEDED
