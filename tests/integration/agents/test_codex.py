"""The real Codex, driven from task files on a fake model server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SECRET = "sk-proj-planted-0123456789abcdefghijklmnopqrstuv"

CONFIG = """
model_provider = "fake"
[model_providers.fake]
name = "fake"
base_url = "{url}"
env_key = "CODEX_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


@pytest.fixture(scope="session")
def responses(serve: Any) -> Any:
    return serve("openai_responses")


@pytest.fixture
def codex(arena: Any, responses: Any) -> Any:
    """The arena, set up for Codex; ``codex.scenario("…")`` picks what the model does."""
    home = arena.folder.parent / "codex-home"
    home.mkdir()

    def scenario(name: str, **options: Any) -> None:
        (home / "config.toml").write_text(CONFIG.format(url=f"{responses.url}/s/{name}/v1"))
        arena.environ |= {"CODEX_API_KEY": SECRET, "CODEX_HOME": str(home)}
        arena.config({"executors": {"codex": options}})

    arena.scenario = scenario
    return arena


def test_a_task_that_writes_a_file_is_done_with_tokens(codex: Any) -> None:
    codex.scenario("write-file")
    codex.task("write", "codex", "--verify", "test -s hello.txt")
    (row,) = codex.tick()
    assert (row["executor"], row["outcome"]) == ("codex", "succeeded")
    assert (codex.folder / "hello.txt").read_text() == "hello from the fake model\n"
    task = codex.show("write")
    assert (task["status"], task["result"]["verified"]) == ("done", True)
    tokens = task["result"]["tokens"]
    assert (tokens["input"], tokens["output"]) == (2000, 100)
    assert SECRET.encode() not in codex.everything_written()


def test_a_command_runs_in_the_sandbox_although_home_lies_below_tmpdir(codex: Any) -> None:
    codex.scenario("run-command")
    codex.environ["TMPDIR"] = str(codex.folder.parent)
    codex.task("run", "codex", "--verify", "grep -q ran ran.txt")
    (row,) = codex.tick()
    assert row["outcome"] == "succeeded"
    assert "could not create PATH aliases" not in (codex.result("run", 1).parent / "stderr.log").read_text()


def test_a_usage_limit_parks_until_its_reset_and_uses_no_attempt(codex: Any) -> None:
    codex.scenario("usage-limit")
    codex.task("limited", "codex")
    (row,) = codex.tick()
    assert row["outcome"] == "rate_limited"
    task = codex.show("limited")
    assert (task["status"], task["reason"]["code"]) == ("pending", "parked")
    (result,) = codex.events("dispatch.result")
    reset = datetime.fromisoformat(result["payload"]["reset_at"])
    assert 1800 < (reset - datetime.now(UTC)).total_seconds() < 7200
    assert codex.tick() == []


def test_a_refused_key_blocks_with_the_fix(codex: Any) -> None:
    codex.scenario("auth")
    codex.task("refused", "codex")
    (row,) = codex.tick()
    assert row["outcome"] == "auth_error"
    task = codex.show("refused")
    assert (task["status"], task["reason"]["code"]) == ("blocked", "auth_error")
    assert "codex login" in task["reason"]["hint"]


def test_a_refused_write_is_no_success_although_the_program_says_so(codex: Any) -> None:
    codex.scenario("write-file", sandbox="read-only")
    codex.task("denied", "codex")
    (row,) = codex.tick()
    assert row["outcome"] == "denied"
    task = codex.show("denied")
    assert (task["status"], task["reason"]["code"]) == ("blocked", "denied")
    assert "read-only sandbox" in task["reason"]["message"]
    assert json.loads(codex.result("denied", 1).read_text())["outcome"]["exit_code"] == 0
    assert not (codex.folder / "hello.txt").exists()


def test_an_unreachable_provider_does_not_hold_the_task_for_ever(codex: Any) -> None:
    codex.scenario("text")
    home = Path(codex.environ["CODEX_HOME"])
    (home / "config.toml").write_text(CONFIG.format(url="http://127.0.0.1:1/v1"))
    codex.task("offline", "codex")
    (row,) = codex.tick()
    assert row["outcome"] == "unavailable"
    assert codex.show("offline")["status"] == "pending"
    outcome = json.loads(codex.result("offline", 1).read_text())["outcome"]
    assert outcome["session_id"], "the next attempt can go on with the thread"


