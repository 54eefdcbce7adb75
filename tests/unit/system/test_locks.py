"""Locks exclude others, between objects and processes, and also after somebody has deleted their files."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys

import pytest

from autopilot.errors import BusyError, StorageError
from autopilot.system.locks import FileLock


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "locks" / "one")


def is_free(path: str) -> bool:
    """As another holder finds it."""
    other = FileLock(path)
    try:
        return other.try_acquire()
    finally:
        other.release()


def test_it_is_held_for_the_length_of_a_with(path):
    lock = FileLock(path)
    for _ in range(2):
        with lock():
            assert not is_free(path)
        assert is_free(path)


def test_it_is_given_back_after_a_fault(path):
    lock = FileLock(path)
    with pytest.raises(ZeroDivisionError), lock():
        raise ZeroDivisionError
    assert is_free(path)


def test_whoever_waits_too_long_is_told_for_what(path):
    with FileLock(path)(), pytest.raises(BusyError, match="locked by another process") as found:
        with FileLock(path, timeout=0.02)():
            pass
    assert str(found.value) == f"{path} is locked by another process for more than 0.02 s"
    assert "doctor" in found.value.hint


def test_a_lock_of_a_process_that_dies_is_free(path):
    holder = os.fork()
    if holder == 0:
        os._exit(0 if FileLock(path).try_acquire() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(holder, 0)[1]) == 0
    assert is_free(path)


def test_its_file_is_private_and_stays(path):
    with FileLock(path)():
        assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.path.exists(path)


def test_a_symlink_in_its_place_is_not_followed(path, tmp_path):
    os.makedirs(os.path.dirname(path))
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(StorageError, match=f"cannot write {path}:"), FileLock(path)():
        pass
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("timeout", [None, 1.0])
def test_a_file_system_without_locks_is_named(path, timeout, monkeypatch):
    def refuse(fd, operation):
        raise OSError(errno.ENOLCK, "none")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", refuse)
        with pytest.raises(StorageError, match=f"cannot write {path}: No locks") as found:
            FileLock(path, timeout=timeout).__enter__()
    assert "local disk" in found.value.hint


def delete_file(path: str) -> None:
    os.unlink(path)


def delete_folder(path: str) -> None:
    shutil.rmtree(os.path.dirname(path))


@pytest.mark.parametrize("vanish", [delete_file, delete_folder])
def test_two_meet_at_the_new_file_when_the_old_one_was_deleted(path, vanish):
    """An object keeps its file open from lock to lock: it must not go on with one that others cannot see."""
    lock = FileLock(path)
    with lock():
        pass
    vanish(path)
    with lock():
        assert not is_free(path)
    vanish(path)
    assert lock.try_acquire()
    assert not is_free(path)
    lock.release()
    assert is_free(path)


def test_who_waited_for_a_file_that_was_deleted_meanwhile_locks_the_new_one(path, monkeypatch):
    holder, waiting = FileLock(path), FileLock(path, timeout=10)
    assert holder.try_acquire()

    def let_go(seconds: float) -> None:
        os.unlink(path)
        holder.release()

    monkeypatch.setattr("autopilot.system.locks.time.sleep", let_go)
    with waiting():
        assert not is_free(path)


def test_a_lock_that_was_released_on_the_way_is_given_back_once(path):
    lock = FileLock(path)
    with lock():
        lock.release()
        assert is_free(path)
    assert is_free(path)


def test_a_system_without_flock_can_import_it():
    code = "import sys; sys.modules['fcntl'] = None; import autopilot.system.locks"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
