"""No shape of the zoo outlives ``kill_tree``, and nobody else is hit."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from autopilot.executors.spawn import start
from autopilot.system import tree
from autopilot.system.clock import SystemClock
from autopilot.system.marks import marked_processes
from autopilot.system.processes import identify
from autopilot.system.tree import become_subreaper, kill_processes, kill_tree
from tests.process.zoo import SHAPES, argv_of, living, new_tag, staying, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="child subreapers are Linux")

GRACE_S = 0.3
PATIENT_S = 60  # for those who go when asked, however busy the machine is
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def in_reaper(work):
    """Run ``work`` in a fresh child that is a subreaper; what it returned."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            assert become_subreaper()
            os.write(writing, json.dumps(work()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    return json.loads(said)


def run_shape(shape, folder, tag, *, grace_s=GRACE_S, environment=ENVIRONMENT):
    """Start a shape, wait until it is all there, kill it."""
    program = start(argv_of(shape, folder, tag), cwd=str(folder), environment=environment)
    assert wait_until((folder / "ready").exists), f"{shape.name} never got ready"
    assert shape.code is None or wait_until(program.ended)
    there = len(living(tag))
    began = time.monotonic()
    report = kill_tree(grace_s=grace_s, clock=SystemClock())
    return {
        "there": there,
        "killed": report.killed,
        "forced": report.forced,
        "survivors": report.survivors,
        "code": report.exit_codes.get(program.process.pid),
        "took": time.monotonic() - began,
        "left": living(tag),
    }


def end(program, tag):
    """Whatever became of the test."""
    for pid in living(tag):
        os.kill(pid, signal.SIGKILL)
    program.wait()
    program.close()


@pytest.fixture
def tag():
    """The mark of one test's processes; kills what the test failed to."""
    tag = new_tag()
    yield tag
    for pid in living(tag):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("shape", staying(), ids=lambda shape: shape.name)
def test_nobody_survives(shape, tmp_path, tag):
    decoy_tag = new_tag()
    decoy = subprocess.Popen(["sleep", f"1000.{decoy_tag}"], start_new_session=True)
    try:
        grace_s = PATIENT_S if shape.heeds_term else GRACE_S
        seen = in_reaper(lambda: run_shape(shape, tmp_path, tag, grace_s=grace_s))
        assert seen["there"] > 0
        assert seen["left"] == [] and seen["survivors"] == []
        assert living(tag) == []
        assert seen["killed"] > 0
        assert (seen["forced"] == 0) == shape.heeds_term
        if shape.code is not None:
            assert seen["code"] == shape.code
        assert decoy.poll() is None, "a stranger of the same name was hit"
    finally:
        decoy.kill()
        decoy.wait()


@pytest.mark.parametrize("name", ["plain", "background_jobs", "stopped"])
def test_no_grace_means_kill_at_once(name, tmp_path, tag):
    seen = in_reaper(lambda: run_shape(SHAPES[name], tmp_path, tag, grace_s=0))
    assert seen["left"] == []
    assert seen["forced"] == seen["killed"] > 0


def test_those_who_go_when_asked_do_not_cost_the_whole_grace(tmp_path, tag):
    seen = in_reaper(lambda: run_shape(SHAPES["background_jobs"], tmp_path, tag, grace_s=PATIENT_S))
    assert seen["left"] == [] and seen["forced"] == 0
    assert seen["took"] < 30


def test_without_children_it_costs_nothing():
    def work():
        report = kill_tree(grace_s=60, clock=SystemClock())
        return [report.killed, report.forced, report.survivors]

    assert in_reaper(work) == [0, 0, []]


def test_excluded_children_are_neither_killed_nor_waited_for(tmp_path, tag):
    def work():
        kept = os.fork()
        if kept == 0:
            become_subreaper()
            subprocess.Popen(["sleep", f"1000.{tag}"])
            time.sleep(1000)
        gone = os.fork()
        if gone == 0:
            os._exit(7)
        ended = os.fork()
        if ended == 0:
            os._exit(9)
        wait_until(lambda: len(living(tag)) > 0)
        wait_until(lambda: os.waitid(os.P_PID, ended, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None)
        orphan = start(argv_of(SHAPES["daemon"], tmp_path, tag), cwd="/", environment=ENVIRONMENT)
        wait_until((tmp_path / "ready").exists)
        report = kill_tree(grace_s=0, clock=SystemClock(), exclude={kept, ended})
        alive = os.waitid(os.P_PID, kept, os.WEXITED | os.WNOHANG) is None
        left = len(living(tag))
        status = os.waitpid(ended, 0)[1]
        os.kill(kept, signal.SIGKILL)
        os.waitpid(kept, 0)
        kill_tree(grace_s=0, clock=SystemClock())
        return {
            "alive": alive,
            "left": left,
            "code": os.waitstatus_to_exitcode(status),
            "codes": sorted(report.exit_codes.values()),
            "orphan": report.exit_codes.get(orphan.process.pid),
            "survivors": report.survivors,
        }

    seen = in_reaper(work)
    assert seen["alive"] and seen["left"] == 1, "the excluded child and its own child live"
    assert seen["code"] == 9, "the excluded child's exit code was left to whoever waits for it"
    assert 7 in seen["codes"] and seen["survivors"] == []
    assert living(tag) == []


def test_all_but_excluded_children_go(tag):
    def work():
        kept, other = (subprocess.Popen(["sleep", f"1000.{tag}"]) for _ in range(2))
        report = kill_tree(grace_s=0, clock=SystemClock(), exclude={kept.pid})
        left = living(tag)
        kept.kill()
        kept.wait()
        said = [report.killed, report.forced, report.survivors]
        return [*said, report.exit_codes == {other.pid: -signal.SIGKILL}, left == [kept.pid]]

    assert in_reaper(work) == [1, 1, [], True, True]


def test_the_caller_is_called_while_it_waits(tmp_path, tag):
    def work():
        start(argv_of(SHAPES["ignores_term"], tmp_path, tag), cwd="/", environment=ENVIRONMENT)
        assert wait_until((tmp_path / "ready").exists)
        calls = []
        kill_tree(grace_s=0.5, clock=SystemClock(), while_waiting=lambda: calls.append(time.monotonic()))
        return max(b - a for a, b in itertools.pairwise(calls)), len(calls)

    longest, count = in_reaper(work)
    assert count > 10
    assert longest < 5


def test_first_may_be_another_signal(tmp_path, tag):
    def work():
        script = "import signal,sys,time,pathlib\nsignal.signal(signal.SIGINT, lambda *_: sys.exit(42))\n"
        script += f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\ntime.sleep(1000)\n"
        program = start([sys.executable, "-c", script, tag], cwd="/", environment=ENVIRONMENT)
        assert wait_until((tmp_path / "ready").exists)
        report = kill_tree(grace_s=30, clock=SystemClock(), first=signal.SIGINT)
        return report.exit_codes[program.process.pid]

    assert in_reaper(work) == 42


def test_what_cannot_be_killed_is_a_survivor(monkeypatch, tmp_path, tag):
    def work():
        monkeypatch.setattr(tree.signal, "pidfd_send_signal", lambda *_: None)  # as for uninterruptible sleep
        program = start(["sleep", f"1000.{tag}"], cwd="/", environment=ENVIRONMENT)
        report = kill_tree(grace_s=0, clock=SystemClock(), limit_s=0.3)
        os.kill(program.process.pid, signal.SIGKILL)
        program.wait()
        return [report.survivors == [program.process.pid], report.killed]

    assert in_reaper(work) == [True, 0]


def test_it_works_without_pidfds(monkeypatch, tmp_path, tag):
    def work():
        monkeypatch.delattr(os, "pidfd_open")
        return run_shape(SHAPES["background_jobs"], tmp_path, tag)

    seen = in_reaper(work)
    assert seen["left"] == [] and seen["survivors"] == []


@pytest.mark.parametrize(
    "name", ["plain", "ignores_term", "background_jobs", "own_sessions", "deep_chain", "first_thread_ended"]
)
def test_marked_processes_are_found_and_killed_by_a_stranger(name, tmp_path, tag):
    mark = f"root/{name}/{tag}"
    environment = {**ENVIRONMENT, "AUTOPILOT_RUN": mark}
    argv = argv_of(SHAPES[name], tmp_path, tag)
    program = start(argv, cwd="/", environment=environment)
    try:
        assert wait_until((tmp_path / "ready").exists)
        assert wait_until(lambda: {process.pid for process in marked_processes(mark)} == set(living(tag)))
        found = marked_processes(mark)
        assert marked_processes(mark[:-1]) == [] and marked_processes(f"{mark}0") == []
        report = kill_processes(found, clock=SystemClock(), grace_s=0.2)
        assert report.survivors == []
        assert marked_processes(mark) == [] and living(tag) == []
        assert report.killed >= len(found)
    finally:
        end(program, tag)


def test_what_a_known_process_started_with_an_empty_environment_goes_with_it(tmp_path, tag):
    mark = f"root/task/{tag}"
    script = f"env -i sleep 1000.{tag} & : > {tmp_path}/ready; wait"
    program = start(["/bin/sh", "-c", script], cwd="/", environment={**ENVIRONMENT, "AUTOPILOT_RUN": mark})
    try:
        assert wait_until(lambda: (tmp_path / "ready").exists() and len(living(tag)) == 2)
        found = wait_until(lambda: len(marked_processes(mark)) == 1) and marked_processes(mark)
        assert found
        assert kill_processes(found, clock=SystemClock()).killed == 2
        assert living(tag) == []
    finally:
        end(program, tag)


def test_who_is_named_while_the_others_are_stopped_goes_with_them(tag):
    """As a child whose parent has gone: nobody's descendant, and known by its mark only."""
    known, young, younger = (subprocess.Popen(["sleep", f"1000.{tag}"]) for _ in range(3))
    named = iter([[identify(young.pid)], [identify(young.pid), identify(younger.pid)]])
    asked = []

    def more():
        asked.append(known.pid)
        return next(named, [])

    report = kill_processes([identify(known.pid)], clock=SystemClock(), more=more)
    assert (report.killed, report.forced, report.survivors) == (3, 3, [])
    assert len(asked) == 3, "until it named nobody new"
    assert [process.wait() for process in (known, young, younger)] == [-9] * 3


def test_known_processes_that_cannot_be_killed_are_survivors(monkeypatch, tag):
    known = subprocess.Popen(["sleep", f"1000.{tag}"])
    with monkeypatch.context() as patch:
        patch.setattr(tree, "send_signal", lambda *_: False)  # as for another user's
        report = kill_processes([identify(known.pid)], clock=SystemClock(), limit_s=0.02)
    assert (report.killed, report.forced, report.survivors) == (0, 0, [known.pid])
    known.kill()
    known.wait()


class Slow(SystemClock):
    """A hundredth of a second for a second: whoever heeds a signal does so within any grace."""

    def monotonic(self) -> float:
        return super().monotonic() / 100


@pytest.mark.parametrize("stopped", [False, True])
def test_known_processes_are_asked_first(tag, stopped):
    known = subprocess.Popen(["sleep", f"1000.{tag}"])
    if stopped:
        known.send_signal(signal.SIGSTOP)
    report = kill_processes([identify(known.pid)], clock=Slow(), grace_s=0.5)
    assert (report.killed, report.forced, report.survivors) == (1, 0, [])
    assert known.wait() == -signal.SIGTERM


def test_processes_of_elsewhere_are_left_alone(tag):
    import attrs

    decoy = subprocess.Popen(["sleep", f"1000.{tag}"])
    try:
        there = identify(decoy.pid)
        others = [attrs.evolve(there, host="other"), attrs.evolve(there, boot="other")]
        others += [attrs.evolve(there, start_time="1"), attrs.evolve(there, pid_space=1)]
        report = kill_processes(others, clock=SystemClock(), grace_s=0.05)
        assert (report.killed, report.forced, report.survivors) == (0, 0, [])
        assert decoy.poll() is None
    finally:
        decoy.kill()
        decoy.wait()


def test_one_process_can_be_ended_without_those_below_it(tag):
    program = start(["/bin/sh", "-c", f"sleep 1000.{tag}; true"], cwd="/", environment=ENVIRONMENT)
    try:
        assert wait_until(lambda: len(living(tag)) == 2)
        report = kill_processes([identify(program.process.pid)], clock=SystemClock(), whole_trees=False)
        assert (report.killed, report.forced, report.survivors) == (1, 1, [])
        assert len(living(tag)) == 1
    finally:
        end(program, tag)
