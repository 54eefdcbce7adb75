"""Runner, launcher and dispatcher die, stop, or meet a full disk at named places: what is promised still holds.

The oracle is a file that the executors themselves write: one line for each time that one was started.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from autopilot.errors import LeaseLostError, SetupError
from autopilot.models import Ending, LeaseState, OutcomeKind, Status
from autopilot.runner.folders import read_reaped
from autopilot.runner.launcher import LOST_SIGHT
from autopilot.runner.reclaim import Cleared, Deferred, clear
from autopilot.system.clock import SystemClock
from autopilot.system.processes import identify, is_alive
from tests.process.runner_support import Arena, alive, arena, kill, pids_in, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")

MARKS = "import os\nopen('ran', 'a').write(f'{os.getpid()}\\n')\n"
HANGS = MARKS + "import time; time.sleep(1000)"
STAYS = "echo $$ >>ran; exec sleep 1000"
"""The same as a program: the host dies with its runner, a program does not."""


def started(place: Arena) -> list[int]:
    """The pids of the executors that were started."""
    ran = place.work / "ran"
    return [int(line) for line in ran.read_text().split()] if ran.exists() else []


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


@pytest.fixture
def place(whole):
    yield whole.fresh()
    whole.calm()


# ---------------------------------------------------------------------- the start gate


@pytest.mark.parametrize("point", ["runner.task.write", "runner.gate", "start.lease.write", "start.lease.rename"])
def test_a_runner_that_dies_before_its_record_is_durable_has_started_nothing(tmp_path, point):
    with arena(tmp_path, AUTOPILOT_FAILPOINTS=f"{point}=kill") as place:
        lease = place.start(MARKS)
        assert place.ended(lease).exit_code == -signal.SIGKILL
        assert started(place) == []
        now = place.store.lease(place.task_id)
        assert now.state is LeaseState.CLAIMED
        # The claim is still the dispatcher's, and can be given back.
        assert isinstance(clear(now, place.run_dir(now), clock=SystemClock()), Cleared)
        place.store.finish(now, Ending(status=Status.PENDING, record=now.record))


@pytest.mark.parametrize(
    "point", ["start.lease.renamed", "start.lease.done", "runner.started", "runner.forked", "runner.report"]
)
def test_a_runner_that_dies_later_is_reclaimed_and_nothing_of_it_is_left(tmp_path, point):
    with arena(tmp_path, AUTOPILOT_FAILPOINTS=f"{point}=kill") as place:
        lease = place.start(HANGS if point == "runner.forked" else MARKS)
        assert place.ended(lease).exit_code == -signal.SIGKILL
        assert len(started(place)) <= 1
        assert not any(alive(pid) for pid in started(place))
        now = place.store.lease(place.task_id)
        assert now.state is LeaseState.STARTED
        assert is_alive(now.owner) is False
        assert place.store.result(now) is None
        assert isinstance(clear(now, place.run_dir(now), clock=SystemClock()), Cleared)


@pytest.mark.parametrize("point", ["runner.protected", "runner.changes.write", "runner.changes.rename"])
def test_a_runner_that_dies_while_it_looks_for_violations_is_reclaimed(tmp_path, point):
    with arena(tmp_path, AUTOPILOT_FAILPOINTS=f"{point}=kill") as place:
        lease = place.start(MARKS, workspace="repo")
        assert place.ended(lease).exit_code == -signal.SIGKILL
        assert len(started(place)) == 1
        now = place.store.lease(place.task_id)
        assert place.store.result(now) is None
        assert isinstance(clear(now, place.run_dir(now), clock=SystemClock()), Cleared)


def test_a_runner_that_dies_after_its_report_is_adopted(tmp_path):
    with arena(tmp_path, AUTOPILOT_FAILPOINTS="runner.reported=kill") as place:
        lease = place.start(MARKS)
        assert place.ended(lease).exit_code == -signal.SIGKILL
        assert place.store.result(lease).outcome.kind is OutcomeKind.SUCCEEDED


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "EROFS"])
@pytest.mark.parametrize("point", ["runner.task.write", "start.lease.write"])
def test_a_disk_that_refuses_the_record_starts_nothing(tmp_path, point, fault):
    with arena(tmp_path, AUTOPILOT_FAILPOINTS=f"{point}={fault}") as place:
        lease = place.start(MARKS)
        assert place.ended(lease).exit_code == 96
        assert started(place) == []
        assert "not started: cannot write" in place.complaints()
        assert place.store.lease(place.task_id).state is LeaseState.CLAIMED


def test_a_store_that_cannot_be_opened_starts_nothing(place: Arena):
    lease, text = place.claim(place.task_id, executor="python", body=MARKS)
    place.launcher.start(place.spec(lease, text, store_url="odd://x"), lease)
    assert place.ended(lease).exit_code == 96
    assert started(place) == []
    assert "no plugin opens the store odd://x" in place.complaints()


def test_a_claim_that_was_taken_back_starts_nothing(place: Arena):
    lease, text = place.claim(place.task_id, executor="python", body=MARKS)
    place.store.finish(lease, Ending(status=Status.PENDING, record=lease.record))
    place.launcher.start(place.spec(lease, text), lease)
    assert place.ended(lease).exit_code == 97
    assert started(place) == []
    (told,) = events(place, "attempt.refused")
    assert told["payload"]["attempt"] == lease.token
    assert told["payload"]["reason"]["message"]


def events(place: Arena, event_type: str) -> list[dict]:
    """What the log has of one type about the test's task."""
    return [json.loads(record.line) for record in place.log.tail(1000, types=event_type, task=place.task_id)]


