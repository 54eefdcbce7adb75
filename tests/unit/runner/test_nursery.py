"""The launcher's loop, without a dispatcher: requests in, answers and ends out."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import time

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
    assert written(tmp_path / "run") == {"runner_exit": code, "orphans_killed": 0}


def written(run_dir):
    return json.loads((run_dir / "reaped.json").read_text())


def held(folder):
    """What a runner does that works until it is let go by a file of its name."""

    def work(spec, lease):
        while not (folder / spec["task_id"]).exists():
            time.sleep(0.01)
        return spec["code"]

    return work


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


def test_ends_for_a_dispatcher_that_is_gone_are_dropped(launcher, tmp_path):
    nursery = launcher(held(tmp_path))
    for name in ("a", "b"):
        nursery.start(tmp_path, task_id=name)
    nursery.answers(2)
    nursery.socket.close()
    (tmp_path / "a").touch()
    time.sleep(0.1)
    assert os.waitpid(nursery.pid, os.WNOHANG) == (0, 0)
    (tmp_path / "b").touch()
    assert os.waitstatus_to_exitcode(os.waitpid(nursery.pid, 0)[1]) == 0


def test_with_nothing_to_do_it_sleeps(launcher, tmp_path, monkeypatch):
    from autopilot.runner import nursery as module

    def counted(*args, **more):
        with open(tmp_path / "waits", "a") as file:
            file.write(".")
        return wait_ready(*args, **more)

    wait_ready = module.wait_ready
    monkeypatch.setattr(module, "wait_ready", counted)
    nursery = launcher(held(tmp_path))
    for name in ("a", "b", "c"):
        nursery.start(tmp_path, task_id=name)
    nursery.answers(3)
    (tmp_path / "a").touch()
    nursery.answers(1)
    time.sleep(0.1)
    nursery.socket.close()
    (tmp_path / "b").touch()
    time.sleep(0.2)
    (tmp_path / "c").touch()
    assert os.waitstatus_to_exitcode(os.waitpid(nursery.pid, 0)[1]) == 0
    assert len((tmp_path / "waits").read_text()) < 20


def leave(spec, lease):
    """Leave a process behind that says when it is asked to end."""
    pid = os.path.join(spec["run_dir"], "pid")
    become_subreaper()
    os.mkdir(spec["run_dir"])
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, lambda *_: os.mkdir(os.path.join(spec["run_dir"], "asked")))
        with open(f"{pid}.new", "w") as file:
            file.write(str(os.getpid()))
        os.rename(f"{pid}.new", pid)
        time.sleep(1000)
    while not os.path.exists(pid):
        time.sleep(0.01)
    return spec["code"]


@pytest.mark.parametrize("code", [1, 3])
def test_what_a_runner_leaves_behind_is_killed_before_its_end_is_told(launcher, tmp_path, code):
    nursery = launcher(leave)
    nursery.start(tmp_path / "run", code)
    nursery.answers(2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "run" / "pid").read_text()), 0)
    assert written(tmp_path / "run") == {"runner_exit": code, "orphans_killed": 1}
    assert not (tmp_path / "run" / "asked").exists()


def test_orphans_are_counted_for_those_that_left_them(launcher, tmp_path):
    nursery = launcher(lambda spec, lease: 5 if spec["code"] == 5 else leave(spec, lease))
    for number, code in enumerate((3, 5)):
        nursery.start(tmp_path / str(number), code)
        nursery.answers(2)
    assert [written(tmp_path / n)["orphans_killed"] for n in ("0", "1")] == [1, 0]


def test_the_end_of_one_runner_leaves_the_others_alone(launcher, tmp_path):
    work = held(tmp_path)
    nursery = launcher(lambda spec, lease: (work if spec["task_id"] == "long" else leave)(spec, lease))
    nursery.start(tmp_path / "run", task_id="long", code=4)
    nursery.start(tmp_path / "other", code=3)
    assert nursery.answers(3)[2] == {"ended": "t", "token": 1, "exit_code": 3}
    (tmp_path / "long").touch()
    assert nursery.answers(1) == [{"ended": "long", "token": 1, "exit_code": 4}]
    assert written(tmp_path / "run") == {"runner_exit": 4, "orphans_killed": 0}


def test_a_stranger_that_ends_is_nobodys_end(launcher, tmp_path):
    """A runner that ended well left somebody behind after all, who then goes by himself."""

    def leave_one(spec, lease):
        runner = os.getpid()
        if os.fork() == 0:
            while os.getppid() == runner:
                time.sleep(0.01)
            os._exit(9)
        return spec["code"]

    nursery = launcher(leave_one)
    for _ in range(2):
        nursery.start(tmp_path)
        assert nursery.answers(2)[1] == {"ended": "t", "token": 1, "exit_code": 0}
        time.sleep(0.1)


def test_a_word_that_can_never_be_written_is_given_up(launcher, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("autopilot.runner.nursery._RETRY_S", 0.01)
    (tmp_path / "run").write_text("a file where a folder should be")
    nursery = launcher()
    nursery.start(tmp_path / "run" / "1", code=1)
    assert nursery.answers(2)[1]["exit_code"] == 1
    assert len(capfd.readouterr().err.splitlines()) == 20


def test_a_place_that_makes_no_sense_is_given_up_at_once(launcher, tmp_path, capfd):
    nursery = launcher()
    nursery.start("\0/runs/t/1", code=1)
    assert nursery.answers(2)[1]["exit_code"] == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("t.1: ")


def test_a_survivor_is_told_of_once_and_tried_again(launcher, tmp_path, monkeypatch, capfd):
    """Whoever ended well meanwhile does not wait for that."""
    from autopilot.runner import nursery as module
    from autopilot.system.tree import KillReport

    def kill_tree(*, grace_s, clock, exclude, limit_s):
        if not (tmp_path / "go").exists():
            return KillReport(survivors=[77])
        return reports.pop(0)

    reports = [KillReport(killed=2, survivors=[78]), KillReport(killed=1)]
    monkeypatch.setattr(module, "_RETRY_S", 0.01)
    monkeypatch.setattr(module, "kill_tree", kill_tree)
    nursery = launcher()
    nursery.start(tmp_path, code=1)
    nursery.answers(1)
    nursery.start(tmp_path, task_id="well")
    assert nursery.answers(2)[1] == {"ended": "well", "token": 1, "exit_code": 0}
    time.sleep(0.1)
    (tmp_path / "go").touch()
    assert nursery.answers(1)[0] == {"ended": "t", "token": 1, "exit_code": 1}
    assert written(tmp_path)["orphans_killed"] == 3
    assert capfd.readouterr().err == "not dead after SIGKILL: [77]\nnot dead after SIGKILL: [78]\n"
