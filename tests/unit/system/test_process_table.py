"""Who is whose child, on Linux and by ``ps``."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from autopilot.system import process_table
from autopilot.system.process_table import Row, descendant_rows, descendants, row_of, table
from autopilot.system.processes import start_time_of


@pytest.fixture
def family():
    """A shell with a child."""
    process = subprocess.Popen(["sh", "-c", "sleep 1000 & wait"], stdout=subprocess.DEVNULL)
    while not descendants(process.pid):
        pass
    yield process
    for pid in descendants(process.pid):
        os.kill(pid, 9)
    process.wait()


def test_a_row_of_ourselves():
    row = row_of(os.getpid())
    assert row is not None and row.alive
    assert (row.pid, row.parent, row.start) == (os.getpid(), os.getppid(), start_time_of(os.getpid()))
    assert row.threads >= 1


def test_no_such_process():
    assert row_of(2**22 + 1) is None


def test_a_zombie_is_not_alive():
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    row = row_of(process.pid)
    assert row is not None and row.state == "Z" and not row.alive
    assert process.pid not in descendants(os.getpid())
    assert process.pid in [row.pid for row in descendant_rows(os.getpid())]
    process.wait()


def test_a_zombie_with_threads_is_alive():
    assert Row(1, 0, "Z", "1", 2).alive and not Row(1, 0, "Z", "1", 1).alive


def test_descendants_come_parents_first(family):
    found = descendants(os.getpid())
    child = descendants(family.pid)[0]
    assert found.index(family.pid) < found.index(child)


def test_branches_can_be_left_out(family):
    without = [row.pid for row in descendant_rows(os.getpid(), without={family.pid})]
    assert family.pid not in without and descendants(family.pid)[0] not in without


def test_a_process_that_ends_while_it_is_read(monkeypatch):
    def gone(*_):
        raise ProcessLookupError

    monkeypatch.setattr(process_table.os, "read", gone)
    assert row_of(os.getpid()) is None


@pytest.mark.skipif(not os.path.exists("/bin/ps"), reason="needs ps")
def test_ps_tells_the_same(family, monkeypatch):
    child = descendants(family.pid)[0]
    monkeypatch.setattr(sys, "platform", "darwin")
    row = row_of(child)
    assert row is not None and row.alive and row.parent == family.pid and row.start
    assert table()[child] == row
    assert descendants(family.pid) == [child]
    assert row_of(2**22 + 1) is None


def test_without_ps_there_is_nothing(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setenv("PATH", "/nowhere")
    assert table() == {}
