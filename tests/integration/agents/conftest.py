"""The real agent programs, fake model servers on loopback, and a root to dispatch in.

The programs are installed by ``scripts/install-agents``. Without them the tests are skipped, loudly; in CI (``CI``
is set) they are installed and nothing is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
sys.path.insert(0, str(HERE / "fakes"))

INSTALL = "sh scripts/install-agents (a minute, 1.7 GB)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The programs are not ours, and start slowly on a busy machine: a time-out of theirs gets a second chance,
    # and the report shows it.
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.flaky(reruns=2))


@pytest.fixture(scope="session")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the programs; it goes first on PATH."""
    install = [str(REPOSITORY / "scripts" / "install-agents")]
    if os.environ.get("CI") or os.environ.get("AUTOPILOT_AGENTS"):
        done = subprocess.run(["sh", *install], capture_output=True, text=True, timeout=900, check=False)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())
    found = sorted((REPOSITORY / ".agents").glob("*/.complete"))
    if not found:
        pytest.skip(f"the real agent programs are not installed: {INSTALL}")
    return found[-1].parent / "bin"


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[[str], Any]]:
    """Start a fake model server: ``serve("anthropic_messages")``; its ``url`` and its ``log`` of requests."""
    from core import FakeServer, Log

    servers: list[Any] = []

    def start(protocol: str) -> Any:
        module = __import__(protocol)
        handler = {
            "anthropic_messages": "AnthropicMessages",
            "openai_responses": "OpenAIResponses",
            "openai_chat": "OpenAIChat",
        }[protocol]
        servers.append(FakeServer(0, getattr(module, handler), "text", Log()).start())
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Arena:
    """A project folder with a root; ``autopilotctl`` runs in it as a program, with the agents on its PATH.

    Attributes:
        folder: the project's folder, a git repository.
        environ: variables for autopilotctl on top of a small base.
    """

    def __init__(self, folder: Path, agents: Path) -> None:
        self.folder = folder / "project"
        self.folder.mkdir()
        self.root = self.folder / ".autopilot"
        self.environ: dict[str, str] = {}
        # Codex's sandbox refuses homes below TMPDIR, and tests live below the machine's own: so it is moved.
        temporary = folder / "t"
        temporary.mkdir()
        home = folder / "home"
        home.mkdir()
        self._base = {
            "PATH": f"{agents}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
        }
        for words in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "start"]):
            identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
            subprocess.run(["git", *identity, *words], cwd=self.folder, check=True, env=self._base)

    def config(self, settings: Mapping[str, Any]) -> None:
        """Write config.yaml (JSON is YAML)."""
        self.root.mkdir(mode=0o700, exist_ok=True)
        defaults: dict[str, Any] = {"durability": "process", "limits": {"grace_s": 3, "linger_s": 2}}
        (self.root / "config.yaml").write_text(json.dumps({**defaults, **settings}, indent=1))

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "autopilot.cli", *words],
            cwd=self.folder,
            env={**self._base, **self.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ctl(self, *words: str, code: int | None = 0) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=240)
        assert code is None or process.returncode == code, f"{words} gave {process.returncode}\n{out}\n{err}"
        return out

    def json(self, *words: str) -> Any:
        return json.loads(self.ctl(*words, "-o", "json"))

    def task(self, name: str, executor: str | None, *more: str, title: str = "Do the scripted thing") -> None:
        chosen = ["--executor", executor] if executor else []
        self.ctl("task", "create", "--id", name, "--title", title, *chosen, *more)

    def tick(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.json("dispatch", "tick")
        return rows

    def show(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.json("task", "show", name)
        return shown

    def events(self, *types: str) -> list[dict[str, Any]]:
        lines = self.ctl("events", "tail", "-n", "100000", "-o", "ndjson").splitlines()
        found = [json.loads(line) for line in lines]
        return [event for event in found if not types or event["event_type"] in types]

    def until(self, holds: Callable[[], bool], what: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(0.1)

    def result(self, name: str, attempt: int) -> Path:
        return self.root / "runs" / name / str(attempt) / "result.json"

    def everything_written(self) -> bytes:
        """All bytes of all files below the root, for looking for secrets."""
        return b"\n".join(path.read_bytes() for path in self.root.rglob("*") if path.is_file())

    def marked_processes(self) -> list[str]:
        """Command lines of live processes that work for this arena, except dispatchers."""
        found = []
        mark = os.fsencode(self.folder)
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environ, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
                working = os.readlink(entry / "cwd")
            except OSError:
                continue
            if b"AUTOPILOT_RUN=" in environ and (mark in environ or working.startswith(str(self.folder))):
                found.append(command.replace(b"\0", b" ").decode(errors="replace"))
        return found


@pytest.fixture
def arena(tmp_path: Path, agents: Path) -> Arena:
    return Arena(tmp_path, agents)
