"""A real OpenClaw gateway, driven from task files; its models are a fake server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HERE = Path(__file__).resolve().parent
NO_RETRIES = {"retry": {"provider": {"maxRetries": 0}}}


class Gateway:
    """A gateway of the tests' own.

    Attributes:
        models: the fake model server behind it.
        workspace: the folder that its agent works in.
        tokens: what its two doors want.
    """

    def __init__(self, told: dict[str, str], models: Any, state: Path) -> None:
        self.url = told["url"]
        self.models = models
        self.state = state
        self.workspace = Path(told["workspace"])
        self.tokens = {
            "OPENCLAW_GATEWAY_TOKEN": told["gateway_token"],
            "OPENCLAW_HOOKS_TOKEN": told["hook_token"],
        }

    def processes(self) -> dict[int, str]:
        """Live processes that belong to it: their ids and command lines."""
        found = {}
        mark = f"OPENCLAW_STATE_DIR={self.state}".encode()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found[int(entry.name)] = (
                        (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                    )
            except OSError:
                continue
        return found

    def works(self) -> bool:
        """Whether the scripted long command of its agent runs."""
        return any("time.sleep(300)" in line for line in self.processes().values())

    def heard(self, scenario: str = "") -> list[str]:
        """What the models of a scenario, or all, were told, request by request."""
        calls = [one["body"] for one in list(self.models.log.entries) if scenario in ("", one["scenario"])]
        return [json.dumps(body) for body in calls if body]


@pytest.fixture(scope="module")
def gateway(agents: Path, serve: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("openclaw")
    state, models = folder / "state", serve("openai_chat")
    settings = state / "agents" / "main" / "agent" / "settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(NO_RETRIES))  # its own retries of a 429 take three minutes
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["--state", str(state), "--port", str(port), "--fake-url", models.url, "--log", str(folder / "log")]
    environ = {**os.environ, "PATH": f"{agents}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder)}
    keeper = subprocess.Popen(
        [sys.executable, str(HERE / "fakes" / "openclaw_gateway.py"), *words],
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdout is not None
    line = keeper.stdout.readline()
    assert line, f"the gateway did not start: {(folder / 'log').read_text()[-2000:]}"
    one = Gateway(json.loads(line), models, state)
    yield one
    keeper.terminate()
    keeper.wait(timeout=60)
    for pid in one.processes():
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def openclaw(arena: Any, gateway: Gateway) -> Any:
    """The arena, set up for the gateway; its agent's workspace is the repository of the tasks."""
    arena.environ |= gateway.tokens
    for left in gateway.workspace.glob("*.txt"):
        left.unlink()

    def scenario(name: str, **options: Any) -> None:
        chosen = {"url": gateway.url, "model": f"fake-{name}/model", **options}
        arena.config({"executors": {"openclaw": chosen}, **arena.more})

    def task(name: str, *more: str) -> None:
        arena.task(name, "openclaw", "--repo", str(gateway.workspace), "--workspace", "repo", *more)

    arena.more = {}
    arena.scenario = scenario
    arena.hand_over = task
    return arena


