from __future__ import annotations

import os
import shutil
import stat

import pytest

from autopilot.errors import NotFoundError, StorageError
from autopilot.store.layout import Layout, is_task_name


@pytest.mark.parametrize("name", ["a.md", "a.b.md", "A B.md", "é.md"])
def test_names_of_tasks(name):
    assert is_task_name(name)


@pytest.mark.parametrize("name", [".md", ".a.md", "a.txt", "a.md.1.tmp", "README", "", ".a.md.12.ab.tmp"])
def test_other_names(name):
    assert not is_task_name(name)


@pytest.mark.parametrize("task_id", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", ".hidden", "x" * 201])
def test_no_id_leaves_the_folder(tmp_path, task_id):
    with pytest.raises(NotFoundError):
        Layout(str(tmp_path)).task(task_id)


def test_an_id_may_be_as_long_as_file_names_bear(tmp_path):
    layout = Layout(str(tmp_path))
    assert layout.task("x" * 200).endswith("x.md")
    with pytest.raises(NotFoundError, match="there is no task 'xxx") as refused:
        layout.task("x" * 201)
    assert layout.task("\u6587" * 66)
    with pytest.raises(NotFoundError):
        layout.task("\u6587" * 67)
    assert "task list" in refused.value.hint


def test_a_link_to_the_root_is_resolved_once(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    assert Layout(str(tmp_path / "link")).root == str(tmp_path / "real")


@pytest.mark.parametrize("sync", [{}, {"sync": False}, {"sync": True}], ids=str)
def test_new_folders_are_made_durable_when_asked(tmp_path, monkeypatch, sync):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    layout = Layout(str(tmp_path / "root"), **sync)
    layout.prepare(layout.leases)
    assert len(synced) == (3 if sync.get("sync") else 0)


def test_folders_are_private(tmp_path):
    layout = Layout(str(tmp_path / "root"))
    layout.prepare(layout.leases)
    for folder in (layout.root, layout.state, layout.leases):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


@pytest.mark.parametrize("linked", ["state", "state/leases", "tasks"])
def test_links_inside_are_refused(tmp_path, linked):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "root"
    (root / linked).parent.mkdir(parents=True)
    os.symlink(elsewhere, root / linked)
    layout = Layout(str(root))
    with pytest.raises(StorageError) as refused:
        layout.prepare(layout.tasks, layout.leases)
    assert f"{root / linked} is a symbolic link" in refused.value.message
    assert "symbolic links" in refused.value.hint
    assert os.listdir(elsewhere) == []


def test_a_file_in_place_of_a_folder(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "tasks").write_text("")
    with pytest.raises(StorageError, match=f"{root}/tasks is no folder") as refused:
        Layout(str(root)).prepare(str(root / "tasks"))
    assert "move it away" in refused.value.hint


def test_a_root_that_was_moved_and_linked_to_is_the_same_root(tmp_path):
    layout = Layout(str(tmp_path / "root"))
    layout.prepare(layout.tasks)
    os.rename(tmp_path / "root", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", tmp_path / "root")
    layout.prepare(layout.leases)
    assert (tmp_path / "elsewhere/state/leases").is_dir()


def test_missing_folders_are_no_links(tmp_path):
    layout = Layout(str(tmp_path / "root"))
    layout.refuse_links(layout.leases)


def test_a_folder_that_was_removed_meanwhile_is_made_again(tmp_path):
    layout = Layout(str(tmp_path / "root"))
    layout.prepare(layout.leases)
    shutil.rmtree(layout.state)
    layout.prepare(layout.leases)
    assert os.path.isdir(layout.leases)
