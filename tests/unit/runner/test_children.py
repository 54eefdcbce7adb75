"""A forked child has its setting and its pipes, and nothing else; and its faults stay its own."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import types

import pytest

from autopilot.runner.children import Setting, fork_child
from autopilot.runner.wakeup import Wakeup
from autopilot.system.processes import identify, is_alive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")


@pytest.fixture
def setting(tmp_path):
    wakeup = Wakeup()
    yield Setting({"ONLY": "this"}, str(tmp_path), wakeup)
    wakeup.close()


def run(work, setting):
    """The exit code of a child, what it said and what it printed."""
    ours = sys.stdout, sys.stderr
    # Python's own standard streams, as a launcher has them, in place of pytest's.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    try:
        child = fork_child(work, setting)
    finally:
        sys.stdout, sys.stderr = ours
    assert not os.get_blocking(child.talk)
    assert not os.get_blocking(child.log)
    code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    said, printed = (os.read(fd, 65536) for fd in (child.talk, child.log))
    child.close()
    return code, said, printed


def test_a_child_says_prints_and_ends(setting, tmp_path):
    def work(say):
        say(f"{os.environ.get('ONLY')} {len(os.environ)} {os.getcwd()} {os.getsid(0) == os.getpid()}".encode())
        print("printed")
        return 5

    assert run(work, setting) == (5, f"this 1 {tmp_path} True".encode(), b"printed\n")


def test_a_folder_that_may_not_be_entered_is_for_its_user_to_say(setting, monkeypatch):
    def refuse(path):
        raise PermissionError("no")

    monkeypatch.setattr(os, "chdir", refuse)
    assert run(lambda say: say(b"here") or 0, setting)[:2] == (0, b"here")


def test_variables_need_not_fit_the_locale(setting, monkeypatch):
    for owner, name in ((os, "fsencode"), (os.environ, "encodevalue")):
        monkeypatch.setattr(owner, name, lambda text: text.encode("ascii"))
    odd = Setting({"NAME": "fünf"}, setting.workdir, setting.wakeup)
    assert run(lambda say: say(os.environb[b"NAME"]) or 0, odd)[:2] == (0, "fünf".encode())


def test_no_other_descriptor_reaches_the_child(setting, tmp_path):
    with open(tmp_path / "held", "w") as held:
        number = held.fileno()

        def work(say):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number if number > 3 else 4)
            say(b"closed")
            return 0

        assert run(work, setting)[1] == b"closed"


def test_an_exception_is_an_exit_code_and_a_trace(setting):
    def work(say):
        raise RuntimeError("a bug")

    code, said, printed = run(work, setting)
    assert (code, said) == (70, b"")
    assert b"RuntimeError: a bug" in printed


def test_closed_standard_streams_do_no_harm(setting):
    def work(say):
        sys.stdout.close()
        return 0

    assert run(work, setting)[0] == 0


def test_a_missing_work_folder_is_left_out(tmp_path):
    wakeup = Wakeup()
    code, said, _ = run(lambda say: say(os.getcwd().encode()) or 0, Setting({}, str(tmp_path / "gone"), wakeup))
    wakeup.close()
    assert (code, said) == (0, os.getcwd().encode())


def test_a_fork_that_fails_leaves_no_descriptor(setting, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "again")

    monkeypatch.setattr(os, "fork", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(BlockingIOError):
        fork_child(lambda say: 0, setting)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("lowest", [0, 1, 2, 3, 4])
def test_whatever_numbers_its_pipes_have_it_keeps_four_descriptors(tmp_path, lowest):
    """Where a standard stream was closed, a pipe may get its number."""

    def work(say):
        os.write(1, b"one ")
        os.write(2, b"two")
        fds = " ".join(sorted(os.listdir("/proc/self/fd")))  # with that of this look
        say(f"{fds} {os.readlink('/proc/self/fd/0')} {os.get_inheritable(3)}".encode())
        return 0

    runner = os.fork()
    if runner == 0:
        try:
            os.closerange(lowest, 256)
            child = fork_child(work, Setting({}, str(tmp_path), types.SimpleNamespace(close=lambda: None)))
            os.waitpid(child.pid, 0)
            found = os.read(child.talk, 100), os.read(child.log, 100)
            (tmp_path / "found").write_bytes(b" ".join(found))
        finally:
            os._exit(0)
    os.waitpid(runner, 0)
    assert (tmp_path / "found").read_text() == "0 1 2 3 4 /dev/null False one two"


def test_a_child_dies_with_its_parent(tmp_path):
    """A runner that is killed takes its host along at once, whoever is there to notice."""
    runner = os.fork()
    if runner == 0:
        try:

            def work(say):
                (tmp_path / "pid").write_text(str(os.getpid()))
                select.select([], [], [], 1000)
                return 0

            fork_child(work, Setting({}, str(tmp_path), Wakeup()))
            select.select([], [], [], 1000)
        finally:
            os._exit(1)
    written = wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    host = identify(int(written))
    os.kill(runner, signal.SIGKILL)
    os.waitpid(runner, 0)
    wait_for(lambda: not is_alive(host))


def test_a_child_whose_parent_is_gone_already_does_nothing(tmp_path):
    wakeup = Wakeup()
    setting = Setting({}, str(tmp_path), wakeup, parent=1)
    assert run(lambda say: say(b"work") or 0, setting) == (70, b"", b"")
    wakeup.close()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
