"""What a reclaim does when something cannot be killed, or keeps coming back. (The rest: ``tests/crash``.)"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import attrs
import pytest

from autopilot.models import Lease, LeaseState, TaskRecord
from autopilot.runner.folders import mark_of, write_reaped
from autopilot.runner.reclaim import Cleared, Deferred, clear
from autopilot.system.clock import SystemClock
from autopilot.system.marks import wear
from autopilot.system.processes import ProcessIdentity, boot_id, identify, is_alive
from autopilot.system.tree import KillReport

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="marks are read from /proc")


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / ".autopilot" / "runs" / "t" / "1"
    folder.mkdir(parents=True)
    return str(folder)


@pytest.fixture
def sleeper(run_dir):
    """Starts processes, and ends what the test left."""
    made = []

    def start(wears="", script="exec sleep 1000", **environ):
        process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            env=environ,
            start_new_session=True,
            preexec_fn=(lambda: wear(wears)) if wears else None,
        )
        made.append(process)
        return process

    yield start
    for process in made:
        process.kill()
        process.wait()


def dead(process: ProcessIdentity | None = None) -> ProcessIdentity:
    return attrs.evolve(process or identify(), start_time="1")


def lease_of(owner: ProcessIdentity, guardian: ProcessIdentity | None = None, **changes) -> Lease:
    return Lease(
        **{
            "record": TaskRecord(task_id="t", token=1),
            "state": LeaseState.STARTED,
            "executor": "x",
            "owner": owner,
            "guardian": guardian,
            "claimed_at": datetime.now(UTC),
            "beat": 0.0,
            "ttl_s": 30.0,
            **changes,
        }
    )


def clear_now(lease, run_dir):
    return clear(lease, run_dir, clock=SystemClock(), grace_s=0.2)


def test_nothing_is_left_of_an_attempt_without_traces(run_dir):
    assert clear_now(lease_of(dead()), run_dir) == Cleared()


def test_marked_processes_are_ended(run_dir, sleeper):
    marked, other = sleeper(AUTOPILOT_RUN=mark_of(run_dir)), sleeper(AUTOPILOT_RUN=mark_of(run_dir) + "0")
    assert clear_now(lease_of(dead()), run_dir) == Cleared(killed=1)
    assert marked.wait() == -9
    assert other.poll() is None


def test_who_wears_the_mark_is_ended_whatever_else_it_has_shed(run_dir, sleeper):
    marked, other = sleeper(wears=mark_of(run_dir)), sleeper(wears=mark_of(run_dir) + "0")
    assert clear_now(lease_of(dead()), run_dir) == Cleared(killed=1)
    assert marked.wait() == -9
    assert other.poll() is None


def test_all_that_were_killed_are_counted(run_dir, sleeper):
    owner, marked = sleeper(), sleeper(AUTOPILOT_RUN=mark_of(run_dir))
    assert clear_now(lease_of(identify(owner.pid)), run_dir) == Cleared(killed=2)
    assert (owner.wait(), marked.wait()) == (-9, -9)


def test_an_owner_on_another_machine_is_that_machines_matter(run_dir, sleeper):
    marked = sleeper(AUTOPILOT_RUN=mark_of(run_dir))
    assert clear_now(lease_of(attrs.evolve(identify(), host="another")), run_dir) == Cleared()
    assert marked.poll() is None


def test_the_launchers_word_is_enough(run_dir, sleeper):
    guardian = identify(sleeper().pid)
    write_reaped(run_dir, exit_code=-9, killed=1)
    assert clear_now(lease_of(dead(), guardian), run_dir) == Cleared()
    assert not pathlib.Path(run_dir, "reclaim.json").exists()


def test_a_launcher_that_dies_while_it_is_waited_for_is_waited_for_no_longer(run_dir, sleeper):
    process = sleeper()
    guardian = identify(process.pid)
    with subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {process.pid}"]):
        assert clear(lease_of(dead(), guardian), run_dir, clock=SystemClock(), grace_s=60.0) == Cleared()


def test_who_survives_sigkill_puts_the_reclaim_off(run_dir, monkeypatch):
    def powerless(processes, *, limit_s, **_):
        limits.append(limit_s)
        return KillReport(survivors=[7, *(process.pid for process in processes)])

    limits = []
    monkeypatch.setattr("autopilot.runner.reclaim.kill_processes", powerless)
    answer = clear_now(lease_of(identify()), run_dir)
    assert answer == Deferred(reason=f"not dead after SIGKILL, so the task waits: process 7, {identify().pid}")
    assert limits == [0.2]


def test_a_marked_survivor_puts_the_reclaim_off(run_dir, sleeper, monkeypatch):
    marked = sleeper(AUTOPILOT_RUN=mark_of(run_dir))

    def powerless(processes, *, limit_s, **_):
        limits.append(limit_s)
        return KillReport(survivors=[process.pid for process in processes if process.pid == marked.pid])

    limits = []
    monkeypatch.setattr("autopilot.runner.reclaim.kill_processes", powerless)
    answer = clear_now(lease_of(dead()), run_dir)
    assert answer == Deferred(reason=f"not dead after SIGKILL, so the task waits: process {marked.pid}")
    assert limits == [0.2, 0.2]


def test_those_who_multiply_without_end_put_the_reclaim_off(run_dir, sleeper, monkeypatch):
    sleeper(AUTOPILOT_RUN=mark_of(run_dir))
    monkeypatch.setattr("autopilot.runner.reclaim.kill_processes", lambda processes, **_: KillReport(killed=1))
    answer = clear_now(lease_of(dead()), run_dir)
    assert isinstance(answer, Deferred)
    assert "multiply" in answer.reason


def test_a_launcher_that_is_still_busy_puts_the_reclaim_off(run_dir, sleeper):
    """One that was stopped goes on for that, and when it was asked first is written down."""
    process = sleeper()
    process.send_signal(signal.SIGSTOP)
    lease, began = lease_of(dead(), identify(process.pid)), SystemClock().monotonic()
    reason = f"the launcher (process {process.pid}) is still ending what the attempt left behind"
    notes = []
    for _ in range(2):
        assert clear_now(lease, run_dir) == Deferred(reason=reason)
        notes.append(json.loads(pathlib.Path(run_dir, "reclaim.json").read_text()))
    assert notes[0] == notes[1] == {"boot": boot_id(), "monotonic": notes[0]["monotonic"]}
    assert began <= notes[0]["monotonic"] < SystemClock().monotonic()
    assert pathlib.Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "S"


@pytest.fixture
def asked_long_ago(run_dir):
    """The note of a first try that is longer ago than a lease lasts."""
    noted = {"boot": boot_id(), "monotonic": SystemClock().monotonic() - 31}
    pathlib.Path(run_dir, "reclaim.json").write_text(json.dumps(noted))


def test_a_launcher_that_says_nothing_for_the_time_of_a_lease_is_ended_and_nobody_below_it(
    run_dir, sleeper, asked_long_ago
):
    process = sleeper(script="sleep 1000 & echo $! > $RUN/pid.new; mv $RUN/pid.new $RUN/pid; wait", RUN=run_dir)
    pid = pathlib.Path(run_dir, "pid")
    while not pid.exists():
        time.sleep(0.01)
    runner = identify(int(pid.read_text()))
    assert clear_now(lease_of(dead(), identify(process.pid)), run_dir) == Cleared()
    assert process.wait() == -9
    assert is_alive(runner)
    os.kill(runner.pid, signal.SIGKILL)


def test_a_launcher_that_cannot_be_ended_is_not_waited_for_longer_than_the_grace(
    run_dir, sleeper, asked_long_ago, monkeypatch
):
    limits = []

    def powerless(processes, *, limit_s, **_):
        limits.append(limit_s)
        return KillReport()

    monkeypatch.setattr("autopilot.runner.reclaim.kill_processes", powerless)
    assert clear_now(lease_of(dead(), identify(sleeper().pid)), run_dir) == Cleared()
    assert limits == [0.2, 0.2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"boot": "another", "monotonic": 1}',
        f'{{"boot": "{boot_id()}"}}',
        f'{{"boot": "{boot_id()}", "monotonic": 1}}'.rjust(4098),
    ],
    ids=lambda text: text[:40],
)
def test_a_damaged_note_of_the_first_try_is_replaced(run_dir, sleeper, text):
    guardian = identify(sleeper().pid)
    with open(f"{run_dir}/reclaim.json", "w") as file:
        file.write(text)
    assert isinstance(clear_now(lease_of(dead(), guardian), run_dir), Deferred)
    with open(f"{run_dir}/reclaim.json") as file:
        assert boot_id() in file.read()


def test_a_note_that_cannot_be_written_does_not_matter(run_dir, sleeper, monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "full")

    monkeypatch.setattr("autopilot.runner.reclaim.replace_file", refuse)
    guardian = identify(sleeper().pid)
    assert isinstance(clear_now(lease_of(dead(), guardian), run_dir), Deferred)


def test_who_wears_the_mark_of_a_claim_was_started_by_its_runner_meanwhile(run_dir, sleeper):
    """A lease that was read as a claim may be a started one by now: its healthy runner must not be ended."""
    runner = sleeper(wears=mark_of(run_dir))
    assert clear_now(lease_of(dead(), state=LeaseState.CLAIMED), run_dir) == Cleared()
    assert runner.poll() is None


def test_a_claim_does_not_wait_for_a_launcher(run_dir, sleeper):
    guardian = identify(sleeper().pid)
    lease = lease_of(dead(), guardian, state=LeaseState.CLAIMED)
    assert clear_now(lease, run_dir) == Cleared()
