from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from autopilot.system import exchange as module
from autopilot.system.exchange import being_written, exchange

linux = pytest.mark.skipif(sys.platform != "linux", reason="renameat2 and leases are Linux's")


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "one").write_text("1")
    (tmp_path / "two").write_text("2")
    return str(tmp_path / "one"), str(tmp_path / "two")


@linux
def test_two_names_are_swapped(pair):
    one, two = pair
    inodes = os.stat(one).st_ino, os.stat(two).st_ino
    assert exchange(one, two) is True
    assert (os.stat(two).st_ino, os.stat(one).st_ino) == inodes


@linux
def test_relative_names_are_those_of_the_working_folder(pair, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert exchange("one", "two") is True
    assert (tmp_path / "one").read_text() == "2"


@linux
def test_a_missing_name_is_an_error_and_nothing_happens(pair, tmp_path):
    one, _ = pair
    missing = str(tmp_path / "missing")
    with pytest.raises(FileNotFoundError) as caught:
        exchange(one, missing)
    assert (caught.value.filename, caught.value.filename2) == (one, missing)
    assert caught.value.strerror == "No such file or directory"
    assert os.listdir(tmp_path).count("one") == 1


def test_false_where_the_system_cannot(pair, monkeypatch):
    monkeypatch.setattr(module, "_renameat2", lambda: None)
    assert exchange(*pair) is False


@linux
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EINVAL, errno.ENOTSUP])
def test_false_where_the_file_system_cannot(pair, monkeypatch, number):
    import ctypes

    def refuse(*args):
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(module, "_renameat2", lambda: refuse)
    assert exchange(*pair) is False


def test_other_systems_have_no_call(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert module._renameat2.__wrapped__() is None


@linux
def test_a_writer_is_seen_as_long_as_it_has_the_file_open(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    reader = os.open(path, os.O_RDONLY)
    assert being_written(reader) is False
    with open(path, "a"):
        assert being_written(reader) is True
    assert being_written(reader) is False
    os.close(reader)


@linux
def test_a_writer_who_comes_at_that_moment_ends_nobody_and_need_not_wait(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("x")
    reader = os.open(path, os.O_RDONLY)
    signals, real = [], fcntl.fcntl

    def watching(fd, operation, value):
        signals.append(real(fd, fcntl.F_GETSIG))
        return real(fd, operation, value)

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.fcntl", watching)
        assert being_written(reader) is False
    assert signals[-1] == signal.SIGURG, "which is ignored by default"
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    os.close(reader)


@linux
def test_a_writer_in_another_process_is_seen(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    code = f"import sys; f = open({str(path)!r}, 'a'); print('open', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    child.stdout.readline()
    reader = os.open(path, os.O_RDONLY)
    assert being_written(reader) is True
    child.communicate()
    assert being_written(reader) is False
    os.close(reader)


@pytest.mark.parametrize("has", [None, SimpleNamespace()])
def test_false_where_it_cannot_be_asked(tmp_path, monkeypatch, has):
    path = tmp_path / "file"
    path.write_text("x")
    reader = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(module, "fcntl", has)
    with open(path, "a"):
        assert being_written(reader) is False
    os.close(reader)


@linux
def test_a_pipe_cannot_be_asked():
    one, two = os.pipe()
    assert being_written(one) is False
    os.close(one)
    os.close(two)
