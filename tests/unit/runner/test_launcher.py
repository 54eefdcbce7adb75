"""The dispatcher's end: what it says when no launcher can be had. (The rest: ``tests/crash``.)"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime

import pytest

from autopilot.errors import SetupError, StorageError
from autopilot.models import AttemptSpec, Lease, LeaseState, PluginRef, TaskRecord
from autopilot.runner.launcher import Launcher
from autopilot.system.processes import identify


def spec(root) -> AttemptSpec:
    return AttemptSpec(
        root=str(root),
        store_url="file:",
        task_id="t",
        token=1,
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


def answering(monkeypatch, line):
    """Replace the launcher process by one that gives this answer to whatever it is asked."""
    real = os.posix_spawn

    code = (
        "import socket, sys\n"
        "with socket.socket(fileno=int(sys.argv[1])) as ours:\n"
        "    ours.recv(65536)\n"
        "    ours.sendall(sys.argv[2].encode() + b'\\n' if sys.argv[2] else b'')\n"
        "    ours.recv(1)\n"
    )

    def spawn(path, argv, environ, **more):
        return real(sys.executable, [sys.executable, "-S", "-E", "-c", code, argv[-1], line], environ, **more)

    monkeypatch.setattr(os, "posix_spawn", spawn)


def test_there_is_nothing_to_hear_before_the_first_attempt(launcher):
    assert (launcher.fileno(), launcher.running(), launcher.poll()) == (-1, 0, [])
    launcher.close()
    launcher.close()


def test_no_more_processes_is_a_set_up_error(launcher, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise BlockingIOError(11, "again")

    monkeypatch.setattr(os, "posix_spawn", refuse)
    with pytest.raises(SetupError, match="could not be started: Resource temporarily unavailable"):
        launcher.start(spec(tmp_path), LEASE)
    assert launcher.fileno() == -1


def test_a_refusal_is_a_set_up_error(launcher, tmp_path, monkeypatch):
    answering(monkeypatch, '{"refused": "could not fork: no memory"}')
    with pytest.raises(SetupError, match="no runner could be started for t: could not fork: no memory"):
        launcher.start(spec(tmp_path), LEASE)
    assert launcher.running() == 0


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
    with pytest.raises(SetupError, match="gives no answer") as caught:
        launcher.start(spec(tmp_path), LEASE)
    assert "running attempts go on" in caught.value.hint


def test_a_launcher_that_hangs_is_let_go(launcher, tmp_path, monkeypatch):
    """A request that it may have kept must not be answered in place of the next one."""
    answering(monkeypatch, "")
    monkeypatch.setattr("autopilot.runner.launcher._ANSWER_S", 0.2)
    with pytest.raises(SetupError):
        launcher.start(spec(tmp_path), LEASE)
    assert launcher.fileno() == -1


def test_its_log_does_not_grow_for_ever(launcher, tmp_path, monkeypatch):
    log = tmp_path / "state" / "launcher.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * (1024 * 1024 + 1))
    answering(monkeypatch, '{"refused": "no"}')
    with pytest.raises(SetupError):
        launcher.start(spec(tmp_path), LEASE)
    assert log.stat().st_size == 0


def test_a_log_that_cannot_be_opened_is_a_storage_error(launcher, tmp_path):
    log = tmp_path / "state" / "launcher.log"
    log.parent.mkdir()
    log.symlink_to("elsewhere")
    with pytest.raises(StorageError, match=r"launcher\.log"):
        launcher.start(spec(tmp_path), LEASE)