def seen_by_everybody(gateway: Gateway) -> list[str]:
    """Command lines of this machine that hold one of the tokens."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode("utf-8", "replace"))
        except OSError:
            continue
    return [line for line in lines if any(token in line for token in gateway.tokens.values())]


def assert_nothing_secret(openclaw: Any, gateway: Gateway) -> None:
    written = openclaw.everything_written()
    assert not [name for name, token in gateway.tokens.items() if token.encode() in written]


def test_a_result_wakes_the_agent(openclaw: Any, gateway: Gateway) -> None:
    # First of all: later the gateway may put the turn off, having had others (it allows one event turn in 30 s).
    openclaw.more = {"plugins": {"openclaw": {"notify": True, "url": gateway.url}}}
    openclaw.scenario("text")
    openclaw.task("tell-me", None, "--command", "true")
    openclaw.tick()
    openclaw.tick()  # a tick tells sinks what was logged before its end, and adopts what ends while it waits
    assert openclaw.show("tell-me")["status"] == "done"
    word = "Autopilot: task tell-me is done"
    openclaw.until(lambda: any(word in heard for heard in gateway.heard()), "the agent's wake-up", 120)
    assert_nothing_secret(openclaw, gateway)


def test_a_task_that_writes_a_file_is_done_with_tokens(openclaw: Any, gateway: Gateway) -> None:
    openclaw.scenario("write-file")
    openclaw.hand_over("write", "--verify", "test -s hello.txt")
    (row,) = openclaw.tick()
    assert (row["executor"], row["outcome"]) == ("openclaw", "succeeded")
    assert (gateway.workspace / "hello.txt").exists()
    task = openclaw.show("write")
    assert (task["status"], task["result"]["verified"]) == ("done", True)
    assert task["result"]["tokens"]["output"] > 0
    assert_nothing_secret(openclaw, gateway)
    (health,) = [one for one in openclaw.json("executors", "list") if one["name"] == "openclaw"]
    assert health["healthy"]
    assert "responses" in health["reason"]


def test_the_webhook_does_it_too_and_marks_the_prompt_as_untrusted(openclaw: Any, gateway: Gateway) -> None:
    openclaw.scenario("write-file", door="hook")
    openclaw.hand_over("hooked", "--verify", "test -s hello.txt")
    before = len(gateway.heard("write-file"))
    (row,) = openclaw.tick()
    assert row["outcome"] == "succeeded"
    assert openclaw.show("hooked")["status"] == "done"
    assert "EXTERNAL, UNTRUSTED" in gateway.heard("write-file")[before]
    assert_nothing_secret(openclaw, gateway)


def test_the_webhook_tells_a_failure_but_no_reason(openclaw: Any) -> None:
    openclaw.scenario("bad-request", door="hook")
    openclaw.hand_over("hooked", "--max-attempts", "1")
    (row,) = openclaw.tick()
    assert row["outcome"] == "failed"
    assert "openclaw logs" in json.loads(openclaw.result("hooked", 1).read_text())["outcome"]["hint"]


def test_a_rate_limit_parks_with_the_reset_and_uses_no_attempt(openclaw: Any) -> None:
    openclaw.scenario("rate-limit-long")
    openclaw.hand_over("limited")
    (row,) = openclaw.tick()
    assert row["outcome"] == "rate_limited"
    task = openclaw.show("limited")
    assert (task["status"], task["reason"]["code"]) == ("pending", "parked")
    (parked,) = openclaw.events("task.parked")
    left = datetime.fromisoformat(parked["payload"]["until"]) - datetime.now(UTC)
    assert 3000 < left.total_seconds() <= 3600
    assert openclaw.tick() == []


def test_the_providers_refusal_and_the_gateways_are_told_apart(openclaw: Any) -> None:
    openclaw.scenario("auth")
    openclaw.hand_over("provider")
    (row,) = openclaw.tick()
    assert row["outcome"] == "auth_error"
    reason = openclaw.show("provider")["reason"]
    assert (reason["code"], "openclaw models" in reason["hint"]) == ("auth_error", True)
    openclaw.ctl("executors", "reset", "openclaw")
    openclaw.environ["OPENCLAW_GATEWAY_TOKEN"] = "wrong-token-0123456789abcdef"
    openclaw.hand_over("gateway")
    (row,) = openclaw.tick()
    assert row["outcome"] == "auth_error"
    task = openclaw.show("gateway")
    assert task["status"] == "blocked"
    assert "OPENCLAW_GATEWAY_TOKEN" in task["reason"]["hint"]


def test_a_kill_of_the_dispatcher_loses_nothing_and_a_cancel_ends_the_run(openclaw: Any, gateway: Gateway) -> None:
    openclaw.scenario("long-command")
    openclaw.hand_over("long")
    dispatcher = openclaw.start("dispatch", "tick")
    openclaw.until(gateway.works, "the agent's command", 180)
    assert not seen_by_everybody(gateway)
    dispatcher.kill()
    dispatcher.communicate()
    assert openclaw.json("dispatch", "tick", "--no-wait") == []
    assert openclaw.show("long")["status"] == "in_progress"
    assert gateway.works()
    openclaw.ctl("task", "cancel", "long")
    openclaw.until(openclaw.result("long", 1).exists, "the runner's report")
    openclaw.tick()
    task = openclaw.show("long")
    assert (task["status"], task["attempt"]) == ("cancelled", 1)
    openclaw.until(lambda: openclaw.marked_processes() == [], "the end of our processes", 15)
    openclaw.until(lambda: not gateway.works(), "the end of the agent's command", 60)


@pytest.mark.parametrize("resume", [True, False])
def test_a_retry_resumes_or_starts_afresh_as_configured(openclaw: Any, gateway: Gateway, resume: bool) -> None:
    openclaw.scenario("text", resume=resume)
    name = f"again-{resume}".lower()
    openclaw.hand_over(name, "--verify", "test -e mended.txt", "--max-attempts", "2")
    openclaw.tick()
    (gateway.workspace / "mended.txt").touch()
    openclaw.tick()
    assert openclaw.show(name)["status"] == "done"
    first, second = (json.loads(openclaw.result(name, n).read_text())["outcome"] for n in (1, 2))
    assert (first["session_id"] == second["session_id"]) is resume
    remembers = "The answer is 42." in gateway.heard("text")[-1]
    assert remembers is resume
