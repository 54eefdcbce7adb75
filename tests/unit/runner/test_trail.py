"""The process tree is noted when it changes, and looked at ever more rarely while it does not."""

from __future__ import annotations

import os

import pytest

from autopilot.runner.folders import read_tree
from autopilot.runner.trail import Trail
from autopilot.system.process_table import Row
from autopilot.system.processes import boot_id


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self):
        return self.time


@pytest.fixture
def table(monkeypatch):
    """The descendants that are to be seen, and how often somebody looked."""

    class Table:
        pids: tuple[int, ...] = (10, 11)
        looks = 0

        def rows(self, pid):
            assert pid == os.getpid()
            self.looks += 1
            return [Row(p, 1, "S", f"s{p}") for p in self.pids] + [Row(99, 1, "Z", "dead")]

    made = Table()
    monkeypatch.setattr("autopilot.runner.trail.descendant_rows", made.rows)
    return made


def noted(folder):
    return read_tree(str(folder), boot_id())


def test_descendants_are_noted_when_they_change(tmp_path, table):
    clock = Clock()
    trail = Trail(str(tmp_path), clock)
    trail.look()
    assert table.looks == 0
    clock.time = 1.0
    trail.look()
    assert noted(tmp_path) == [(10, "s10"), (11, "s11")]
    table.pids = (12,)
    clock.time = 2.0
    trail.look()
    assert noted(tmp_path) == [(12, "s12")]


def test_looks_become_rare_while_nothing_changes_and_frequent_again_after_a_change(tmp_path, table):
    clock = Clock()
    trail = Trail(str(tmp_path), clock)
    when = []
    for clock.time in range(1, 60):
        before = table.looks
        trail.look()
        if table.looks > before:
            when.append(clock.time)
        if clock.time == 40:
            table.pids = (13,)
    assert when == [1, 2, 4, 8, 16, 26, 36, 46, 47, 49, 53]


def test_a_disk_that_refuses_is_tried_again(tmp_path, table):
    clock = Clock()
    trail = Trail(str(tmp_path / "not-yet"), clock)
    clock.time = 1.0
    trail.look()
    (tmp_path / "not-yet").mkdir()
    clock.time = 2.0
    trail.look()
    assert noted(tmp_path / "not-yet") == [(10, "s10"), (11, "s11")]