def test_a_token_is_started_once(place: Arena):
    """Two runners for one claim, as after a launcher that died without an answer."""
    lease, text = place.claim(place.task_id, executor="python", body=MARKS + "import time; time.sleep(0.5)")
    for _ in range(3):
        place.launcher.start(place.spec(lease, text), lease)
    codes = sorted(until_all(place, 3))
    assert codes == [0, 97, 97]
    assert len(started(place)) == 1


def until_all(place: Arena, count: int) -> list[int]:
    found: list[int] = []

    def enough() -> bool:
        found.extend(end.exit_code for end in place.launcher.poll())
        return len(found) >= count

    until(enough, f"{count} ends")
    return found


# ---------------------------------------------------------------------- the lease


def test_a_runner_that_lost_its_lease_ends_everything_and_reports_nothing(place: Arena):
    lease = place.start(HANGS)
    now = place.started(lease)
    (pid,) = pids_in(place.work / "ran")
    place.store.finish(now, Ending(status=Status.PENDING, record=now.record))
    assert place.ended(lease).exit_code == 98
    assert not alive(pid)
    assert place.store.result(lease) is None
    assert read_reaped(place.run_dir(lease)).runner_exit == 98


def test_a_lease_stays_fresh_under_a_silent_executor(place: Arena):
    lease = place.start(HANGS, lease_ttl_s=1.0)
    first = place.started(lease).beat
    pids_in(place.work / "ran")
    until(lambda: place.store.lease(place.task_id).beat > first + 2.0, "a later beat")
    now = place.store.lease(place.task_id)
    assert is_alive(now.owner)
    assert now.state is LeaseState.STARTED


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_beats_that_fail_do_not_stop_the_attempt(tmp_path, fault):
    failing = ",".join(f"beat.write={fault}@{n}" for n in range(3, 6))
    with arena(tmp_path, AUTOPILOT_FAILPOINTS=failing) as place:
        result = place.do(MARKS + "import time; time.sleep(1.5)")
        assert result.outcome.kind is OutcomeKind.SUCCEEDED
        assert "beat: " in place.complaints()


def test_a_report_waits_for_the_disk(tmp_path):
    with arena(tmp_path, AUTOPILOT_FAILPOINTS="report.write=ENOSPC@1,report.write=ENOSPC@2") as place:
        result = place.do(MARKS)
        assert result.outcome.kind is OutcomeKind.SUCCEEDED
        assert "report: " in place.complaints()
        assert len(started(place)) == 1


def test_side_files_that_cannot_be_written_do_not_stop_the_attempt(tmp_path):
    with arena(tmp_path, AUTOPILOT_FAILPOINTS="runner.changes.write=ENOSPC") as place:
        result = place.do(MARKS, workspace="repo")
        assert result.outcome.kind is OutcomeKind.SUCCEEDED
        assert result.changed == ("ran",)


# ---------------------------------------------------------------------- stopped for longer than its lease


def test_a_stopped_runner_is_ended_before_its_task_is_taken_back(place: Arena):
    lease = place.start(HANGS, lease_ttl_s=1.0)
    owner = place.started(lease).owner
    (pid,) = pids_in(place.work / "ran")
    os.kill(owner.pid, signal.SIGSTOP)
    now = place.store.lease(place.task_id)
    assert alive(pid)
    until(lambda: isinstance(clear(now, place.run_dir(now), clock=SystemClock()), Cleared), "the reclaim")
    assert not alive(pid)
    assert is_alive(owner) is False
    assert place.ended(lease).exit_code == -signal.SIGKILL


