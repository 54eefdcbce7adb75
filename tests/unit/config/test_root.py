"""The root is found like git finds .git, and refused where it is not safe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from autopilot.config.root import FOLDERS, Root, find_root, make_root
from autopilot.errors import SetupError, UsageError


def test_walks_up_to_the_nearest_root(tmp_path: Path) -> None:
    (tmp_path / ".autopilot").mkdir()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / ".autopilot").mkdir()
    root = find_root(None, {}, str(inner))
    assert root == Root(str(tmp_path / "a" / ".autopilot"))
    assert root.exists
    assert root.project == str(tmp_path / "a")


def test_a_file_of_that_name_is_passed_by(tmp_path: Path) -> None:
    (tmp_path / ".autopilot").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / ".autopilot").write_text("not a folder")
    assert find_root(None, {}, str(tmp_path / "a")).project == str(tmp_path)


def test_without_a_root_it_is_the_current_folder(tmp_path: Path) -> None:
    root = find_root(None, {}, str(tmp_path))
    assert root.folder == str(tmp_path / ".autopilot")
    assert not root.exists


def test_option_wins_over_environment_over_search(tmp_path: Path) -> None:
    for name in ("here/.autopilot", "by-environment", "by-option"):
        (tmp_path / name).mkdir(parents=True)
    environ = {"AUTOPILOT_ROOT": str(tmp_path / "by-environment")}
    cwd = str(tmp_path / "here")
    assert find_root("../by-option", environ, cwd).folder == str(tmp_path / "by-option")
    assert find_root(None, environ, cwd).folder == str(tmp_path / "by-environment")
    assert find_root(None, {"AUTOPILOT_ROOT": ""}, cwd).folder == str(tmp_path / "here" / ".autopilot")


def test_a_named_root_need_not_exist(tmp_path: Path) -> None:
    root = find_root("new/root", {}, str(tmp_path))
    assert root.folder == str(tmp_path / "new" / "root")
    assert make_root(root)
    assert root.exists


@pytest.mark.parametrize("named", ["", "  ", "a\0b"])
def test_an_empty_name_is_refused(named: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--root is empty"):
        find_root(named, {}, str(tmp_path))


def test_naming_a_file_or_the_project_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="no folder"):
        find_root("file", {}, str(tmp_path))
    (tmp_path / ".autopilot").mkdir()
    with pytest.raises(UsageError, match="AUTOPILOT_ROOT names") as caught:
        find_root(None, {"AUTOPILOT_ROOT": str(tmp_path)}, "/")
    assert caught.value.hint == f"use {tmp_path}/.autopilot"


def test_a_linked_root_is_resolved_once(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / ".autopilot").symlink_to(tmp_path / "real")
    assert find_root(None, {}, str(tmp_path)).folder == str(tmp_path / "real")


@pytest.mark.parametrize("name", FOLDERS)
def test_links_inside_are_refused(name: str, tmp_path: Path) -> None:
    make_root(Root(str(tmp_path / ".autopilot")))
    (tmp_path / ".autopilot" / name).rmdir()
    (tmp_path / ".autopilot" / name).symlink_to(tmp_path)
    with pytest.raises(SetupError, match=f"{name} is a symbolic link"):
        find_root(None, {}, str(tmp_path))


@pytest.mark.parametrize("name", ["state/locks", "state/hold.json", "events/events.ndjson"])
def test_links_in_the_machines_own_folders_are_refused(name: str, tmp_path: Path) -> None:
    make_root(Root(str(tmp_path / ".autopilot")))
    (tmp_path / ".autopilot" / name).symlink_to(tmp_path)
    with pytest.raises(SetupError, match=f"{name} is a symbolic link"):
        find_root(None, {}, str(tmp_path))


def test_writable_for_everybody_is_refused_unless_sticky(tmp_path: Path) -> None:
    folder = tmp_path / ".autopilot"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SetupError, match="writable for every user"):
        find_root(None, {}, str(tmp_path))
    folder.chmod(0o1777)
    assert find_root(None, {}, str(tmp_path)).exists


def test_somebody_elses_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".autopilot").mkdir()
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(SetupError, match=f"belongs to user {owner}"):
        find_root(None, {}, str(tmp_path))


def test_make_root_is_private_and_says_whether_it_is_new(tmp_path: Path) -> None:
    root = Root(str(tmp_path / ".autopilot"))
    assert make_root(root)
    assert not make_root(root)
    for folder in (root.folder, root.tasks, root.events, root.runs, root.state, root.worktrees):
        assert os.stat(folder).st_mode & 0o777 == 0o700
    assert root.config_path == str(tmp_path / ".autopilot" / "config.yaml")


def test_make_root_completes_and_keeps_what_is_there(tmp_path: Path) -> None:
    root = Root(str(tmp_path / ".autopilot"))
    (tmp_path / ".autopilot" / "tasks").mkdir(parents=True, mode=0o755)
    assert not make_root(root)
    assert os.stat(root.tasks).st_mode & 0o777 == 0o755
    assert os.path.isdir(root.state)
