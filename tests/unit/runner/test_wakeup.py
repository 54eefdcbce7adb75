"""A wait ends when a child does, or when somebody asks for an end."""

from __future__ import annotations

import os
import select
import signal
import sys

import pytest

from autopilot.runner.wakeup import Wakeup


@pytest.fixture(autouse=True)
def handlers():
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def wakeup():
    made = Wakeup(heed_term=True)
    yield made
    made.close()


def is_woken(wakeup: Wakeup, seconds: float = 0.0) -> bool:
    return bool(select.select([wakeup.fd], [], [], seconds)[0])


def test_it_is_woken_by_a_childs_death_until_it_has_taken_note(wakeup):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert is_woken(wakeup, 60)
    os.waitpid(pid, 0)
    wakeup.drain()
    assert not is_woken(wakeup)
    assert wakeup.terminated is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_is_remembered(wakeup, number):
    signal.raise_signal(number)
    assert is_woken(wakeup)
    wakeup.drain()
    assert wakeup.terminated is True


def test_who_does_not_heed_a_signal_to_end_is_ended_by_it():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    made = Wakeup()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert made.terminated is False
    made.close()


def test_more_signals_than_it_holds_do_no_harm(wakeup, capfd):
    for _ in range(70_000):
        signal.raise_signal(signal.SIGCHLD)
    wakeup.drain()
    assert not is_woken(wakeup)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_closed_wakeup_gives_everything_back():
    before = os.listdir("/proc/self/fd")
    made = Wakeup(heed_term=True)
    made.close()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)] == [signal.SIG_DFL] * 3
    assert signal.set_wakeup_fd(-1) == -1
    assert os.listdir("/proc/self/fd") == before
