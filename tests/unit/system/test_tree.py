"""What ``tree`` asks of the kernel; the killing itself is in ``tests/process``."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys

import pytest

from autopilot.system import tree
from autopilot.system.clock import SystemClock
from autopilot.system.process_table import Row, row_of
from autopilot.system.processes import identify
from autopilot.system.tree import become_subreaper, die_with_parent, kill_tree, set_not_dumpable


@pytest.fixture(autouse=True)
def fresh_prctl():
    """What a test makes of the kernel must not be remembered by those after it."""
    tree._libc_prctl.cache_clear()
    yield
    tree._libc_prctl.cache_clear()


def in_child(work):
    """The exit code of a forked child that does ``work``."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = int(work())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_orphans_come_to_a_subreaper():
    def work():
        assert become_subreaper()
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(43)
            os._exit(42)
        codes = {os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)}
        return 0 if codes == {42, 43} else 1

    assert in_child(work) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_not_dumpable_closes_the_environment():
    import ctypes  # noqa: F401 - nobody else may read where it is installed

    def work():
        if os.getuid() == 0:
            os.setuid(65534)
        assert set_not_dumpable()
        child = os.fork()
        if child == 0:
            try:
                with open(f"/proc/{os.getppid()}/environ", "rb") as file:
                    file.read()
            except PermissionError:
                os._exit(0)
            os._exit(9)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    assert in_child(work) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_the_kernel_says_that_it_is_not_dumpable():
    import ctypes

    prctl, get_dumpable, set_dumpable = ctypes.CDLL(None).prctl, 3, 4

    def said():
        prctl(set_dumpable, 1, 0, 0, 0)  # whatever this process was before
        before = prctl(get_dumpable, 0, 0, 0, 0)
        return before * 10 + (prctl(get_dumpable, 0, 0, 0, 0) if set_not_dumpable() else 9)

    assert in_child(said) == 10


@pytest.mark.skipif(sys.platform != "linux", reason="prctl")
def test_who_asks_for_it_dies_with_its_parent():
    def work():
        assert become_subreaper()
        reading, writing = os.pipe()
        parent = os.fork()
        if parent == 0:
            if os.fork() == 0:
                os.write(writing, b"1" if die_with_parent() else b"0")
                signal.alarm(20)
                signal.pause()
            os.close(writing)
            asked = os.read(reading, 1)
            os._exit(0 if asked == b"1" else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]) == 0
        return 0 if os.waitstatus_to_exitcode(os.wait()[1]) == -signal.SIGKILL else 1

    assert in_child(work) == 0


def test_elsewhere_there_is_no_subreaper(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not become_subreaper()
    assert not set_not_dumpable()


def test_a_refusing_kernel(monkeypatch):
    import ctypes

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: object())
    assert not become_subreaper()


@pytest.mark.parametrize("pidfds", [True, False])
def test_a_reused_pid_is_not_signalled(monkeypatch, pidfds):
    if not pidfds:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    process = subprocess.Popen(["sleep", "1000"])
    try:
        row = row_of(process.pid)
        assert row is not None
        assert not tree._signal_row(row._replace(start="1"), 9)
        assert process.poll() is None
        assert tree._signal_row(row, 9)
        assert process.wait() == -9
        assert not tree._signal_row(row, 9)
    finally:
        process.kill()
        process.wait()


def test_a_process_of_another_user_is_not_ours_to_signal(monkeypatch):
    def refuse(*_):
        raise PermissionError

    row = row_of(os.getpid())
    monkeypatch.setattr(tree.signal, "pidfd_send_signal", refuse)
    assert row is not None and not tree._signal_row(row, 0)


def test_without_children_no_process_is_looked_at(monkeypatch):
    monkeypatch.setattr(tree, "descendant_rows", None)
    assert in_child(lambda: kill_tree(grace_s=1.0, clock=SystemClock()) != tree.KillReport()) == 0


def test_where_all_children_are_excluded_nobody_is_waited_for():
    def work():
        kept = subprocess.Popen(["sleep", "1000"])
        report = kill_tree(grace_s=1.0, clock=None, exclude={kept.pid})
        alive = kept.poll() is None
        kept.kill()
        kept.wait()
        return 0 if alive and report == tree.KillReport() else 1

    assert in_child(work) == 0


def test_they_are_stopped_until_nobody_new_appears(monkeypatch):
    rows = [Row(pid, 1, "S", "1") for pid in (101, 102)]
    looks = iter([rows[:1], rows, rows])
    stopped = []
    monkeypatch.setattr(tree, "descendant_rows", lambda *_, **__: next(looks))
    monkeypatch.setattr(tree, "_signal_row", lambda row, number: stopped.append((row, number)))
    hunt = tree._Hunt(frozenset(), SystemClock(), lambda: None)
    assert hunt._freeze(math.inf) == rows
    assert stopped == [(row, signal.SIGSTOP) for row in rows]


def test_who_is_gone_is_not_identified_and_nobody_who_has_its_pid_now():
    gone = subprocess.Popen(["true"])
    gone.wait()
    me = row_of(os.getpid())
    assert me is not None
    rows = [me._replace(pid=gone.pid), me._replace(start="1"), me]
    assert list(tree._identified(rows)) == [identify()]


def test_a_clock_that_runs_out_ends_the_wait():
    class Jumping(SystemClock):
        now_s = 0.0

        def monotonic(self):
            self.now_s += 1.0
            return self.now_s

    def work():
        become_subreaper()
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        report = kill_tree(grace_s=10.0, clock=Jumping(), limit_s=1e6)
        return 0 if report.survivors == [] and report.killed == 1 else 1

    assert in_child(work) == 0
