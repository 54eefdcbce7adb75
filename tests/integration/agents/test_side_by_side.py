"""The real programs side by side: tiers decide, a rate limit sends a task elsewhere, and the trail tells it."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CODEX = """
model_provider = "fake"
[model_providers.fake]
name = "fake"
base_url = "{url}/s/text/v1"
env_key = "CODEX_API_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


@pytest.fixture
def three(arena: Any, serve: Any) -> Any:
    """The arena with Claude Code, Codex and Kimi; ``three.claude("…")`` picks what Claude Code's model does."""
    anthropic, responses, chat = serve("anthropic_messages"), serve("openai_responses"), serve("openai_chat")
    home = arena.folder.parent / "codex-home"
    home.mkdir()
    (home / "config.toml").write_text(CODEX.format(url=responses.url))
    arena.environ |= {
        "ANTHROPIC_API_KEY": "sk-ant-fake-0123456789abcdefghij",
        "CLAUDE_CONFIG_DIR": str(arena.folder.parent / "claude-home"),
        "CODEX_API_KEY": "sk-fake-0123456789abcdefghij",
        "CODEX_HOME": str(home),
        "KIMI_MODEL_NAME": "fake",
        "KIMI_MODEL_PROVIDER_TYPE": "kimi",
        "KIMI_MODEL_MAX_CONTEXT_SIZE": "262144",
        "KIMI_MODEL_BASE_URL": f"{chat.url}/s/text/v1",
        "KIMI_MODEL_API_KEY": "sk-fake-0123456789abcdefghij",
    }
    arena.config({"executors": {"claude-code": {"max_retries": 0}, "kimi": {"max_retries": 0}}})

    def claude(scenario: str) -> None:
        arena.environ["ANTHROPIC_BASE_URL"] = f"{anthropic.url}/s/{scenario}"

    arena.claude = claude
    return arena


def test_architecture_goes_to_the_high_tier_and_volume_to_kimi(three: Any) -> None:
    three.claude("text")
    rows = {row["name"]: row for row in three.json("executors", "list")}
    assert {"claude-code", "codex", "kimi"} <= set(rows)
    assert all(rows[name]["healthy"] for name in ("claude-code", "codex", "kimi")), rows
    for kind in ("architecture", "security", "docs", "formatting"):
        three.task(kind, None, "--type", kind)
    chosen = {row["task_id"]: row["executor"] for row in three.tick()}
    assert (chosen["architecture"], chosen["security"]) == ("claude-code", "claude-code")
    assert (chosen["docs"], chosen["formatting"]) == ("kimi", "kimi")
    assert {three.show(kind)["status"] for kind in chosen} == {"done"}
    decisions = {event["trace_id"]: event["payload"] for event in three.events("dispatch.decision")}
    for kind, executor in chosen.items():
        assert decisions[kind]["executor"] == executor
        assert {one["executor"] for one in decisions[kind]["candidates"]} >= {"claude-code", "codex", "kimi"}


def test_a_rate_limited_first_choice_costs_no_attempt(three: Any) -> None:
    three.claude("rate-limit-long")
    three.task("plan", None, "--type", "architecture", "--max-attempts", "1")
    (first,) = three.tick()
    assert (first["executor"], first["outcome"]) == ("claude-code", "rate_limited")
    assert three.show("plan")["status"] == "pending"
    (second,) = three.tick()
    assert second["executor"] != "claude-code"
    assert (second["attempt"], second["outcome"]) == (2, "succeeded")
    assert three.show("plan")["status"] == "done"
    trail = [(event["event_type"], event["payload"].get("executor")) for event in three.events()]
    assert ("dispatch.result", "claude-code") in trail
    assert ("dispatch.decision", second["executor"]) in trail
    resting = next(row for row in three.json("executors", "list") if row["name"] == "claude-code")
    assert resting["cooldown_until"]
