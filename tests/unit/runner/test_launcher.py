"""The dispatcher's end: what it says when no launcher can be had. (The rest: ``tests/crash``.)"""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
from datetime import UTC, datetime

import attrs
import pytest

from autopilot.errors import SetupError, StorageError
from autopilot.models import AttemptSpec, Lease, LeaseState, PluginRef, TaskRecord
from autopilot.runner.launcher import LOST_SIGHT, Ended, Launcher
from autopilot.system.processes import identify

SPAWN = os.posix_spawn
CHECK_LIMITS = "check the limits on processes and memory (`ulimit -a`)"


def spec(root, token=1) -> AttemptSpec:
    return AttemptSpec(
        root=str(root),
        store_url="file:",
        task_id="t",
        token=token,
        task_text="",
        executor="x",
        executor_plugin=PluginRef(name="x", value="x"),
        workdir=str(root),
        run_dir=f"{root}/runs/t/1",
    )


LEASE = Lease(
    record=TaskRecord(task_id="t", token=1),
    state=LeaseState.CLAIMED,
    executor="x",
    owner=identify(),
    claimed_at=datetime.now(UTC),
    beat=0.0,
    ttl_s=30.0,
)


@pytest.fixture
def launcher(tmp_path):
    with Launcher(str(tmp_path)) as made:
        yield made


def answering(monkeypatch, *lines):
    """Replace the launcher process by one that answers each request with a line; what it was started with."""
    spawned = []

    code = (
        "import socket, sys\n"
        "with socket.socket(fileno=int(sys.argv[1])) as ours:\n"
        "    for line in sys.argv[2:]:\n"
        "        ours.recv(65536)\n"
        "        ours.sendall(line.encode() + b'\\n' if line else b'')\n"
        "    if sys.argv[2:]:\n"
        "        ours.recv(1)\n"
    )

    def spawn(path, argv, environ, **more):
        spawned.append((argv, environ))
        return SPAWN(sys.executable, [sys.executable, "-S", "-E", "-c", code, argv[-1], *lines], environ, **more)

    monkeypatch.setattr(os, "posix_spawn", spawn)
    return spawned


def test_there_is_nothing_to_hear_before_the_first_attempt(launcher):
    assert (launcher.fileno(), launcher.running(), launcher.poll()) == (-1, 0, [])
    launcher.close()
    launcher.close()


