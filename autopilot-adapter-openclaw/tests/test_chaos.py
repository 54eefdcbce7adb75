"""Runners that are killed at any point of an exchange: the run is asked for again, and none is begun beside it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openclaw_zoo import Asked, Behaviour, Peer, answer
from test_openclaw import EITHER, ZOO

from autopilot.config.root import Root
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.tick import Dispatcher
from autopilot.models import TaskDraft

campaign = pytest.importorskip("tests.campaign", reason="the sizes of campaigns are the repository's")
GOOD = answer(200, EITHER)
POINTS = ("asked", "begun", "answering", "answered")
PATIENCE_S = 60.0
LOST = "lost"
"""How an attempt ends whose runner was killed before it could report."""


class Gateway(Peer):
    """Kills the runner of a task's first attempt at a point of its first request; answers well afterwards.

    Attributes:
        begun: how often each run was begun: by its key where it has one, else by its attempt.
        beside: requests that began a run while another of the same task was still at work.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(GOOD)
        self._root = root
        self._lock = threading.Lock()
        self.plans: dict[str, tuple[str, Behaviour]] = {}
        self.begun: Counter[str] = Counter()
        self.at_work: set[str] = set()
        self.beside: list[str] = []

    def behaviour(self, asked: Asked) -> Behaviour:
        run = run_of(asked)
        if not run:
            return answer(200, {"ok": True})  # the sink's
        task = run.rpartition(".")[0]
        plan = self.plans.pop(task, None)
        if plan is None:
            self._begin(task, run)
            return GOOD
        return lambda peer: self._die_at(*plan, task, run, peer)

    def _begin(self, task: str, run: str) -> None:
        with self._lock:
            if run not in self.begun and any(other.startswith(f"{task}.") for other in self.at_work):
                self.beside.append(run)
            self.begun[run] += 1

    def _die_at(self, point: str, behave: Behaviour, task: str, run: str, peer: socket.socket) -> None:
        if point == "asked":
            self.kill(task)
            return
        self._begin(task, run)
        self.at_work.add(run)
        if point == "begun":
            self.kill(task)
        else:
            with contextlib.suppress(OSError):
                behave(Deadly(peer, lambda: self.kill(task), half=point == "answering"))  # type: ignore[arg-type]
            self.kill(task)
        # By /v1/responses the end of the connection is the end of the run; by the webhook nothing ends it.
        with contextlib.suppress(OSError):
            peer.settimeout(PATIENCE_S)
            while peer.recv(65536):
                pass
        self.at_work.discard(run)

    def kill(self, task: str) -> None:
        """SIGKILL to the runner that holds the task."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            lease = json.loads((self._root / f"state/leases/{task}.json").read_bytes())
            if lease["state"] == "started":
                os.kill(lease["owner"]["pid"], signal.SIGKILL)


class Deadly:
    """A socket: once something, or half of it, has gone out, the runner at its other end is killed."""

    def __init__(self, peer: socket.socket, kill: Any, *, half: bool) -> None:
        self._peer, self._kill, self._half = peer, kill, half

    def sendall(self, data: bytes) -> None:
        first = len(data) // 2 if self._half else len(data)
        self._peer.sendall(data[:first])
        self._kill()
        self._peer.sendall(data[first:])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)


def run_of(asked: Asked) -> str:
    """Whose run a request asks for, as ``<task>.<attempt>``."""
    session = asked.headers.get("x-openclaw-session-key", "").removeprefix("autopilot-").rpartition("-")[0]
    return asked.headers.get("idempotency-key") or session


class Place:
    """A root with a dispatcher, real runners, and a gateway."""

    def __init__(self, folder: Path, door: str) -> None:
        self.door = door
        self.root = Root(str(folder / ".autopilot"))
        os.makedirs(self.root.folder, mode=0o700)
        self.gateway = Gateway(Path(self.root.folder))
        Path(self.root.config_path).write_text(
            "durability: process\n"
            "plugins:\n"
            "  only: [openclaw]\n"
            f"  openclaw: {{notify: true, url: '{self.gateway.url}'}}\n"
            "limits: {grace_s: 0.2, beat_s: 0.2}\n"
            f"executors:\n  openclaw: {{url: '{self.gateway.url}', door: {door}}}\n"
        )
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPILOT_")}
        self.control = Control(self.root, environ=kept)
        self.dispatcher = Dispatcher(self.control)
        self.number = 0

    def close(self) -> None:
        self.dispatcher.close()
        self.gateway.close()

    def task(self, point: str, behave: Behaviour) -> str:
        """A task whose first attempt meets its end at this point."""
        self.number += 1
        name = f"t{self.number}"
        self.gateway.plans[name] = (point, behave)
        text = f"---\nid: {name}\ntitle: a test\nexecutor: openclaw\n---\nPlease answer.\n"
        self.control.ensure_root()
        self.control.store.create(TaskDraft(id=name, text=text.encode()))
        return name

    def tick(self, task: str) -> str:
        """One attempt; how it ended."""
        begun = time.monotonic()
        while not any(one.task_id == task for one in self.dispatcher.tick().started):
            assert time.monotonic() - begun < PATIENCE_S, self.control.store.get(task)
            time.sleep(0.05)
        (row,) = self.dispatcher.wait_started()
        return str(row["outcome"])

    def posts(self, task: str) -> list[Asked]:
        """What was asked for this task."""
        return [asked for asked in self.gateway.asked if run_of(asked).rpartition(".")[0] == task]


@pytest.fixture(scope="module", params=["hook", "responses"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENCLAW_GATEWAY_TOKEN", "gateway-token-0123456789abcdef")
        patch.setenv("OPENCLAW_HOOKS_TOKEN", "hook-token-0123456789abcdef")
        made = Place(tmp_path_factory.mktemp("chaos"), request.param)
        yield made
        made.close()


def check(place: Place, task: str, killed: str) -> None:
    """What must hold whenever the runner died."""
    posts = place.posts(task)
    if killed == LOST:
        assert place.tick(task) == "succeeded"
        posts = place.posts(task)
        assert len(posts) <= 2
    if place.door == "hook":
        assert {run_of(asked) for asked in posts} == {f"{task}.1"}, "another key is another run"
    assert place.gateway.beside == []
    numbers = [int(run_of(asked).rpartition(".")[2]) for asked in posts]
    for number in numbers if place.door == "responses" else [1]:
        assert (Path(place.root.runs) / task / str(number) / "request.json").exists(), "asked without a record"


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_runner_doubles_no_run(place: Place, point: str) -> None:
    task = place.task(point, GOOD)
    check(place, task, place.tick(task))


CELLS = [(name, point) for name in ZOO for point in ("answering", "answered")] if campaign.FULL else []


@pytest.mark.skipif(
    not CELLS, reason="every behaviour of the zoo with a kill is the full run's: AUTOPILOT_TEST_SIZE"
)
def test_a_runner_killed_in_the_middle_of_any_answer_doubles_no_run(place: Place) -> None:
    ends: Counter[str] = Counter()
    for name, point in CELLS:
        task = place.task(point, ZOO[name][0])
        killed = place.tick(task)
        ends["killed" if killed == LOST else "too late"] += 1
        check(place, task, killed)
        with contextlib.suppress(Exception):
            place.control.cancel(task, by="test")
        place.control.reset_executor("openclaw")
    posts = len([asked for asked in place.gateway.asked if run_of(asked)])
    campaign.record("T11", f"behaviours x kills, {place.door}", cells=len(CELLS), posts=posts, **ends)
