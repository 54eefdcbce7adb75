"""The real Claude Code, driven from task files on a fake model server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "sk-ant-api03-planted-0123456789abcdefghijklmnop"


@pytest.fixture(scope="session")
def anthropic(serve: Any) -> Any:
    return serve("anthropic_messages")


@pytest.fixture
def claude(arena: Any, anthropic: Any) -> Any:
    """The arena, set up for Claude Code; ``claude.scenario("…")`` picks what the model does."""

    def scenario(name: str, **options: Any) -> None:
        arena.environ |= {
            "ANTHROPIC_BASE_URL": f"{anthropic.url}/s/{name}",
            "ANTHROPIC_API_KEY": SECRET,
            "CLAUDE_CONFIG_DIR": str(arena.folder.parent / "claude-home"),
        }
        arena.config({"executors": {"claude-code": {"max_retries": 1, **options}}})

    arena.scenario = scenario
    return arena


def test_a_task_that_writes_a_file_is_done_with_tokens_and_cost(claude: Any) -> None:
    claude.scenario("write-file")
    claude.task("write", "claude-code", "--verify", "test -s hello.txt")
    (row,) = claude.tick()
    assert (row["executor"], row["outcome"]) == ("claude-code", "succeeded")
    assert (claude.folder / "hello.txt").exists()
    task = claude.show("write")
    assert (task["status"], task["result"]["verified"]) == ("done", True)
    assert task["result"]["cost"] > 0
    assert task["result"]["tokens"]["output"] > 0
    assert SECRET.encode() not in claude.everything_written()


def test_a_rate_limit_parks_with_the_reset_and_uses_no_attempt(claude: Any) -> None:
    claude.scenario("rate-limit-long")
    claude.task("limited", "claude-code")
    (row,) = claude.tick()
    assert row["outcome"] == "rate_limited"
    task = claude.show("limited")
    assert (task["status"], task["reason"]["code"]) == ("pending", "parked")
    (parked,) = claude.events("task.parked")
    assert datetime.fromisoformat(parked["payload"]["until"]) > datetime.now(UTC)
    assert claude.tick() == []


def test_a_subscription_window_gives_its_reset_time(claude: Any) -> None:
    claude.scenario("usage-limit")
    claude.environ["CLAUDE_CODE_OAUTH_TOKEN"] = "sk-ant-oat01-fake-0123456789abcdef"
    del claude.environ["ANTHROPIC_API_KEY"]
    claude.task("window", "claude-code")
    claude.tick()
    (result,) = claude.events("dispatch.result")
    assert result["payload"]["outcome"] == "rate_limited"
    reset = datetime.fromisoformat(result["payload"]["reset_at"])
    assert 1800 < (reset - datetime.now(UTC)).total_seconds() < 7200


def test_a_refused_key_blocks_with_the_fix(claude: Any) -> None:
    claude.scenario("auth")
    claude.task("refused", "claude-code")
    (row,) = claude.tick()
    assert row["outcome"] == "auth_error"
    task = claude.show("refused")
    assert (task["status"], task["reason"]["code"]) == ("blocked", "auth_error")
    assert "ANTHROPIC_API_KEY" in task["reason"]["hint"]


def test_a_refused_tool_is_no_success(claude: Any) -> None:
    claude.scenario("write-file", permission_mode="dontAsk")
    claude.task("denied", "claude-code")
    (row,) = claude.tick()
    assert row["outcome"] == "denied"
    assert claude.show("denied")["status"] == "blocked"
    assert not (claude.folder / "hello.txt").exists()


def test_a_turn_limit_is_told(claude: Any) -> None:
    claude.scenario("endless", max_turns=2, allowed_tools=["Bash"])
    claude.task("turns", "claude-code", "--max-attempts", "1")
    (row,) = claude.tick()
    assert row["outcome"] == "limit_reached"


def test_a_kill_of_the_dispatcher_loses_nothing_and_a_cancel_leaves_nothing(claude: Any) -> None:
    claude.scenario("long-command", allowed_tools=["Bash"])
    claude.task("long", "claude-code")
    dispatcher = claude.start("dispatch", "tick")
    claude.until(lambda: any("time.sleep" in line for line in claude.marked_processes()), "the agent's command")
    dispatcher.kill()
    dispatcher.communicate()
    assert claude.json("dispatch", "tick", "--no-wait") == []
    assert claude.show("long")["status"] == "in_progress"
    claude.ctl("task", "cancel", "long")
    claude.until(claude.result("long", 1).exists, "the runner's report")
    claude.tick()
    task = claude.show("long")
    assert (task["status"], task["attempt"]) == ("cancelled", 1)
    claude.until(lambda: claude.marked_processes() == [], "the end of all processes", 15)


@pytest.mark.parametrize("resume", [True, False])
def test_a_retry_resumes_or_starts_afresh_as_configured(claude: Any, anthropic: Any, resume: bool) -> None:
    claude.scenario("text", resume=resume)
    claude.task("again", "claude-code", "--verify", "test -e mended", "--max-attempts", "2")
    claude.tick()
    (claude.folder / "mended").touch()
    claude.tick()
    assert claude.show("again")["status"] == "done"
    first, second = (json.loads(claude.result("again", n).read_text())["outcome"] for n in (1, 2))
    assert (first["session_id"] == second["session_id"]) is resume
    assert second["cost_usd"] == pytest.approx(first["cost_usd"], rel=0.5), "the total of both was reported"


def test_nothing_secret_is_written_or_on_a_command_line(claude: Any) -> None:
    claude.scenario("run-command", allowed_tools=["Bash"])
    claude.environ["PLANTED_PASSWORD"] = "correct-horse-battery-staple"
    claude.task("secrets", "claude-code", title=f"Do not tell anybody {SECRET}")
    dispatcher = claude.start("dispatch", "tick")
    seen: set[str] = set()
    while dispatcher.poll() is None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    seen.add((entry / "cmdline").read_bytes().decode(errors="replace"))
                except OSError:
                    continue
    dispatcher.communicate()
    agents_seen = [line for line in seen if "stream-json" in line]
    assert agents_seen, "the agent was never seen running"
    assert not [line for line in agents_seen if SECRET in line or "correct-horse" in line]
    logs = b"".join(
        path.read_bytes()
        for path in claude.root.rglob("*")
        if path.is_file() and "tasks" not in path.parts and path.name not in ("task.md", "prompt.md")
    )
    assert SECRET.encode() not in logs
    assert b"correct-horse" not in logs
