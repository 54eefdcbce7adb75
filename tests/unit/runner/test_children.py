"""A forked child has its setting and its pipes, and nothing else; and its faults stay its own."""

from __future__ import annotations

import os
import sys

import pytest

from autopilot.runner.children import Setting, fork_child
from autopilot.runner.wakeup import Wakeup

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


def test_low_descriptors_are_no_trouble(setting):
    """Where a standard stream was closed, a pipe may get its number."""
    saved = os.dup(0)
    os.close(0)
    try:
        assert run(lambda say: say(b"heard") or 0, setting)[:2] == (0, b"heard")
    finally:
        os.dup2(saved, 0)
        os.close(saved)