def test_a_runner_that_wakes_up_too_late_stops(place: Arena):
    lease = place.start(HANGS)
    now = place.started(lease)
    (pid,) = pids_in(place.work / "ran")
    os.kill(now.owner.pid, signal.SIGSTOP)
    place.store.finish(now, Ending(status=Status.PENDING, record=now.record))
    again = place.store.claim(place.task_id, executor="python", owner=identify(), limits=_limits(), ttl_s=30.0)
    os.kill(now.owner.pid, signal.SIGCONT)
    assert place.ended(lease).exit_code == 98
    assert not alive(pid)
    with pytest.raises(LeaseLostError):
        place.store.renew(now)
    assert place.store.lease(place.task_id).token == again.token == lease.token + 1
    (told,) = events(place, "lease.stale")
    assert told["payload"] == {"attempt": lease.token, "current": again.token, "what": "beat"}


def _limits():
    from autopilot.store.contract import SlotLimits

    return SlotLimits(total=10)


# ---------------------------------------------------------------------- the launcher


def test_attempts_go_on_without_their_launcher(place: Arena):
    body = MARKS + "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"
    lease = place.start(body)
    guardian = place.started(lease).guardian
    pids_in(place.work / "ran")
    kill(guardian)
    until(lambda: not is_alive(guardian), "the launcher's death")
    assert [end for end in place.launcher.poll() if end.task_id == place.task_id] == []
    assert place.launcher.running() == 1
    (place.work / "go").touch()
    assert place.ended(lease).exit_code == LOST_SIGHT
    assert place.launcher.running() == 0
    assert place.store.result(lease).outcome.kind is OutcomeKind.SUCCEEDED


def test_a_dead_launcher_is_replaced(place: Arena):
    first = place.start(HANGS)
    guardian = place.started(first).guardian
    kill(guardian)
    until(lambda: not is_alive(guardian), "the launcher's death")
    result = place.do(MARKS, task_id=f"{place.task_id}.second")
    assert result.outcome.kind is OutcomeKind.SUCCEEDED
    assert place.started(first).guardian == guardian
    place.store.request_cancel(place.task_id, by="a test")
    assert place.ended(first).exit_code == LOST_SIGHT


def test_a_launcher_that_cannot_live_is_a_set_up_error(tmp_path):
    with arena(tmp_path, PYTHONHOME="/nowhere") as place:
        lease, text = place.claim(place.task_id, executor="python")
        with pytest.raises(SetupError, match="ended without an answer") as caught:
            place.launcher.start(place.spec(lease, text), lease)
        assert "launcher.log" in caught.value.hint
        assert place.launcher.running() == 0


def test_a_runner_that_breaks_says_so_in_the_launchers_log(place: Arena):
    lease, text = place.claim(place.task_id, executor="python")
    place.launcher.start(place.spec(lease, text, run_dir="not/a/run/folder\0"), lease)
    assert place.ended(lease).exit_code == 70
    assert "ValueError: embedded null byte" in place.complaints()
    assert place.do(MARKS, task_id=f"{place.task_id}.next").outcome.kind is OutcomeKind.SUCCEEDED


def test_a_stopped_launcher_is_woken_to_say_that_a_runner_is_gone(place: Arena):
    lease = place.start(STAYS, executor="shell")
    now = place.started(lease)
    (pid,) = pids_in(place.work / "ran")
    os.kill(now.guardian.pid, signal.SIGSTOP)
    kill(now.owner)
    until(lambda: not is_alive(now.owner), "the runner's death")
    assert alive(pid)
    until(lambda: isinstance(clear(now, place.run_dir(now), clock=SystemClock()), Cleared), "the reclaim")
    assert not alive(pid)
    assert is_alive(now.guardian)


