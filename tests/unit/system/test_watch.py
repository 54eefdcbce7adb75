from __future__ import annotations

import os
import sys
import time

import pytest

from autopilot.system import watch
from autopilot.system.watch import WATCH_NAMES, WATCH_WRITES, Notice, open_watcher

linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def watcher():
    watcher = open_watcher()
    if watcher is None:
        pytest.skip("no inotify here")
    yield watcher
    watcher.close()


def notices(watcher, timeout=10.0):
    assert watcher.wait(timeout)
    return watcher.read()


def names(watcher):
    return {notice.name for notice in notices(watcher)}


def test_a_quiet_folder_says_nothing(watcher, tmp_path):
    assert watcher.add(str(tmp_path), WATCH_WRITES)
    assert watcher.wait(0.01) is False
    assert watcher.read() == []


def test_created_renamed_and_removed_names(watcher, tmp_path):
    watcher.add(str(tmp_path), WATCH_NAMES)
    (tmp_path / "one").write_text("x")
    assert notices(watcher) == [Notice(str(tmp_path), "one", False)]
    os.rename(tmp_path / "one", tmp_path / "two")
    assert names(watcher) == {"one", "two"}
    os.unlink(tmp_path / "two")
    assert names(watcher) == {"two"}


def test_writes_in_place_are_told_when_the_writer_closes(watcher, tmp_path):
    (tmp_path / "file").write_text("x")
    watcher.add(str(tmp_path), WATCH_WRITES)
    with open(tmp_path / "file", "a") as file:
        file.write("y")
        file.flush()
        assert watcher.wait(0.05) is False
    assert names(watcher) == {"file"}


def test_names_only_leaves_writes_out(watcher, tmp_path):
    (tmp_path / "file").write_text("x")
    watcher.add(str(tmp_path), WATCH_NAMES)
    (tmp_path / "file").write_text("y")
    assert watcher.wait(0.05) is False


def test_a_hard_link_is_a_new_name(watcher, tmp_path):
    (tmp_path / ".hidden").write_text("x")
    watcher.add(str(tmp_path), WATCH_WRITES)
    os.link(tmp_path / ".hidden", tmp_path / "shown")
    assert "shown" in names(watcher)


def test_missing_folders_files_and_links_are_not_watched(watcher, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "folder", tmp_path / "link")
    assert not watcher.add(str(tmp_path / "missing"), WATCH_NAMES)
    assert not watcher.add(str(tmp_path / "file"), WATCH_NAMES)
    assert not watcher.add(str(tmp_path / "link"), WATCH_NAMES)
    assert watcher.watched() == frozenset()


def test_a_folder_that_goes_away_is_lost_and_can_be_watched_again(watcher, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    assert watcher.add(str(folder), WATCH_NAMES)
    os.rmdir(folder)
    assert Notice(str(folder), "", True) in notices(watcher)
    assert watcher.watched() == frozenset()
    folder.mkdir()
    assert watcher.add(str(folder), WATCH_NAMES)
    (folder / "one").write_text("")
    assert "one" in names(watcher)


def test_a_folder_that_is_moved_is_lost(watcher, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    watcher.add(str(folder), WATCH_NAMES)
    os.rename(folder, tmp_path / "elsewhere")
    assert any(notice.lost for notice in notices(watcher))
    (tmp_path / "elsewhere/one").write_text("")
    time.sleep(0.05)
    assert all(notice.name != "one" for notice in watcher.read())


def test_an_overflowing_queue_says_that_notices_were_lost(watcher):
    overflow = watch._HEADER.pack(-1, watch._IN_Q_OVERFLOW, 0, 0)
    stranger = watch._HEADER.pack(999, watch._IN_CREATE, 0, 16) + b"one".ljust(16, b"\0")
    assert watcher._decode(overflow + stranger) == [Notice("", "", True)]


def test_close_twice(watcher):
    watcher.close()
    watcher.close()


def test_no_watcher_on_other_systems(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert open_watcher() is None


@linux
def test_no_watcher_when_the_kernel_has_none_left(monkeypatch):
    import ctypes

    class Poor:
        @staticmethod
        def inotify_init1(flags):
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **kwargs: Poor)
    assert open_watcher() is None
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **kwargs: object())
    assert open_watcher() is None
