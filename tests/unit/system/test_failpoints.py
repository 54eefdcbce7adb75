"""Named places where tests let the process die or an operation fail; off, they do nothing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from autopilot.system import failpoints
from autopilot.system.failpoints import failpoint, write_all


@pytest.fixture(autouse=True)
def disarmed():
    yield
    failpoints.disarm()


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "written"
    path.touch()
    return path


def put(path, data: bytes, name: str = "w") -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        write_all(fd, data, name)
    finally:
        os.close(fd)


def end_of(work: Callable[[], object], options: int = 0) -> tuple[int, int]:
    """A forked child that does the work: its pid and how it ended."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, options)


def test_off_they_do_nothing(written):
    assert not failpoints.active()
    failpoint("a")
    put(written, b"data")
    assert written.read_bytes() == b"data"


def test_an_error_comes_at_the_wanted_pass_of_the_wanted_name(written):
    failpoints.arm("a=ENOSPC@2,w=EIO")
    assert failpoints.active()
    failpoint("b")
    failpoint("a")
    with pytest.raises(OSError) as caught:
        failpoint("a")
    assert caught.value.errno == errno.ENOSPC
    failpoint("a")
    with pytest.raises(OSError) as caught:
        put(written, b"data")
    assert caught.value.errno == errno.EIO
    put(written, b"data")
    assert written.read_bytes() == b"data"


def test_arming_counts_anew():
    failpoints.arm("a=EIO@2")
    failpoint("a")
    failpoints.arm("a=EIO@2")
    failpoint("a")
    with pytest.raises(OSError):
        failpoint("a")


def test_every_pass_is_logged(tmp_path, written):
    failpoints.arm("", str(tmp_path / "passes"))
    failpoint("a")
    put(written, b"data")
    failpoint("a")
    assert (tmp_path / "passes").read_text() == "a\nw\na\n"


def test_kill_and_exit():
    failpoints.arm("a=kill,b=exit:7")
    assert end_of(lambda: failpoint("a"))[1] == signal.SIGKILL
    assert os.waitstatus_to_exitcode(end_of(lambda: failpoint("b"))[1]) == 7
    assert end_of(lambda: failpoint("c"))[1] == 0


def test_stop_goes_on_where_it_was():
    failpoints.arm("a=stop")
    child, status = end_of(lambda: failpoint("a"), os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.kill(child, signal.SIGCONT)
    assert os.waitpid(child, 0)[1] == 0


def test_sleep(monkeypatch):
    slept = []
    monkeypatch.setattr("time.sleep", slept.append)
    failpoints.arm("a=sleep:2.5")
    failpoint("a")
    assert slept == [2.5]


@pytest.mark.parametrize("part, left", [(0, b""), (3, b"012"), (-1, b"012345678"), ("half", b"01234")])
def test_a_torn_write_reaches_the_file_in_part_and_kills(written, part, left):
    failpoints.arm(f"w=torn:{part}")
    assert end_of(lambda: put(written, b"0123456789"))[1] == signal.SIGKILL
    assert written.read_bytes() == left


class KilledError(BaseException):
    """In the place of a death that no measurement of this process survives."""


@pytest.mark.parametrize("action, left", [("kill", b""), ("torn:4", b"0123"), ("torn:99", b"0123456789")])
def test_nothing_is_written_after_the_kill(written, monkeypatch, action, left):
    def die(pid, number):
        assert (pid, number) == (os.getpid(), signal.SIGKILL)
        raise KilledError

    monkeypatch.setattr("os.kill", die)
    failpoints.arm(f"w={action}")
    with pytest.raises(KilledError):
        put(written, b"0123456789")
    assert written.read_bytes() == left


def test_a_star_counts_the_passes_of_all_names():
    failpoints.arm("*=EIO@3")
    failpoint("a")
    failpoint("b")
    with pytest.raises(OSError):
        failpoint("a")


def test_short_writes_are_gone_on_with(written, monkeypatch):
    real = os.write
    monkeypatch.setattr("os.write", lambda fd, data: real(fd, data[:3]))
    put(written, b"0123456789")
    assert written.read_bytes() == b"0123456789"


def test_the_environment_arms_a_new_process(tmp_path):
    environment = {
        **os.environ,
        "AUTOPILOT_FAILPOINTS": "a=exit:9",
        "AUTOPILOT_FAILPOINTS_LOG": str(tmp_path / "passes"),
    }
    code = "from autopilot.system.failpoints import failpoint; failpoint('a')"
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 9
    assert (tmp_path / "passes").read_text() == "a\n"
