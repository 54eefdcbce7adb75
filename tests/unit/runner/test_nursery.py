"""The launcher's loop, without a dispatcher: requests in, answers and ends out."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys

import pytest

from autopilot.runner.lines import LineReader, encode_line
from autopilot.runner.nursery import Nursery
from autopilot.system.clock import SystemClock
from autopilot.system.tree import become_subreaper

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")


class Launcher:
    """A nursery in a process of its own, and our end of its socket."""

    def __init__(self, run, **more) -> None:
        self.socket, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                self.socket.close()
                become_subreaper()
                Nursery(theirs, run, clock=SystemClock(), **more).serve()
                code = 0
            finally:
                os._exit(code)
        theirs.close()
        self.lines = LineReader(self.socket.fileno(), limit=10**6)

    def ask(self, **request):
        self.socket.sendall(encode_line(request))

    def start(self, run_dir, code=0, **more):
        spec = {"task_id": "t", "token": 1, "run_dir": str(run_dir), "code": code, **more}
        self.ask(spec=spec, lease={})

    def answers(self, count):
        found = []
        while len(found) < count:
            assert select.select([self.socket], [], [], 60)[0]
            found += self.lines.read()
            assert not self.lines.ended
        return found

    def end(self):
        self.socket.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def launcher():
    made = []

    def make(run=lambda spec, lease: spec["code"], **more):
        made.append(Launcher(run, **more))
        return made[-1]

    yield make
    for item in made:
        with contextlib.suppress(ChildProcessError):
            item.end()


def test_a_runner_is_started_and_its_end_is_told(launcher, tmp_path):
    nursery = launcher()
    nursery.start(tmp_path)
    started, ended = nursery.answers(2)
    assert started["started"] > 0
    assert ended == {"ended": "t", "token": 1, "exit_code": 0}
    assert not (tmp_path / "reaped.json").exists()
    assert nursery.end() == 0


@pytest.mark.parametrize("code", [1, 97, 98])
def test_an_end_without_a_report_is_written_down(launcher, tmp_path, code):
    nursery = launcher()
    nursery.start(tmp_path / "run", code)
    assert nursery.answers(2)[1]["exit_code"] == code
    assert (tmp_path / "run" / "reaped.json").exists()


def test_a_request_that_makes_no_sense_is_refused_and_harms_nobody(launcher, tmp_path):
    nursery = launcher()
    nursery.ask(nonsense=True)
    nursery.ask(spec={"task_id": "t"}, lease={})
    nursery.ask(spec={"task_id": "t", "token": "one", "run_dir": "/"}, lease={})
    assert all("makes no sense" in answer["refused"] for answer in nursery.answers(3))
    nursery.start(tmp_path)
    assert "started" in nursery.answers(2)[0]


def test_a_fork_that_fails_is_refused(launcher, tmp_path, monkeypatch):
    def fail():
        raise BlockingIOError(11, "no more processes")

    def no_fork(spec):
        if spec["code"] == 5:
            fail()

    nursery = launcher(before_fork=no_fork)
    nursery.start(tmp_path, code=5)
    assert nursery.answers(1)[0]["refused"].startswith("could not fork: Resource temporarily unavailable")


def test_a_crash_of_the_runners_own_code_is_an_exit_code(launcher, tmp_path, capfd):
    def crash(spec, lease):
        raise RuntimeError("a bug")

    nursery = launcher(crash)
    nursery.start(tmp_path)
    assert nursery.answers(2)[1]["exit_code"] == 70
    assert "a bug" in capfd.readouterr().err


def test_a_dispatcher_that_does_not_listen_does_not_stop_the_launcher(launcher, tmp_path):
    """More ends than the socket holds: they wait, and come through in the end."""
    nursery = launcher()
    nursery.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    long = "x" * 2000
    for number in range(150):
        nursery.start(tmp_path, task_id=f"{number}{long}")
    ends = [answer for answer in nursery.answers(300) if "ended" in answer]
    assert {end["ended"].removesuffix(long) for end in ends} == {str(number) for number in range(150)}


def test_the_launcher_goes_when_the_dispatcher_is_gone(launcher):
    assert launcher().end() == 0


def test_an_end_for_a_dispatcher_that_is_gone_is_dropped(launcher, tmp_path):
    def wait(spec, lease):
        while not os.path.exists(tmp_path / "go"):
            select.select([], [], [], 0.01)
        return 0

    nursery = launcher(wait)
    nursery.start(tmp_path)
    nursery.answers(1)
    nursery.socket.close()
    (tmp_path / "go").touch()
    assert os.waitstatus_to_exitcode(os.waitpid(nursery.pid, 0)[1]) == 0


def test_what_a_runner_leaves_behind_is_killed_before_its_end_is_told(launcher, tmp_path):
    def leave(spec, lease):
        become_subreaper()
        if os.fork() == 0:
            os.setsid()
            (tmp_path / "pid").write_text(str(os.getpid()))
            select.select([], [], [], 1000)
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            select.select([], [], [], 0.01)
        return 3

    nursery = launcher(leave)
    nursery.start(tmp_path / "run")
    nursery.answers(2)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert '"orphans_killed": 1' in (tmp_path / "run" / "reaped.json").read_text()


def test_a_word_that_can_never_be_written_is_given_up(launcher, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("autopilot.runner.nursery._RETRY_S", 0.01)
    (tmp_path / "run").write_text("a file where a folder should be")
    nursery = launcher()
    nursery.start(tmp_path / "run" / "1", code=1)
    assert nursery.answers(2)[1]["exit_code"] == 1
    assert len(capfd.readouterr().err.splitlines()) == 20


def test_a_survivor_is_told_of_and_tried_again(launcher, tmp_path, monkeypatch, capfd):
    from autopilot.runner import nursery as module
    from autopilot.system.tree import KillReport

    reports = [KillReport(survivors=[77]), KillReport(killed=1)]
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    monkeypatch.setattr(module, "kill_tree", lambda **_: reports.pop(0))
    nursery = launcher()
    nursery.start(tmp_path, code=1)
    assert nursery.answers(2)[1]["exit_code"] == 1
    assert "not dead after SIGKILL: [77]" in capfd.readouterr().err
