"""What changed between two looks: all of it, nothing else, in little memory."""

from __future__ import annotations

import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.workspaces.changes import changed_since, survey


@pytest.fixture
def tree(tmp_path):
    """A work folder and the name of a ledger beside it."""
    work = tmp_path / "work"
    work.mkdir()
    return work, str(tmp_path / "ledger")


def write(work, path, text="x"):
    place = work / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return place


def changed(tree, **more):
    return changed_since(str(tree[0]), tree[1], **more)


def test_nothing_changed(tree):
    write(tree[0], "a/b")
    survey(str(tree[0]), tree[1])
    assert changed(tree) == ((), 0)


def test_added_edited_removed_renamed(tree):
    work, ledger = tree
    for path in ("kept", "edited", "removed", "dir/old", "dir/kept"):
        write(work, path)
    survey(str(work), ledger)
    write(work, "edited", "yy")
    write(work, "dir/added")
    (work / "removed").unlink()
    (work / "dir/old").rename(work / "dir/new")
    assert changed(tree) == (("dir/added", "dir/new", "dir/old", "edited", "removed"), 5)


def test_the_same_size_with_the_time_set_back_shows(tree):
    work, ledger = tree
    place = write(work, "sly", "aaaa")
    survey(str(work), ledger)
    before = place.stat()
    place.write_text("bbbb")
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert changed(tree)[0] == ("sly",)


def test_modes_links_and_kinds_show(tree):
    work, ledger = tree
    write(work, "mode")
    write(work, "link")
    write(work, "folder/below")
    (work / "bent").symlink_to("mode")
    survey(str(work), ledger)
    (work / "mode").chmod(0o755)
    (work / "link").unlink()
    (work / "link").symlink_to("mode")
    shutil.rmtree(work / "folder")
    write(work, "folder")
    (work / "bent").unlink()
    (work / "bent").symlink_to("link")
    assert changed(tree)[0] == ("bent", "folder", "folder/below", "link", "mode")


def test_links_to_folders_are_not_entered(tree):
    work, ledger = tree
    (work / "round").symlink_to(".")
    survey(str(work), ledger)
    assert changed(tree) == ((), 0)


def test_git_folders_and_skipped_ones_are_left_out(tree):
    work, ledger = tree
    own = work / ".autopilot"
    own.mkdir()
    survey(str(work), ledger, skip=(str(own),))
    for path in (".git/objects/1", "sub/.git/x", ".autopilot/runs/x", "sub/.autopilot/x", "real"):
        write(work, path)
    assert changed(tree, skip=(str(own),))[0] == ("real", "sub/.autopilot/x")


def test_the_list_is_capped_and_the_count_is_not(tree):
    work, ledger = tree
    survey(str(work), ledger)
    for number in range(25):
        write(work, f"{number:02}")
    paths, count = changed(tree, cap=10)
    assert (paths, count) == (tuple(f"{number:02}" for number in range(10)), 25)


def test_many_files_and_long_names_cross_the_readers_pieces(tree, monkeypatch):
    work, ledger = tree
    monkeypatch.setattr("autopilot.workspaces.changes._CHUNK", 37)
    for number in range(40):
        write(work, f"{'d' * 50}/{number}")
    survey(str(work), ledger)
    write(work, f"{'d' * 50}/7", "changed")
    assert changed(tree)[0] == (f"{'d' * 50}/7",)


def test_names_that_are_no_text_are_names_too(tree):
    work, ledger = tree
    survey(str(work), ledger)
    with open(os.fsencode(work) + b"/\xff\n", "wb"):
        pass
    assert changed(tree)[0] == ("\udcff\n",)


def test_a_folder_that_is_not_there_has_no_files(tree):
    shutil.rmtree(tree[0])
    survey(str(tree[0]), tree[1])
    tree[0].mkdir()
    write(tree[0], "new")
    assert changed(tree)[0] == ("new",)


def test_the_ledger_must_be_writable_and_readable(tree, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        survey(str(tree[0]), str(tmp_path / "no" / "ledger"))
    with pytest.raises(OSError, match="No such file"):
        changed(tree)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("plant", [os.mkfifo, lambda ledger: os.symlink("/dev/zero", ledger)])
def test_what_somebody_put_in_the_ledgers_place_is_refused(tree, plant):
    work, ledger = tree
    plant(ledger)
    for look in (survey, changed_since):
        with pytest.raises(OSError, match=r"ledger"):
            look(str(work), ledger)


def test_the_caller_is_called_for_every_file(tree):
    work, ledger = tree
    for number in range(5):
        write(work, str(number))
    seen = []
    survey(str(work), ledger, tick=lambda: seen.append(1))
    changed(tree, tick=lambda: seen.append(1))
    assert len(seen) == 10


def test_a_file_that_vanishes_meanwhile_is_no_fault(tree, monkeypatch):
    class Item:
        name, path = b"gone", b"/gone"

        def is_dir(self, **_):
            return False

        def stat(self, **_):
            raise FileNotFoundError

    monkeypatch.setattr("autopilot.workspaces.changes._items", lambda place: [Item()])
    survey(str(tree[0]), tree[1])
    assert changed(tree) == ((), 0)


NAMES = st.sampled_from(["a", "b", "a.b", "a-b", "ab", "a/x", "a/y", "a.b/x", "b/c/d", "a-/x", "zz"])


@settings(deadline=None, max_examples=60)
@given(st.sets(NAMES), st.sets(NAMES))
def test_any_two_trees_differ_by_their_names(tmp_path_factory, before, after):
    """The merge relies on one order for both walks, whatever characters stand next to the slash."""
    folder = tmp_path_factory.mktemp("trees")
    work, ledger = folder / "work", str(folder / "ledger")
    work.mkdir()
    before, after = without_clashes(before), without_clashes(after)
    for path in before:
        write(work, path)
    survey(str(work), ledger)
    for path in before - after:
        (work / path).unlink()
        for parent in list((work / path).parents)[: path.count("/")]:
            if not any(parent.iterdir()):
                parent.rmdir()
    for path in after - before:
        write(work, path)
    assert set(changed_since(str(work), ledger)[0]) == before ^ after


def without_clashes(paths):
    """Drop files whose name is a folder of others."""
    return {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