def test_a_kill_of_the_dispatcher_loses_nothing_and_a_cancel_leaves_nothing(codex: Any) -> None:
    codex.scenario("long-command")
    codex.task("long", "codex")
    dispatcher = codex.start("dispatch", "tick")
    codex.until(lambda: any("time.sleep" in line for line in codex.marked_processes()), "the agent's command")
    dispatcher.kill()
    dispatcher.communicate()
    assert codex.json("dispatch", "tick", "--no-wait") == []
    assert codex.show("long")["status"] == "in_progress"
    codex.ctl("task", "cancel", "long")
    codex.until(codex.result("long", 1).exists, "the runner's report")
    codex.tick()
    task = codex.show("long")
    assert (task["status"], task["attempt"]) == ("cancelled", 1)
    codex.until(lambda: codex.marked_processes() == [], "the end of all processes", 15)


def test_work_that_outlives_its_dispatcher_is_adopted_and_not_done_again(codex: Any, responses: Any) -> None:
    codex.scenario("write-file.adopted")
    codex.task("adopted", "codex")
    dispatcher = codex.start("dispatch", "tick")
    codex.until(lambda: any("exec --json" in line for line in codex.marked_processes()), "the agent")
    dispatcher.kill()
    dispatcher.communicate()
    codex.until(codex.result("adopted", 1).exists, "the runner's report")
    codex.tick()
    task = codex.show("adopted")
    assert (task["status"], task["attempt"], task["result"]["tokens"]["input"]) == ("done", 1, 2000)
    calls = [entry for entry in responses.log.entries if entry["scenario"] == "write-file.adopted"]
    assert len([entry for entry in calls if entry["path"].endswith("/responses")]) == 2, "it was done again"


@pytest.mark.parametrize("resume", [True, False])
def test_a_retry_resumes_or_starts_afresh_as_configured(codex: Any, resume: bool) -> None:
    codex.scenario("text", resume=resume)
    codex.task("again", "codex", "--verify", "test -e mended", "--max-attempts", "2")
    codex.tick()
    (codex.folder / "mended").touch()
    codex.until(lambda: bool(codex.tick()), "the retry")
    assert codex.show("again")["status"] == "done"
    first, second = (json.loads(codex.result("again", n).read_text())["outcome"] for n in (1, 2))
    assert (first["session_id"] == second["session_id"]) is resume
    assert second["usage"] == first["usage"], "the total of both was reported"


def test_a_retry_starts_afresh_where_the_thread_is_gone(codex: Any) -> None:
    codex.scenario("text")
    codex.task("gone", "codex", "--verify", "test -e mended", "--max-attempts", "2")
    codex.tick()
    home = Path(codex.environ["CODEX_HOME"])
    home.rename(home.with_name("lost-home"))
    home.mkdir()
    (home / "config.toml").write_text((home.with_name("lost-home") / "config.toml").read_text())
    (codex.folder / "mended").touch()
    codex.until(lambda: bool(codex.tick()), "the retry")
    assert codex.show("gone")["status"] == "done"
    first, second = (json.loads(codex.result("gone", n).read_text())["outcome"] for n in (1, 2))
    assert first["session_id"] != second["session_id"]


def test_nothing_secret_is_written_or_on_a_command_line(codex: Any) -> None:
    codex.scenario("run-command")
    codex.environ["PLANTED_PASSWORD"] = "correct-horse-battery-staple"
    codex.task("secrets", "codex", title=f"Do not tell anybody {SECRET}")
    dispatcher = codex.start("dispatch", "tick")
    seen: set[str] = set()
    while dispatcher.poll() is None:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    seen.add((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue
    dispatcher.communicate()
    agents_seen = [line for line in seen if "exec --json" in line and str(codex.folder) in line]
    assert agents_seen, "the agent was never seen running"
    assert not [line for line in agents_seen if SECRET in line or "correct-horse" in line]
    logs = b"".join(
        path.read_bytes()
        for path in codex.root.rglob("*")
        if path.is_file() and "tasks" not in path.parts and path.name not in ("task.md", "prompt.md")
    )
    assert SECRET.encode() not in logs
    assert b"correct-horse" not in logs


def test_what_the_probe_sees(codex: Any) -> None:
    codex.scenario("text")
    (row,) = [row for row in codex.json("executors", "list") if row["name"] == "codex"]
    assert (row["healthy"], "0.169.0" in row["reason"]) == (True, True)
    del codex.environ["CODEX_API_KEY"]
    codex.ctl("executors", "probe", "codex", code=None)
    (row,) = [row for row in codex.json("executors", "list") if row["name"] == "codex"]
    assert not row["healthy"]
    assert "CODEX_API_KEY" in row["reason"]
