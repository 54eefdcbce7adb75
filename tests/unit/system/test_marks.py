"""A mark stays on whatever a process does to itself, and nobody else is taken for its wearer."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from autopilot.system import marks
from autopilot.system.marks import MARK, marked_processes, wear, wearable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="marks are read from /proc")

LIMIT = 10


@pytest.fixture
def sleeper():
    """Starts processes that first do what the test says, and ends them."""
    made = []

    def start(first=None, **environ):
        process = subprocess.Popen(["/bin/sleep", "1000"], env=environ, preexec_fn=first, start_new_session=True)
        made.append(process)
        return process

    yield start
    for process in made:
        process.kill()
        process.wait()


def pids(mark):
    return [process.pid for process in marked_processes(mark)]


def test_a_worn_mark_is_found_where_the_environment_says_nothing(sleeper):
    marked = sleeper(lambda: wear("root/task/1"))
    assert pids("root/task/1") == [marked.pid]
    assert pids("root/task/11") == pids("root/task/") == []


def test_the_environment_is_enough_where_the_limit_cannot_be_set(sleeper):
    marked = sleeper(**{MARK: "root/task/2"})
    assert pids("root/task/2") == [marked.pid]
    assert pids("root/task/") == pids("ot/task/2") == []


def test_an_attempt_inside_an_attempt_has_its_own_mark(sleeper):
    depth = 10

    def inside():
        for level in range(depth):
            wear(f"root/{level}/1")
        os.execve("/bin/sleep", ["sleep", "1000"], {})

    inner = sleeper(inside)
    assert pids(f"root/{depth - 1}/1") == [inner.pid]
    assert all(pids(f"root/{level}/1") == [] for level in range(depth - 1)), "the limit has room for one mark"


def test_a_mark_is_worn_twice_as_well_as_once(sleeper):
    marked = sleeper(lambda: wear("root/task/3") and wear("root/task/3"))
    assert pids("root/task/3") == [marked.pid]


def test_a_privileged_process_takes_no_more_than_it_is_given(sleeper):
    """As root a mark could be put in place of a higher one; a mark must look the same whoever made it."""
    marked = sleeper(lambda: resource.setrlimit(LIMIT, (1 << 50, 1 << 50)) or wear("root/task/4"))
    assert pids("root/task/4") == [marked.pid]
    _, most = resource.prlimit(marked.pid, LIMIT)
    assert most < 1 << 50


@pytest.mark.parametrize("most", [0, 1, 1024, 1 << 40])
def test_a_limit_too_small_for_a_mark_is_left_alone(sleeper, most):
    answers = os.pipe()

    def first():
        resource.setrlimit(LIMIT, (most, most))
        os.write(answers[1], str(wearable() or wear("root/task/5")).encode())

    small = sleeper(first)
    assert os.read(answers[0], 10) == b"False"
    assert resource.prlimit(small.pid, LIMIT) == (most, most)
    assert pids("root/task/5") == []
    for fd in answers:
        os.close(fd)


def test_a_kernel_that_refuses_is_no_fault(monkeypatch):
    def refuse(*_):
        raise PermissionError

    before = resource.getrlimit(LIMIT)
    assert wearable() and resource.getrlimit(LIMIT) == before
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert not wear("root/task/6") and not wearable()


def test_elsewhere_nothing_is_worn(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not wear("root/task/7") and not wearable()


def test_a_system_without_proc_shows_no_marks(monkeypatch):
    def missing(*_):
        raise FileNotFoundError

    monkeypatch.setattr(os, "listdir", missing)
    assert marked_processes("anything") == []


def test_whom_we_may_not_signal_is_not_ours(monkeypatch, sleeper):
    def refuse(*_):
        raise PermissionError

    sleeper(lambda: wear("root/task/8"))
    with monkeypatch.context() as changed:
        changed.setattr(marks.os, "kill", refuse)
        assert marked_processes("root/task/8") == []
    assert len(marked_processes("root/task/8")) == 1


def test_a_process_that_hands_itself_on_is_met_though_it_is_never_there_when_its_turn_comes(monkeypatch):
    """The listing is as slow as it takes: each that is looked at has gone, and has left a child."""
    looked_at = []

    def identity(pid, *_):
        looked_at.append(pid)
        return "found" if pid == 105 else None

    listed = iter([["self", "100", "7"], ["101", "7"], ["102"], ["103"], ["104"], ["105"], ["105"]])
    monkeypatch.setattr(marks, "_identity_if_marked", identity)
    monkeypatch.setattr(os, "listdir", lambda _: next(listed))
    assert marked_processes("root/task/9") == ["found"]
    assert looked_at == [7, 100, 101, 102, 103, 104, 105]


def test_marks_differ_and_leave_room_for_those_inside():
    numbers = {marks._number(f"root/task/{n}") for n in range(1000)}
    assert len(numbers) == 1000
    assert all(number.bit_length() == 63 for number in numbers)
