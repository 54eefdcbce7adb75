"""The real Kimi Code, driven from task files on a fake model server; and kimi-cli, where it is there."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "sk-kimi-planted-0123456789abcdefghijklmnop"
OLDER = "AUTOPILOT_KIMI_CLI"


@pytest.fixture(scope="session")
def chat(serve: Any) -> Any:
    return serve("openai_chat")


@pytest.fixture
def kimi(arena: Any, chat: Any) -> Any:
    """The arena, set up for Kimi; ``kimi.scenario("…")`` picks what the model does."""

    def scenario(name: str, **options: Any) -> None:
        arena.environ |= {
            "KIMI_MODEL_NAME": "fake",
            "KIMI_MODEL_PROVIDER_TYPE": "kimi",
            "KIMI_MODEL_MAX_CONTEXT_SIZE": "262144",
            "KIMI_MODEL_BASE_URL": f"{chat.url}/s/{name}/v1",
            "KIMI_MODEL_API_KEY": SECRET,
        }
        arena.config({"executors": {"kimi": {"max_retries": 0, **options}}})

    arena.scenario = scenario
    return arena


def outcome(arena: Any, name: str, attempt: int) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(arena.result(name, attempt).read_text())["outcome"]
    return told


def test_a_task_that_writes_a_file_is_done_with_tokens(kimi: Any) -> None:
    kimi.scenario("write-file")
    kimi.task("write", "kimi", "--verify", "test -s hello.txt")
    (row,) = kimi.tick()
    assert (row["executor"], row["outcome"]) == ("kimi", "succeeded")
    assert (kimi.folder / "hello.txt").exists()
    task = kimi.show("write")
    assert (task["status"], task["result"]["verified"]) == ("done", True)
    assert task["result"]["tokens"] == {"input": 2000, "output": 100}
    told = outcome(kimi, "write", 1)
    assert (told["usage"]["cached_tokens"], told["turns"], told["model"]) == (400, 2, "fake")
    assert SECRET.encode() not in kimi.everything_written()


def test_a_provider_in_the_users_own_settings_is_enough(kimi: Any, chat: Any) -> None:
    """Without a key in the environment the user's home is used, and a failed run's session is found in it."""
    kimi.scenario("endless", max_steps=2, model="quick")
    home = kimi.folder.parent / "home" / ".kimi-code"
    home.mkdir()
    (home / "config.toml").write_text(
        f"""default_model = "fast"
