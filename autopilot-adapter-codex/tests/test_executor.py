"""The command line, the environment, credentials, and whole attempts with a program that replays Codex."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from autopilot import AutopilotError, Command, Limits, Outcome, OutcomeKind, Task, Usage
from autopilot.testing.attempts import run_attempt
from autopilot.testing.executors import context_for
from autopilot_adapter_codex import CodexExecutor

THREAD = "01a205ee-c3ff-7113-a299-b8b76c48ce60"
TASK = Task(id="t", title="T")


def command(folder: Path, options: Mapping[str, Any] | None = None, **more: Any) -> Command:
    return CodexExecutor(options).command(context_for(folder, **{"task": TASK, **more}))


def settings_of(argv: tuple[str, ...]) -> dict[str, Any]:
    """What Codex reads from the ``-c`` words: each is a line of TOML."""
    words = [argv[n + 1] for n, word in enumerate(argv) if word == "-c"]
    return tomllib.loads("\n".join(words))


# ---------------------------------------------------------------------- the command line


def test_the_plain_command_line(tmp_path: Path) -> None:
    line = command(tmp_path, prompt="--help me")
    argv = line.argv
    assert argv[:4] == ("codex", "exec", "--json", "--skip-git-repo-check")
    assert argv[argv.index("-C") + 1] == str(tmp_path / "work")
    assert "--sandbox=workspace-write" in argv
    assert argv[argv.index("--disable") + 1] == "plugins"
    assert settings_of(argv) == {"analytics": {"enabled": False}, "check_for_update_on_startup": False}
    assert (argv[-1], line.stdin) == ("-", "--help me")
    assert "resume" not in argv


def test_options_become_words(tmp_path: Path) -> None:
    options = {
        "program": "/opt/codex",
        "model": "gpt-x",
        "sandbox": "read-only",
        "network": True,
        "writable": ["/var/cache/build"],
        "profile": "ci",
        "developer_instructions": 'Say "yes" — or\nno.',
        "config": {"model_reasoning_effort": "high", "a.b": [1, True, {"c d": 0.5}]},
        "ignore_user_config": True,
        "arguments": ["--color", "never"],
    }
    argv = command(tmp_path, options).argv
    assert argv[0] == "/opt/codex"
    words = {"--model=gpt-x", "--sandbox=read-only", "--add-dir=/var/cache/build", "--profile=ci"}
    assert words | {"--ignore-user-config", "--ignore-rules"} <= set(argv)
    assert argv[-3:] == ("--color", "never", "-")
    read = settings_of(argv)
    assert read["sandbox_workspace_write"] == {"network_access": True}
    assert read["developer_instructions"] == options["developer_instructions"]
    assert (read["model_reasoning_effort"], read["a"]) == ("high", {"b": [1, True, {"c d": 0.5}]})


def test_the_tasks_model_comes_first_and_cannot_be_an_option(tmp_path: Path) -> None:
    argv = command(tmp_path / "a", {"model": "small"}, task=Task(id="t", title="T", model="large")).argv
    assert "--model=large" in argv
    with pytest.raises(AutopilotError, match="no name of a model"):
        command(tmp_path / "b", task=Task(id="t", title="T", model="--oss"))


def test_a_retry_resumes_the_thread_and_every_flag_stands_before(tmp_path: Path) -> None:
    argv = command(tmp_path / "a", {"arguments": "--oss"}, session_id=THREAD).argv
    assert argv[-4:] == ("--oss", "resume", THREAD, "-")
    assert "resume" not in command(tmp_path / "b", {"resume": False}, session_id=THREAD).argv
    assert "resume" not in command(tmp_path / "c", session_id="--last").argv


# ---------------------------------------------------------------------- home and environment


def test_a_home_below_the_temporary_folder_gets_that_moved(tmp_path: Path) -> None:
    below = {"PATH": "/bin", "TMPDIR": str(tmp_path), "CODEX_HOME": str(tmp_path / "codex")}
    moved = command(tmp_path / "a", environment=below).env
    assert moved == {"TMPDIR": str(tmp_path / "a" / "run" / "tmp")}
    assert Path(moved["TMPDIR"]).is_dir()
    assert command(tmp_path / "b", environment={**below, "CODEX_HOME": "/srv/codex"}).env == {}


def test_the_home_of_the_options_unless_the_environment_names_one(tmp_path: Path) -> None:
    options = {"home": "/srv/codex"}
    assert command(tmp_path / "a", options).env == {"CODEX_HOME": "/srv/codex"}
    assert command(tmp_path / "b", options, environment={"CODEX_HOME": "/srv/other"}).env == {}


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("environ", "config", "options", "missing"),
    [
        ({}, "", {}, "not logged in"),
        ({"OPENAI_API_KEY": "x"}, "", {}, "not logged in"),
        ({"CODEX_API_KEY": "x"}, "", {}, ""),
        ({}, "cli_auth_credentials_store = 'keyring'", {}, ""),
        ({}, "this is no TOML", {}, "not logged in"),
        ({}, "model_provider = 'own'\n[model_providers.own]\nenv_key = 'OWN_KEY'", {}, "OWN_KEY"),
        ({"OWN_KEY": "x"}, "model_provider = 'own'\n[model_providers.own]\nenv_key = 'OWN_KEY'", {}, ""),
        ({}, "model_provider = 'own'", {"ignore_user_config": True}, "not logged in"),
        ({}, "", {"config": {"model_provider": "local", "model_providers.local": {"name": "l"}}}, ""),
        ({}, "", {"config": {"model_provider": "own", "model_providers.own": {"env_key": "K"}}}, "K, which"),
        ({}, "model_provider = 3\nmodel_providers = 4", {"config": 5}, ""),
    ],
)
def test_credentials(
    tmp_path: Path, environ: dict[str, str], config: str, options: dict[str, Any], missing: str
) -> None:
    write(tmp_path / ".codex" / "config.toml", config)
    told = CodexExecutor(options).missing_credentials({"HOME": str(tmp_path), **environ})
    assert bool(told) is bool(missing)
    assert missing in told


def test_a_stored_login_is_found_in_the_home(tmp_path: Path) -> None:
    write(tmp_path / "auth.json", "{}")
    executor = CodexExecutor()
    assert executor.missing_credentials({"CODEX_HOME": str(tmp_path)}) == ""
    assert CodexExecutor({"home": str(tmp_path)}).missing_credentials({"HOME": "/nowhere"}) == ""
    assert "is no folder" in executor.missing_credentials({"CODEX_HOME": str(tmp_path / "not-there")})


def test_a_probe_tells_version_login_and_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = write(tmp_path / "codex", "#!/bin/sh\necho codex-cli 0.170.2\n")
    program.chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("CODEX_HOME", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    health = CodexExecutor({"program": str(program)}).probe()
    assert (health.ok, health.hint) == (False, CodexExecutor.login_hint)
    monkeypatch.setenv("CODEX_API_KEY", "a-key")
    health = CodexExecutor({"program": str(program), "sandbx": "x"}).probe()
    assert (health.ok, health.version) == (True, "0.170.2")
    assert "sandbx" in health.warning
    assert "newer than 0.169.0" in health.warning


def test_it_describes_itself(tmp_path: Path) -> None:
    info = CodexExecutor({"model": "gpt-x"}).describe()
    assert (info.name, info.tier, info.quota_pool, info.model) == ("codex", "", "openai", "gpt-x")


# ---------------------------------------------------------------------- whole attempts


def says(*events: dict[str, Any]) -> str:
    return "\n".join(f"echo '{json.dumps(event)}'" for event in events)


def turn(thread: str = THREAD, tokens: int = 1000) -> str:
    message = {"type": "agent_message", "text": "Done."}
    usage = {"input_tokens": tokens, "cached_input_tokens": tokens // 5, "output_tokens": tokens // 20}
    return says(
        {"type": "thread.started", "thread_id": thread},
        {"type": "item.completed", "item": message},
        {"type": "turn.completed", "usage": usage},
    )


def attempt(folder: Path, script: str, number: int = 1, options: Mapping[str, Any] | None = None) -> Outcome:
    """One attempt of a task; ``script`` is the program, and later attempts resume."""
    program = write(folder / f"codex-{number}", f"#!/bin/sh\ncat >/dev/null\n{script}\n")
    program.chmod(0o755)
    run_dir = folder / "runs" / "t" / str(number)
    run_dir.mkdir(parents=True)
    context = context_for(
        folder / f"attempt-{number}",
        TASK,
        number=number,
        run_dir=str(run_dir),
        session_id=THREAD if number > 1 else None,
        limits=Limits(deadline_s=60, grace_s=1, linger_s=0.2),
    )
    done = run_attempt(CodexExecutor({"program": str(program), **(options or {})}), context)
    assert done.outcome is not None, done.fault
    return done.outcome


def test_a_resumed_thread_reports_its_own_share(tmp_path: Path) -> None:
    first = attempt(tmp_path, turn(tokens=1000))
    second = attempt(tmp_path, turn(tokens=3000), number=2)
    assert first.usage == Usage(input_tokens=1000, output_tokens=50, cached_tokens=200)
    assert second.usage == Usage(input_tokens=2000, output_tokens=100, cached_tokens=400)
    assert second.session_id == THREAD


def test_a_turn_that_failed_and_told_no_tokens_does_not_count_the_first_ones_twice(tmp_path: Path) -> None:
    attempt(tmp_path, turn(tokens=1000))
    failed = says({"type": "thread.started", "thread_id": THREAD}, {"type": "turn.failed"})
    assert attempt(tmp_path, f"{failed}\nexit 1", number=2).usage is None
    third = attempt(tmp_path, turn(tokens=3000), number=3)
    assert third.usage == Usage(input_tokens=2000, output_tokens=100, cached_tokens=400)


def test_a_thread_that_is_gone_is_begun_afresh(tmp_path: Path) -> None:
    gone = 'case "$*" in *resume*) echo "Error: no rollout found for thread id x (code -32600)" >&2; exit 1;; esac'
    other = "01a205ee-0000-7113-a299-b8b76c48ce60"
    outcome = attempt(tmp_path, f"{gone}\n{turn(other, 700)}", number=2)
    assert (outcome.kind, outcome.session_id) == (OutcomeKind.SUCCEEDED, other)
    assert outcome.usage is not None
    assert outcome.usage.input_tokens == 700


def test_waiting_for_the_network_for_ever_is_ended(tmp_path: Path) -> None:
    waits = {"type": "error", "message": "Reconnecting... waiting for network (Connection failed)"}
    script = says({"type": "thread.started", "thread_id": THREAD}, waits, waits, waits)
    outcome = attempt(tmp_path, f"{script}\nexec sleep 600")
    assert outcome.kind is OutcomeKind.UNAVAILABLE
    assert "waiting for network" in outcome.message
    assert outcome.session_id == THREAD, "the next attempt can go on with it"


def test_a_network_that_comes_back_in_time_is_no_failure(tmp_path: Path) -> None:
    waits = {"type": "error", "message": "Reconnecting... waiting for network (Connection failed)"}
    outcome = attempt(tmp_path, f"{says(waits, waits, waits)}\n{turn()}")
    assert outcome.kind is OutcomeKind.SUCCEEDED
