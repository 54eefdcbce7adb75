"""Code runs with a deadline, and a hang costs its thread only."""

from __future__ import annotations

import os
import threading
import time

import pytest

from autopilot.plugins.guards import PluginFault
from autopilot.plugins.worker import HangError, Worker

LONG = 60.0


def eventually(condition: object, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def test_gives_results_and_raises_exceptions() -> None:
    worker = Worker()
    assert worker.run(lambda: 7, LONG) == 7
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0, LONG)
    assert worker.run(lambda: None, LONG) is None
    worker.close()


@pytest.mark.parametrize("fault", [SystemExit(2), KeyboardInterrupt(), GeneratorExit(), BaseException("x")])
def test_what_would_end_a_process_is_a_fault(fault: BaseException) -> None:
    def work() -> None:
        raise fault

    worker = Worker()
    with pytest.raises(PluginFault):
        worker.run(work, LONG)
    worker.close()


def test_one_thread_serves_all_calls() -> None:
    worker = Worker()
    threads = {worker.run(threading.get_ident, LONG) for _ in range(5)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}
    worker.close()


def test_after_a_hang_another_thread_takes_over() -> None:
    worker, release = Worker(), threading.Event()
    with pytest.raises(HangError, match=r"more than 0\.1 s"):
        worker.run(release.wait, 0.1)
    assert worker.run(lambda: "next", LONG) == "next"
    release.set()
    assert worker.run(lambda: "and next", LONG) == "and next"
    worker.close()


def test_a_blocked_thread_that_was_given_up_is_left_alone() -> None:
    worker, release, went_on = Worker(), threading.Event(), threading.Event()

    def block() -> None:
        release.wait()
        went_on.set()

    with pytest.raises(HangError):
        worker.run(block, 0.1)
    release.set()
    assert went_on.wait(LONG)
    worker.close()


def test_a_python_loop_that_hangs_is_stopped() -> None:
    worker = Worker()
    spins = [0]

    def spin() -> None:
        while True:
            spins[0] += 1

    with pytest.raises(HangError):
        worker.run(spin, 0.1)
    assert eventually(lambda: not _changes(spins))


def _changes(spins: list[int]) -> bool:
    before = spins[0]
    time.sleep(0.05)
    return spins[0] != before


def test_threads_end_when_it_is_closed() -> None:
    worker = Worker()
    ident = worker.run(threading.get_ident, LONG)
    worker.close()
    worker.close()
    assert eventually(lambda: ident not in {thread.ident for thread in threading.enumerate()})
    assert worker.run(lambda: 1, LONG) == 1
    worker.close()


def test_it_works_in_a_forked_child() -> None:
    worker = Worker()
    worker.run(lambda: None, LONG)
    child = os.fork()
    if child == 0:
        os._exit(0 if worker.run(lambda: 5, LONG) == 5 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    worker.close()