[providers.fake]
type = "kimi"
base_url = "{chat.url}/s/endless/v1"
api_key = "{SECRET}"
[models.fast]
provider = "fake"
model = "fast-model"
max_context_size = 262144
[models.quick]
provider = "fake"
model = "quick-model"
max_context_size = 262144
"""
    )
    for name in [name for name in kimi.environ if name.startswith("KIMI_MODEL")]:
        del kimi.environ[name]
    kimi.task("own", "kimi", "--max-attempts", "2")
    (row,) = kimi.tick()
    assert row["outcome"] == "limit_reached"
    told = outcome(kimi, "own", 1)
    assert (told["turns"], told["model"]) == (2, "quick-model")
    assert list((home / "sessions").glob(f"*/{told['session_id']}"))
    assert not (kimi.root / "runs" / "own" / "1" / "kimi-home").exists()


def test_a_rate_limit_parks_at_once_with_the_reset_and_uses_no_attempt(kimi: Any) -> None:
    """The program would sleep for the hour that the provider names."""
    kimi.scenario("rate-limit-long", max_retries=3)
    kimi.task("limited", "kimi")
    (row,) = kimi.tick()
    assert row["outcome"] == "rate_limited"
    task = kimi.show("limited")
    assert (task["status"], task["reason"]["code"]) == ("pending", "parked")
    (result,) = kimi.events("dispatch.result")
    reset = datetime.fromisoformat(result["payload"]["reset_at"])
    assert 3000 < (reset - datetime.now(UTC)).total_seconds() < 3600
    assert kimi.tick() == []


def test_a_refused_key_blocks_with_the_fix(kimi: Any) -> None:
    kimi.scenario("auth")
    kimi.task("refused", "kimi")
    (row,) = kimi.tick()
    assert row["outcome"] == "auth_error"
    task = kimi.show("refused")
    assert (task["status"], task["reason"]["code"]) == ("blocked", "auth_error")
    assert "KIMI_MODEL_API_KEY" in task["reason"]["hint"]


@pytest.mark.parametrize(
    ("scenario", "options", "kind"),
    [
        ("endless", {"max_steps": 2}, "limit_reached"),
        ("quota", {}, "quota_exhausted"),
        ("drop", {}, "unavailable"),
    ],
)
def test_what_really_happened_is_told(kimi: Any, scenario: str, options: dict[str, Any], kind: str) -> None:
    kimi.scenario(scenario, **options)
    kimi.task("it", "kimi", "--max-attempts", "1")
    (row,) = kimi.tick()
    assert row["outcome"] == kind


def test_a_long_prompt_reaches_the_program_by_a_file(kimi: Any, chat: Any) -> None:
    kimi.scenario("text.long")
    body = "A line of a long description.\n" * 6000 + "The end of it."
    (kimi.folder / "long.md").write_text(f"---\nid: long\ntitle: Long\nexecutor: kimi\n---\n{body}\n")
    kimi.ctl("task", "create", "-F", "long.md")
    (row,) = kimi.tick()
    assert row["outcome"] == "succeeded"
    sent = [json.dumps(entry["body"]) for entry in chat.log.entries if entry["scenario"] == "text.long"]
    file = kimi.root / "runs" / "long" / "1" / "kimi-prompt.md"
    assert any(str(file) in text for text in sent)
    assert "The end of it." in file.read_text()


def test_a_kill_of_the_dispatcher_loses_nothing_and_a_cancel_leaves_nothing(kimi: Any) -> None:
    kimi.scenario("long-command")
    kimi.task("long", "kimi")
    dispatcher = kimi.start("dispatch", "tick")
    kimi.until(lambda: any("time.sleep" in line for line in kimi.marked_processes()), "the agent's command")
    dispatcher.kill()
    dispatcher.communicate()
    assert kimi.json("dispatch", "tick", "--no-wait") == []
    assert kimi.show("long")["status"] == "in_progress"
    kimi.ctl("task", "cancel", "long")
    kimi.until(kimi.result("long", 1).exists, "the runner's report")
    kimi.tick()
    task = kimi.show("long")
    assert (task["status"], task["attempt"]) == ("cancelled", 1)
    kimi.until(lambda: kimi.marked_processes() == [], "the end of all processes", 15)


@pytest.mark.parametrize("resume", [True, False])
def test_a_retry_resumes_or_starts_afresh_as_configured(kimi: Any, chat: Any, resume: bool) -> None:
    scenario = f"text.again-{resume}".lower()
    kimi.scenario(scenario, resume=resume)
    kimi.task("again", "kimi", "--verify", "test -e mended", "--max-attempts", "2")
    kimi.tick()
    (kimi.folder / "mended").touch()
    kimi.tick()
    assert kimi.show("again")["status"] == "done"
    first, second = outcome(kimi, "again", 1), outcome(kimi, "again", 2)
    assert (first["session_id"] == second["session_id"]) is resume
    assert second["usage"] == first["usage"], "the total of both was reported"
    last = [entry["body"]["messages"] for entry in chat.log.entries if entry["scenario"] == scenario][-1]
    assert any(message["role"] == "assistant" for message in last) is resume


def test_nothing_secret_is_written_or_on_a_command_line(kimi: Any) -> None:
    """Not even where the agent prints its whole environment, which the program keeps in its session."""
    from core import SCENARIOS, Scenario, Text, Tool

    SCENARIOS["print-env"] = Scenario((Tool("run", {"command": "env; env >&2"}), Text("I looked at it.")))
    kimi.scenario("print-env")
    kimi.environ["PLANTED_PASSWORD"] = "correct-horse-battery-staple"
    kimi.task("secrets", "kimi")
    dispatcher = kimi.start("dispatch", "tick")
    seen: set[str] = set()
    while dispatcher.poll() is None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    seen.add((entry / "cmdline").read_bytes().decode(errors="replace"))
                except OSError:
                    continue
    dispatcher.communicate()
    assert outcome(kimi, "secrets", 1)["kind"] == "succeeded"
    assert [line for line in seen if "stream-json" in line], "the agent was never seen running"
    assert not [line for line in seen if SECRET in line or "correct-horse" in line]
    assert SECRET.encode() not in kimi.everything_written()
    assert b"correct-horse" not in kimi.everything_written()


@pytest.mark.parametrize(
    ("scenario", "kind"), [("write-file", "succeeded"), ("rate-limit", "rate_limited"), ("auth", "auth_error")]
)
def test_the_older_program_works_too(kimi: Any, chat: Any, scenario: str, kind: str) -> None:
    program = os.environ.get(OLDER)
    if not program:
        pytest.skip(f"kimi-cli is not installed: install 1.40.0 of it (Python 3.13), and set {OLDER} to its path")
    kimi.scenario(scenario, program=program)
    kimi.environ |= {"KIMI_API_KEY": SECRET, "KIMI_BASE_URL": kimi.environ.pop("KIMI_MODEL_BASE_URL")}
    del kimi.environ["KIMI_MODEL_API_KEY"]
    (health,) = [one for one in kimi.json("executors", "probe", "kimi") if one["name"] == "kimi"]
    assert health["healthy"], health
    kimi.task("older", "kimi")
    (row,) = kimi.tick()
    assert row["outcome"] == kind
    told = outcome(kimi, "older", 1)
    assert told["session_id"]
    assert (told["usage"] is not None) is (kind == "succeeded")
    assert SECRET.encode() not in kimi.everything_written()
