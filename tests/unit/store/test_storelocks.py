from __future__ import annotations

import os

import pytest

from autopilot.errors import BusyError
from autopilot.store.layout import Layout
from autopilot.store.storelocks import StoreLocks


@pytest.fixture
def open_locks(root):
    """Opens the locks of the root again and again, as other processes would; they wait for nobody."""
    opened = []

    def open_again():
        opened.append(StoreLocks(Layout(str(root)), patience_s=0.0))
        return opened[-1]

    yield open_again
    for locks in opened:
        locks.close()


def excludes_others(one, two):
    with one.claims(), one.task("x"):
        with pytest.raises(BusyError), two.claims():
            pass
        with pytest.raises(BusyError), two.task("x"):
            pass
    with two.claims(), two.task("x"):
        pass


def in_a_child(do, *args):
    """Whether a forked child could do it."""
    pid = os.fork()
    if pid == 0:
        try:
            do(*args)
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_task_inside_the_claims_leaves_both_locked(open_locks):
    one, two = open_locks(), open_locks()
    excludes_others(one, two)
    assert in_a_child(excludes_others, one, two)


def test_a_lock_file_is_opened_once(open_locks, root, monkeypatch):
    opened = []
    real = os.open

    def spy(path, *args, **more):
        opened.append(os.path.basename(path))
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", spy)
    locks = open_locks()
    for _ in range(3):
        with locks.claims(), locks.task("x"):
            pass
    assert sorted(opened) == sorted(os.listdir(root / "state/locks"))
    assert len(opened) == 2


def test_a_forked_child_waits_for_its_parent(open_locks):
    def wait_in_vain():
        with pytest.raises(BusyError), locks.task("x"):
            pass

    locks = open_locks()
    with locks.task("x"):
        assert in_a_child(wait_in_vain)


def test_whether_a_task_was_free(open_locks):
    one, two = open_locks(), open_locks()
    with one.task_if_free("x") as free:
        assert free is True
        with two.task_if_free("x") as also:
            assert also is False
    with two.task_if_free("x") as free:
        assert free is True
