"""What a runner leaves for others, also when it is damaged or of another boot."""

from __future__ import annotations

import os
import re

import pytest

from autopilot.runner.folders import Reaped, mark_of, read_reaped, write_reaped


def test_the_mark_names_root_task_and_attempt(tmp_path):
    root = tmp_path / ".autopilot"
    mark = mark_of(f"{root}/runs/task.1/7")
    assert re.fullmatch("[0-9a-f]{16}/task[.]1/7", mark)
    assert mark == mark_of(f"{root}/runs/other/2").split("/")[0] + "/task.1/7"
    assert mark != mark_of(f"{tmp_path}/other/runs/task.1/7")


def test_the_mark_does_not_depend_on_how_the_root_is_spelt(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert mark_of(f"{tmp_path}/link/runs/t/1/") == mark_of(f"{tmp_path}/real/runs/t/1")


def test_the_launchers_word_comes_back(tmp_path):
    folder = str(tmp_path / "runs" / "t" / "1")
    assert read_reaped(folder) is None
    write_reaped(folder, exit_code=-9, killed=4)
    assert read_reaped(folder) == Reaped(runner_exit=-9, orphans_killed=4)
    assert [os.stat(tmp_path / part).st_mode & 0o777 for part in ("runs", "runs/t", "runs/t/1")] == [0o700] * 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"runner_exit": 1}',
        '{"runner_exit": [], "orphans_killed": 1}',
        " " * 4 * 1024 * 1024 + '{"runner_exit": 1, "orphans_killed": 1}',
    ],
    ids=lambda text: text[:40],
)
def test_a_damaged_word_is_none(tmp_path, text):
    (tmp_path / "reaped.json").write_text(text)
    assert read_reaped(str(tmp_path)) is None