def test_a_reclaim_waits_for_the_launcher_and_not_for_ever(place: Arena, monkeypatch):
    """A launcher that never says that it has cleared up: the disk refuses its word."""
    lease = place.start(STAYS, executor="shell")
    now = attrs.evolve(place.started(lease), ttl_s=1.5)
    (pid,) = pids_in(place.work / "ran")
    monkeypatch.setattr("autopilot.runner.reclaim.read_reaped", lambda run_dir: None)
    kill(now.owner)
    answer = clear(now, place.run_dir(now), clock=SystemClock(), grace_s=0.1)
    assert isinstance(answer, Deferred)
    assert "launcher" in answer.reason
    assert is_alive(now.guardian)
    other = place.start(STAYS.replace("ran", "other"), executor="shell", task_id=f"{place.task_id}.other")
    (another,) = pids_in(place.work / "other")
    until(lambda: isinstance(clear(now, place.run_dir(now), clock=SystemClock(), grace_s=0.1), Cleared), "an end")
    assert is_alive(now.guardian) is False
    assert not alive(pid)
    # Attempts of other tasks under the same launcher go on.
    assert alive(another)
    assert is_alive(place.started(other).owner)
    orphan = place.started(other)
    kill(orphan.owner)
    until(lambda: isinstance(clear(orphan, place.run_dir(orphan), clock=SystemClock()), Cleared), "its end, too")
    assert not alive(another)


def test_the_launcher_tries_again_to_say_that_a_runner_is_gone(tmp_path):
    failing = "runner.reaped.write=ENOSPC@1,runner.reaped.write=ENOSPC@2"
    with arena(tmp_path, AUTOPILOT_FAILPOINTS=failing) as place:
        lease = place.start(HANGS)
        kill(place.started(lease).owner)
        assert place.ended(lease).exit_code == -signal.SIGKILL
        assert read_reaped(place.run_dir(lease)).runner_exit == -signal.SIGKILL
        assert place.complaints().count("No space left") == 2


def test_the_launcher_ends_after_its_dispatcher_and_its_last_runner(place: Arena):
    lease = place.start(MARKS + "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)")
    guardian = place.started(lease).guardian
    place.launcher.close()
    time.sleep(0.2)
    assert is_alive(guardian)
    (place.work / "go").touch()
    until(lambda: place.store.result(lease), "the report")
    until(lambda: not is_alive(guardian), "the launcher's end")


def test_a_claim_whose_dispatcher_died_before_the_start_can_be_taken_back(place: Arena):
    lease, _ = place.claim(place.task_id, executor="python")
    dead = attrs.evolve(lease, owner=attrs.evolve(lease.owner, start_time="1"))
    assert clear(dead, place.run_dir(lease), clock=SystemClock()) == Cleared()


def test_a_live_dispatcher_is_not_killed_for_an_old_claim(place: Arena):
    lease, _ = place.claim(place.task_id, executor="python")
    assert clear(lease, place.run_dir(lease), clock=SystemClock()) == Cleared()
    assert is_alive(lease.owner)


def test_an_owner_on_another_host_is_left_to_its_time(place: Arena):
    lease = place.start(HANGS)
    now = place.started(lease)
    elsewhere = attrs.evolve(now, owner=attrs.evolve(now.owner, host="another"))
    assert clear(elsewhere, place.run_dir(lease), clock=SystemClock()) == Cleared()
    assert is_alive(now.owner)


def test_the_run_folder_tells_when_a_reclaim_was_first_tried(place: Arena, monkeypatch):
    lease = place.start(HANGS)
    now = place.started(lease)
    monkeypatch.setattr("autopilot.runner.reclaim.read_reaped", lambda run_dir: None)
    kill(now.owner)
    assert isinstance(clear(now, place.run_dir(now), clock=SystemClock(), grace_s=0.05), Deferred)
    path = Path(place.run_dir(now), "reclaim.json")
    first = path.read_text()
    assert isinstance(clear(now, place.run_dir(now), clock=SystemClock(), grace_s=0.05), Deferred)
    assert path.read_text() == first
    assert json.loads(first)["monotonic"] <= time.monotonic()


@pytest.mark.parametrize("fault", ["kill", "ENOSPC"])
def test_a_tick_does_not_wait_for_a_runner_that_could_not_start(tmp_path, fault):
    """Its claim is the tick's own, so that nobody else would ever end it."""
    root = ["--root", str(tmp_path / ".autopilot")]
    environ = {**os.environ, "AUTOPILOT_FAILPOINTS": f"start.lease.write={fault}"}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "autopilot.cli", *root, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, env=environ)

    assert run("task", "create", "--id", "one", "--title", "One", "--command", "true").returncode == 0
    tick = run("dispatch", "tick", "-o", "json")
    assert (tick.returncode, json.loads(tick.stdout)[0]["outcome"]) == (0, "released")
    (shown,) = json.loads(run("task", "list", "-o", "json").stdout)
    assert (shown["status"], shown["reason"]["code"]) == ("pending", "not_started")
    assert "launcher.log" in shown["reason"]["message"]
