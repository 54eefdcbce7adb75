"""Who a process is: the same on every look, another one for every other process, and never just a number."""

from __future__ import annotations

import builtins
import signal
import subprocess
import sys
import uuid

import attrs
import pytest

from autopilot.system import processes
from autopilot.system.processes import boot_id, host_id, identify, is_alive, send_signal


@pytest.fixture
def stranger():
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_known_and_can_be_signalled(stranger):
    known = identify(stranger.pid)
    assert is_alive(known)
    assert send_signal(known, signal.SIGTERM)
    assert stranger.wait() == -signal.SIGTERM
    assert is_alive(known) is False
    assert not send_signal(known, signal.SIGTERM)
    with pytest.raises(ProcessLookupError):
        identify(stranger.pid)


@pytest.mark.parametrize(
    "change", [{"start_time": "1"}, {"boot": "another"}, {"host": "x"}, {"pid_space": 1}], ids=str
)
@pytest.mark.parametrize("pidfd", [True, False])
def test_who_has_the_number_of_another_is_left_alone(stranger, change, pidfd, monkeypatch):
    if not pidfd:
        monkeypatch.delattr("os.pidfd_open", raising=False)
    other = attrs.evolve(identify(stranger.pid), **change)
    assert not is_alive(other)
    assert not send_signal(other, signal.SIGKILL)
    assert stranger.poll() is None


def without_files(monkeypatch, node):
    """A container without machine id, and what it knows of its network card."""
    real = builtins.open

    def no_machine_id(path, *args, **more):
        if "machine-id" in str(path):
            raise FileNotFoundError(path)
        return real(path, *args, **more)

    monkeypatch.setattr(builtins, "open", no_machine_id)
    monkeypatch.setattr(uuid, "getnode", lambda: node)
    return host_id.__wrapped__()


def test_a_machine_without_an_id_is_known_by_its_card(monkeypatch):
    assert without_files(monkeypatch, 0x02420A000001) == "mac-02420a000001"


def test_one_without_a_card_is_known_by_its_boot_and_not_by_a_random_number(monkeypatch):
    assert without_files(monkeypatch, 0x010203040506) == f"boot-{boot_id()}"


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_pids_and_clocks_of_another_namespace_are_another_space(monkeypatch):
    here = processes._pid_space()
    assert here == processes._namespace("pid")
    spaces = {here}
    for inodes in ({"pid": 5}, {"time": 6}, {"pid": 5, "time": 6}, {"time": 5}):
        real = processes._FIRST_TIME_NAMESPACE
        known = {"pid": here, "time": real, **inodes}
        monkeypatch.setattr(processes, "_namespace", known.__getitem__)
        spaces.add(processes._pid_space())
    assert len(spaces) == 5