def test_no_more_processes_is_a_set_up_error(launcher, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError(11, "again")

    monkeypatch.setattr(os, "posix_spawn", refuse)
    with pytest.raises(SetupError, match="could not be started: Resource temporarily unavailable") as caught:
        launcher.start(spec(tmp_path), LEASE)
    assert caught.value.hint == CHECK_LIMITS
    assert launcher.fileno() == -1


def test_a_refusal_is_a_set_up_error(launcher, tmp_path, monkeypatch):
    answering(monkeypatch, '{"refused": "could not fork: no memory"}')
    with pytest.raises(SetupError, match="no runner could be started for t: could not fork: no memory") as caught:
        launcher.start(spec(tmp_path), LEASE)
    assert caught.value.hint == CHECK_LIMITS
    assert launcher.running() == 0


def test_a_launcher_that_ends_without_an_answer_is_tried_twice(launcher, tmp_path, monkeypatch):
    spawned = answering(monkeypatch)
    with pytest.raises(SetupError, match=f"the launcher of {tmp_path} ended without an answer, twice") as caught:
        launcher.start(spec(tmp_path), LEASE)
    assert caught.value.hint == f"its last words are in {tmp_path}/state/launcher.log"
    assert len(spawned) == 2
    assert launcher.fileno() == -1


def test_a_launcher_that_is_gone_is_replaced(launcher, tmp_path, monkeypatch):
    answering(monkeypatch, '{"started": 4194305}')
    launcher.start(spec(tmp_path), LEASE)
    spawned = answering(monkeypatch, '{"started": 4194306}')
    launcher.start(spec(tmp_path, token=2), LEASE)
    assert len(spawned) == 1
    assert [(end.token, end.exit_code) for end in launcher.poll()] == [(1, 255)]
    assert (launcher.has("t", 1), launcher.has("t", 2), launcher.has("u", 2)) == (False, True, False)


@pytest.mark.parametrize("environ", [None, {"ONLY": "this"}])
def test_it_sees_the_environment_that_it_is_given_or_ours(tmp_path, monkeypatch, environ):
    spawned = answering(monkeypatch, '{"started": 4194305}')
    with Launcher(str(tmp_path), environ=environ) as launcher:
        launcher.start(spec(tmp_path), LEASE)
    ((argv, seen),) = spawned
    assert argv[1:5] == ["-P", "-m", "autopilot.runner", str(tmp_path)]
    assert dict(seen) == (os.environ if environ is None else environ)


def test_it_stays_for_the_next_attempt(launcher, tmp_path, monkeypatch):
    started = '{"started": 4194305}'
    spawned = answering(monkeypatch, f'{started}\n{{"ended": "t", "token": 1, "exit_code": 70}}', started)
    for token in (1, 2):
        launcher.start(spec(tmp_path, token=token), LEASE)
    assert len(spawned) == 1
    assert launcher.running() == 1


def test_an_attempt_may_be_started_again_before_its_first_end_is_heard(launcher, tmp_path, monkeypatch):
    started = '{"started": 4194305}'
    answering(monkeypatch, f'{started}\n{{"ended": "t", "token": 1, "exit_code": 70}}', started)
    for _ in range(2):
        launcher.start(spec(tmp_path), LEASE)
    assert launcher.has("t", 1)


def test_an_end_that_comes_alone_is_heard(launcher, tmp_path, monkeypatch):
    started, ended = '{"started": 4194305}', '{"ended": "t", "token": 1, "exit_code": 70}'
    answering(monkeypatch, started, ended)
    launcher.start(spec(tmp_path), LEASE)
    waits = []
    monkeypatch.setattr("autopilot.runner.launcher.wait_ready", lambda fds, timeout: waits.append(timeout) or [[]])
    assert launcher.poll() == []
    assert waits == [0]
    monkeypatch.undo()
    launcher._link.send(b"go on")
    select.select([launcher], [], [], 60)
    assert launcher.poll() == [Ended(task_id="t", token=1, exit_code=70)]
    assert (launcher.running(), launcher.poll()) == (0, [])
    assert launcher.fileno() > 0


def test_a_runner_whose_launcher_was_let_go_is_watched_until_it_ends(launcher, tmp_path, monkeypatch):
    with subprocess.Popen(["/bin/sleep", "1000"]) as runner:
        answering(monkeypatch, f'{{"started": {runner.pid}}}')
        launcher.start(spec(tmp_path), LEASE)
        launcher.close()
        assert (launcher.poll(), launcher.running(), launcher.has("t", 1)) == ([], 1, True)
        runner.kill()
    assert launcher.poll() == [Ended(task_id="t", token=1, exit_code=LOST_SIGHT)]
    assert (launcher.running(), launcher.has("t", 1)) == (0, False)


def test_a_runner_that_is_gone_before_we_look_is_no_fault(launcher, tmp_path, monkeypatch):
    answering(monkeypatch, '{"started": 4194305}')
    launcher.start(spec(tmp_path), LEASE)
    assert launcher.running() == 1
    launcher.close()
    assert [end.exit_code for end in launcher.poll()] == [255]


def test_an_end_may_come_in_one_piece_with_the_answer(launcher, tmp_path, monkeypatch):
    answering(monkeypatch, '{"started": 4194305}\n{"ended": "t", "token": 1, "exit_code": 70}')
    launcher.start(spec(tmp_path), LEASE)
    assert launcher.running() == 0
    assert [end.exit_code for end in launcher.poll()] == [70]


def test_a_launcher_that_does_not_answer_is_a_set_up_error(launcher, tmp_path, monkeypatch):
    answering(monkeypatch, "")
    monkeypatch.setattr("autopilot.runner.launcher._ANSWER_S", 0.2)
    with pytest.raises(SetupError, match=f"the launcher of {tmp_path} gives no answer for 0.2 s") as caught:
        launcher.start(spec(tmp_path), LEASE)
    assert re.fullmatch(r"end process \d+; running attempts go on and are adopted", caught.value.hint)


def test_a_launcher_that_hangs_is_let_go(launcher, tmp_path, monkeypatch):
    """A request that it may have kept must not be answered in place of the next one."""
    answering(monkeypatch, "")
    monkeypatch.setattr("autopilot.runner.launcher._ANSWER_S", 0.2)
    with pytest.raises(SetupError):
        launcher.start(spec(tmp_path), LEASE)
    assert launcher.fileno() == -1


def test_a_launcher_that_reads_nothing_holds_nobody_up(launcher, tmp_path, monkeypatch):
    """One that was stopped: what is more than its socket takes would wait for it, whoever asks us to end."""
    until_let_go = "import select, sys; here = select.poll(); here.register(int(sys.argv[1]), 0); here.poll()"

    def spawn(path, argv, environ, **more):
        return SPAWN(sys.executable, [sys.executable, "-S", "-E", "-c", until_let_go, argv[-1]], environ, **more)

    monkeypatch.setattr(os, "posix_spawn", spawn)
    monkeypatch.setattr("autopilot.runner.launcher._ANSWER_S", 0.2)
    with pytest.raises(SetupError, match="ended without an answer, twice"):
        launcher.start(attrs.evolve(spec(tmp_path), task_text="x" * 4_000_000), LEASE)


def test_its_log_does_not_grow_for_ever(launcher, tmp_path, monkeypatch):
    log = tmp_path / "state" / "launcher.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (1024 * 1024 + 1))
    answering(monkeypatch, '{"refused": "no"}')
    with pytest.raises(SetupError):
        launcher.start(spec(tmp_path), LEASE)
    assert log.stat().st_size == 0


@pytest.fixture
def typed():
    """Something to read on our standard input."""
    reading, writing = os.pipe()
    os.write(writing, b"typed")
    os.close(writing)
    before = os.dup(0)
    os.dup2(reading, 0)
    yield
    os.dup2(before, 0)
    os.close(before)
    os.close(reading)


def test_its_log_goes_on_where_the_last_one_stopped(launcher, tmp_path, monkeypatch, typed, capfd):
    """... and is all that it shares with us."""
    log = tmp_path / "state" / "launcher.log"

    def spawn(path, argv, environ, **more):
        code = "import sys; print('printed'); sys.stderr.write(f'said {sys.stdin.read()!r}\\n')"
        return SPAWN(sys.executable, [sys.executable, "-S", "-E", "-c", code], environ, **more)

    monkeypatch.setattr(os, "posix_spawn", spawn)
    with pytest.raises(SetupError):
        launcher.start(spec(tmp_path), LEASE)
    assert log.read_text() == "said ''\n" * 2
    assert log.stat().st_mode & 0o777 == 0o600
    assert capfd.readouterr().out == ""


def test_a_log_that_cannot_be_opened_is_a_storage_error(launcher, tmp_path):
    log = tmp_path / "state" / "launcher.log"
    log.parent.mkdir()
    log.symlink_to("elsewhere")
    with pytest.raises(StorageError, match=r"state/launcher\.log"):
        launcher.start(spec(tmp_path), LEASE)
