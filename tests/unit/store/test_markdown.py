"""Writing into task files while people save them."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import threading
import time

import pytest

from autopilot.errors import AlreadyExistsError, BusyError, StorageError, TaskFormatError
from autopilot.models import InvalidTask, Task
from autopilot.store import markdown as module
from autopilot.store.layout import Layout
from autopilot.store.markdown import LARGEST, STAGED, MarkdownFiles
from autopilot.system import failpoints
from autopilot.taskfile import edit
from autopilot.taskfile.source import MAX_FILE
from autopilot.testing.stores import text_of

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2 and leases")


@pytest.fixture
def faults():
    """What was told of texts that fitted nowhere: the task's id, the place, a sentence."""
    return []


@pytest.fixture
def layout(tmp_path):
    layout = Layout(str(tmp_path / "root"))
    layout.prepare(layout.tasks)
    return layout


@pytest.fixture
def files(layout, faults):
    return MarkdownFiles(layout, sync=False, kept=lambda *told: faults.append(told))


@pytest.fixture(autouse=True)
def no_failpoints():
    yield
    failpoints.disarm()


def path_of(layout, task_id="one"):
    return f"{layout.tasks}/{task_id}.md"


def save(path, data):
    """An editor that writes a new file and renames it over the old one."""
    with open(f"{path}~", "wb") as file:
        file.write(data)
    os.rename(f"{path}~", path)


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def to_claimed(data):
    return edit(data, {"status": "claimed"})


def refusal(number):
    """In place of a system call."""

    def refuse(*args, **more):
        raise OSError(number, os.strerror(number))

    return refuse


def at(monkeypatch, name, act):
    """Do ``act`` once when the failpoint ``name`` is passed."""
    passed = []

    def failpoint(point):
        if point == name and not passed:
            passed.append(point)
            act()

    monkeypatch.setattr(module, "failpoint", failpoint)
    return passed


# ---------------------------------------------------------------------- reading


def test_ids_are_names_of_visible_markdown_files(files, layout):
    for name in ("b.md", "a.md", ".a.md", "x.txt", "Über.md"):
        save(f"{layout.tasks}/{name}", b"")
    os.mkdir(f"{layout.tasks}/archive")
    assert files.ids() == ["a", "b", "Über"]


def test_ids_without_a_folder(tmp_path):
    assert MarkdownFiles(Layout(str(tmp_path / "none")), sync=False, kept=print).ids() == []


def test_malformed_files_are_invalid_tasks_with_a_place(files, layout):
    save(path_of(layout), b"---\nid: one\ntitle: a: b\n---\n")
    broken = files.load("one")
    assert isinstance(broken, InvalidTask)
    assert (broken.id, broken.path, broken.line, broken.column) == ("one", path_of(layout), 3, 9)
    assert "value without quotes" in broken.message
    assert broken.hint
    assert broken.digest


def test_a_symbolic_link_is_invalid(files, layout, tmp_path):
    save(str(tmp_path / "secret.md"), text_of("one"))
    os.symlink(tmp_path / "secret.md", path_of(layout))
    broken = files.load("one")
    assert isinstance(broken, InvalidTask)
    assert (broken.id, broken.path) == ("one", path_of(layout))
    assert "symbolic link" in broken.message


def test_folders_and_pipes_are_invalid_and_never_hang(files, layout):
    os.mkdir(path_of(layout, "folder"))
    os.mkfifo(path_of(layout, "pipe"))
    for task_id in ("folder", "pipe"):
        broken = files.load(task_id)
        assert isinstance(broken, InvalidTask)
        assert "no regular file" in broken.message


def test_unreadable_files_are_invalid(files, layout, monkeypatch):
    save(path_of(layout), text_of("one"))
    monkeypatch.setattr(module.os, "open", refusal(errno.EACCES))
    broken = files.load("one")
    assert isinstance(broken, InvalidTask)
    assert "Permission denied" in broken.message


def test_who_runs_out_of_descriptors_says_so(files, layout, monkeypatch):
    monkeypatch.setattr(module.os, "open", refusal(errno.EMFILE))
    with pytest.raises(StorageError, match=f"cannot read {path_of(layout)}"):
        files.load("one")


def test_an_empty_file_is_read(files, layout):
    save(path_of(layout), b"")
    assert files.read("one").data == b""


def test_a_file_with_another_id_is_invalid(files, layout):
    save(path_of(layout), text_of("two"))
    assert isinstance(files.load("one"), InvalidTask)


@pytest.mark.parametrize("size", [MAX_FILE - 1, MAX_FILE, MAX_FILE + 1, LARGEST, LARGEST + 1, LARGEST * 2])
def test_large_files_are_read_up_to_the_limit(files, layout, size):
    save(path_of(layout), text_of("one").ljust(size, b"x"))
    data = files.read("one").data
    assert len(data) == min(size, LARGEST + 1)
    assert isinstance(files.load("one"), Task if size <= MAX_FILE else InvalidTask)


@pytest.mark.parametrize("size, more", [(5, 5000), (5, LARGEST), (LARGEST - 1, 5)])
def test_a_file_that_grows_while_it_is_read_is_read_whole(files, layout, monkeypatch, size, more):
    save(path_of(layout), b"x" * size)
    real = os.fstat

    def stale(fd):
        # What the size said when the file was opened is not what is there a moment later.
        monkeypatch.setattr(module.os, "fstat", real)
        status = real(fd)
        with open(path_of(layout), "ab") as file:
            file.write(b"y" * more)
        return status

    monkeypatch.setattr(module.os, "fstat", stale)
    assert files.read("one").data == (b"x" * size + b"y" * more)[: LARGEST + 1]


# ---------------------------------------------------------------------- writing


def test_create_never_overwrites(files, layout):
    files.create("one", text_of("one"))
    with pytest.raises(AlreadyExistsError):
        files.create("one", b"other")
    assert bytes_of(path_of(layout)) == text_of("one")
    assert stat.S_IMODE(os.stat(path_of(layout)).st_mode) == 0o600


def test_withdraw_takes_back_only_what_was_created(files, layout):
    files.create("one", text_of("one"))
    files.withdraw("one", b"something else")
    assert os.path.exists(path_of(layout))
    files.withdraw("one", text_of("one"))
    assert not os.path.exists(path_of(layout))


def test_rewrite_changes_only_the_owned_line(files, layout):
    text = "\ufeff---\nid: one\n# c\ntitle:  'x'   # y\nstatus: pending\nzz: 1\n---\nbody\n\n"
    before = text.replace("\n", "\r\n").encode()
    save(path_of(layout), before)
    after = files.rewrite("one", to_claimed, point="p")
    assert after == before.replace(b"pending", b"claimed")
    assert bytes_of(path_of(layout)) == after
    assert os.listdir(layout.tasks) == ["one.md"]


@pytest.mark.parametrize("mode", [0o600, 0o601, 0o664])
def test_rewrite_keeps_the_mode_of_a_persons_file(files, layout, mode):
    save(path_of(layout), text_of("one"))
    os.chmod(path_of(layout), mode)
    files.rewrite("one", to_claimed, point="p")
    assert stat.S_IMODE(os.stat(path_of(layout)).st_mode) == mode


def test_what_is_about_to_be_exchanged_says_whose_it_is(files, layout, monkeypatch):
    """By its name the leftovers of the dead are known."""
    save(path_of(layout), text_of("one"))
    names = []
    at(monkeypatch, "p.swap", lambda: names.extend(os.listdir(layout.tasks)))
    files.rewrite("one", to_claimed, point="p")
    names.remove("one.md")
    assert re.fullmatch(rf"\.one\.md\.{os.getpid()}\.[0-9a-f]{{8}}\.swap", *names)


def test_rewrite_breaks_a_hard_link_instead_of_writing_through_it(files, layout, tmp_path):
    save(str(tmp_path / "other"), text_of("one"))
    os.link(tmp_path / "other", path_of(layout))
    files.rewrite("one", to_claimed, point="p")
    assert bytes_of(tmp_path / "other") == text_of("one")
    assert b"claimed" in bytes_of(path_of(layout))


def test_no_change_writes_nothing(files, layout):
    save(path_of(layout), text_of("one"))
    inode = os.stat(path_of(layout)).st_ino
    assert files.rewrite("one", lambda data: data, point="p") == text_of("one")
    assert os.stat(path_of(layout)).st_ino == inode


def test_rewrite_of_a_missing_file(files):
    with pytest.raises(FileNotFoundError):
        files.rewrite("one", to_claimed, point="p")


def test_rewrite_leaves_a_malformed_file_alone(files, layout):
    save(path_of(layout), b"---\ntitle: [\n")
    with pytest.raises(TaskFormatError):
        files.rewrite("one", to_claimed, point="p")
    assert bytes_of(path_of(layout)) == b"---\ntitle: [\n"
    assert os.listdir(layout.tasks) == ["one.md"]


def test_rewrite_refuses_a_link(files, layout, tmp_path):
    save(str(tmp_path / "secret"), text_of("one"))
    os.symlink(tmp_path / "secret", path_of(layout))
    with pytest.raises(StorageError, match=path_of(layout)):
        files.rewrite("one", to_claimed, point="p")
    assert bytes_of(tmp_path / "secret") == text_of("one")


def test_rewrite_refuses_a_folder(files, layout):
    os.mkdir(path_of(layout))
    with pytest.raises(OSError, match=f"not a regular file: '{path_of(layout)}'"):
        files.rewrite("one", to_claimed, point="p")


def test_rewrite_leaves_nothing_where_the_new_text_gets_no_name(files, layout, monkeypatch):
    save(path_of(layout), text_of("one"))
    monkeypatch.setattr(module.os, "rename", refusal(errno.EROFS))
    with pytest.raises(StorageError, match=path_of(layout)):
        files.rewrite("one", to_claimed, point="p")
    assert os.listdir(layout.tasks) == ["one.md"]


# ---------------------------------------------------------------------- a person saves meanwhile


@pytest.mark.parametrize("where", ["p.swap", "p.swapped"])
def test_a_save_during_a_write_is_merged(files, layout, monkeypatch, where):
    path = path_of(layout)
    save(path, text_of("one"))
    mine = text_of("one", title="Mine").replace(b"The body", b"My body")
    passed = at(monkeypatch, where, lambda: save(path, mine))
    files.rewrite("one", to_claimed, point="p")
    assert passed
    found = bytes_of(path)
    kept = _all_texts(layout)
    if where == "p.swap":
        assert found == edit(mine, {"status": "claimed"})
        assert os.listdir(layout.tasks) == ["one.md"]
    else:
        # Saved over what the program had just written: simply the newest version.
        assert found == mine
    assert any(b"My body" in text for text in kept)


@linux
def test_a_person_who_saves_again_and_again_keeps_every_last_word(files, layout, monkeypatch, faults):
    path = path_of(layout)
    save(path, text_of("one"))
    count = iter(range(10**6))

    def failpoint(point):
        if point == "p.swap":
            save(path, text_of("one", title=f"T{next(count)}"))

    monkeypatch.setattr(module, "failpoint", failpoint)
    with pytest.raises(BusyError, match=path) as refused:
        files.rewrite("one", to_claimed, point="p")
    assert "again later" in refused.value.hint
    assert b"title: T15" in bytes_of(path)
    assert os.listdir(layout.tasks) == ["one.md"]
    assert not faults


@linux
def test_a_save_that_is_seen_in_time_needs_no_exchange(files, layout, monkeypatch):
    """In its instant people would read our text in the place of theirs."""
    path = path_of(layout)
    save(path, text_of("one"))
    exchanged = []
    real = module.exchange
    monkeypatch.setattr(module, "exchange", lambda one, other: exchanged.append(other) or real(one, other))
    saves = iter([text_of("one", title="Theirs")])

    def claimed_after_a_save(data):
        for text in saves:
            save(path, text)
        return to_claimed(data)

    new = files.rewrite("one", claimed_after_a_save, point="p")
    assert b"title: Theirs" in new
    assert bytes_of(path) == new
    assert exchanged == [path]
    assert os.listdir(layout.tasks) == ["one.md"]


@linux
def test_two_saves_around_the_exchange_are_both_kept(files, layout, monkeypatch, faults):
    path = path_of(layout)
    save(path, text_of("one"))
    first, second = text_of("one", title="First"), text_of("one", title="Second")
    acts = {"p.swap": first, "p.swapped": second}

    def failpoint(point):
        if point in acts:
            save(path, acts.pop(point))

    monkeypatch.setattr(module, "failpoint", failpoint)
    files.rewrite("one", to_claimed, point="p")
    texts = _all_texts(layout)
    assert any(b"First" in text for text in texts)
    assert any(b"Second" in text for text in texts)
    (kept,) = os.listdir(layout.conflicts)
    ((task_id, place, why),) = faults
    assert (task_id, place) == ("one", f"{layout.conflicts}/{kept}")
    assert "saved while it was being written" in why


@linux
def test_a_file_deleted_during_the_exchange_is_not_brought_back(files, layout, monkeypatch):
    path = path_of(layout)
    save(path, text_of("one"))
    at(monkeypatch, "p.swap", lambda: os.unlink(path))
    with pytest.raises(FileNotFoundError):
        files.rewrite("one", to_claimed, point="p")
    assert os.listdir(layout.tasks) == []


@linux
def test_saved_and_then_deleted(files, layout, monkeypatch):
    path = path_of(layout)
    save(path, text_of("one"))
    mine = text_of("one", title="Mine")
    acts = {"p.swap": lambda: save(path, mine), "p.swapped": lambda: os.unlink(path)}
    monkeypatch.setattr(module, "failpoint", lambda point: acts.pop(point, lambda: None)())
    with pytest.raises(FileNotFoundError):
        files.rewrite("one", to_claimed, point="p")
    (kept,) = os.listdir(layout.conflicts)
    assert bytes_of(f"{layout.conflicts}/{kept}") == mine


@linux
def test_a_file_that_is_open_for_writing_is_left_alone(files, layout):
    save(path_of(layout), text_of("one"))
    with open(path_of(layout), "ab"):
        assert files.read("one", watch=True).busy
        assert not files.read("one").busy
        with pytest.raises(BusyError, match="of task one is open") as refused:
            files.rewrite("one", to_claimed, point="p")
    assert refused.value.code == "busy"
    assert "close it" in refused.value.hint
    assert bytes_of(path_of(layout)) == text_of("one")
    assert b"claimed" in files.rewrite("one", to_claimed, point="p")


@linux
def test_an_editor_that_opens_the_file_in_the_middle_of_a_write(files, layout, monkeypatch):
    path = path_of(layout)
    save(path, text_of("one"))
    editor = []
    at(monkeypatch, "p.swap", lambda: editor.append(open(path, "r+b")))
    with pytest.raises(BusyError):
        files.rewrite("one", to_claimed, point="p")
    with editor[0] as file:
        file.seek(0, os.SEEK_END)
        file.write(b"typed later\n")
    assert bytes_of(path) == text_of("one") + b"typed later\n"
    assert os.listdir(layout.tasks) == ["one.md"]


@linux
def test_an_editor_that_opens_what_was_just_written(files, layout, monkeypatch):
    """It opened the program's version in the instant before a person's earlier save got its place back."""
    path = path_of(layout)
    save(path, text_of("one"))
    editor = []
    acts = {
        "p.swap": lambda: save(path, text_of("one", title="Mine")),
        "p.swapped": lambda: editor.append(open(path, "ab")),
    }
    monkeypatch.setattr(module, "failpoint", lambda point: acts.pop(point, lambda: None)())
    files.rewrite("one", to_claimed, point="p")
    with editor[0] as file:
        file.write(b"typed later\n")
    texts = _all_texts(layout)
    assert any(b"typed later" in text for text in texts)
    assert any(b"Mine" in text for text in texts)


def test_without_exchange_a_write_is_made_once(files, layout, monkeypatch):
    save(path_of(layout), text_of("one"))
    monkeypatch.setattr(module, "exchange", lambda one, other: False)
    files.rewrite("one", lambda data: data + b"more\n", point="p")
    assert bytes_of(path_of(layout)) == text_of("one") + b"more\n"
    assert os.listdir(layout.tasks) == ["one.md"]


def test_without_exchange_a_changed_file_is_not_overwritten(files, layout, monkeypatch):
    path = path_of(layout)
    save(path, text_of("one"))
    monkeypatch.setattr(module, "exchange", lambda one, other: False)
    at(monkeypatch, "p.swap", lambda: save(path, text_of("one", title="Mine")))
    files.rewrite("one", to_claimed, point="p")
    assert bytes_of(path) == edit(text_of("one", title="Mine"), {"status": "claimed"})
    assert os.listdir(layout.tasks) == ["one.md"]


@pytest.mark.parametrize("point", ["p.opened", "p.write", "p.written", "p.synced", "p.swap", "p.swapped"])
@pytest.mark.parametrize("fault", ["ENOSPC", "EIO", "EACCES", "EROFS", "EDQUOT"])
def test_a_disk_that_refuses_leaves_a_whole_file_and_no_rest(files, layout, faults, point, fault):
    save(path_of(layout), text_of("one"))
    failpoints.arm(f"{point}={fault}")
    with pytest.raises(StorageError) as refused:
        files.rewrite("one", to_claimed, point="p")
    failpoints.disarm()
    assert refused.value.hint or fault == "EIO"
    assert bytes_of(path_of(layout)) in (text_of("one"), edit(text_of("one"), {"status": "claimed"}))
    assert os.listdir(layout.tasks) == ["one.md"]
    assert not os.path.exists(layout.conflicts)


@linux
@pytest.mark.parametrize("style", ["rename", "in place", "append"])
def test_torture_by_an_editor(files, layout, style):
    """One program thread and one person; every save of the person is somewhere afterwards."""
    path = path_of(layout)
    save(path, text_of("one"))
    stop = threading.Event()
    writes = [0]

    def program():
        flip = ["claimed", "pending"]
        while not stop.is_set():
            writes[0] += 1
            try:
                files.rewrite("one", lambda data: edit(data, {"status": flip[writes[0] % 2]}), point="p")
            except (BusyError, TaskFormatError, FileNotFoundError):
                pass
            time.sleep(0.002)

    worker = threading.Thread(target=program)
    worker.start()
    lost = []
    for number in range(150):
        mark = f"edit-{number:04}".encode()
        if style == "rename":
            save(path, bytes_of(path) + mark + b"\n")
        elif style == "append":
            with open(path, "ab") as file:
                file.write(mark + b"\n")
        else:
            text = bytes_of(path) + mark + b"\n"
            with open(path, "wb") as file:
                file.write(text)
        if not any(mark in text for text in _all_texts(layout)):
            time.sleep(0.01)
            if not any(mark in text for text in _all_texts(layout)):
                lost.append(mark)
        time.sleep(0.002)
    stop.set()
    worker.join(30)
    assert writes[0] > 20
    # A version that was on the screen for microseconds, and was the base of a save, is what cannot be told.
    assert len(lost) <= 3, lost


def _all_texts(layout):
    texts = []
    for folder in (layout.tasks, layout.conflicts):
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            try:
                texts.append(bytes_of(f"{folder}/{name}"))
            except FileNotFoundError:
                continue
    return texts


# ---------------------------------------------------------------------- leftovers


def leftover(layout, data, task_id="one", ending=STAGED):
    name = f".{task_id}.md.99999.0a1b2c3d{ending}"
    with open(f"{layout.tasks}/{name}", "wb") as file:
        file.write(data)
    return name


def test_a_leftover_of_our_own_edit_is_dropped(files, layout):
    save(path_of(layout), text_of("one"))
    files.clear_leftover(leftover(layout, edit(text_of("one"), {"status": "claimed", "attempt": 3})))
    files.clear_leftover(leftover(layout, text_of("one")))
    files.clear_leftover(leftover(layout, b"", ending=".tmp"))
    files.clear_leftover(leftover(layout, b"---\nid: one\nhalf of our te", ending=".tmp"))
    assert os.listdir(layout.tasks) == ["one.md"]
    assert not os.path.exists(layout.conflicts)


def test_a_leftover_that_may_be_a_persons_save_is_kept(files, layout, faults):
    save(path_of(layout, "a.b"), text_of("a.b"))
    mine = text_of("a.b", title="Mine")
    files.clear_leftover(leftover(layout, mine, "a.b"))
    files.clear_leftover(leftover(layout, b"---\nhalf a sa", "a.b"))
    assert os.listdir(layout.tasks) == ["a.b.md"]
    kept = {bytes_of(f"{layout.conflicts}/{name}") for name in os.listdir(layout.conflicts)}
    assert kept == {mine, b"---\nhalf a sa"}
    assert [(task_id, bytes_of(place)) for task_id, place, _ in faults] == [
        ("a.b", mine),
        ("a.b", b"---\nhalf a sa"),
    ]


def test_a_leftover_of_a_task_that_was_deleted_since_is_dropped(files, layout):
    files.clear_leftover(leftover(layout, text_of("one")))
    assert os.listdir(layout.tasks) == []
    assert not os.path.exists(layout.conflicts)


def test_the_leftover_of_a_creation_is_dropped(files, layout):
    files.clear_leftover(leftover(layout, text_of("two"), "two", ".tmp"))
    name = leftover(layout, text_of("one"), ending=".tmp")
    os.link(f"{layout.tasks}/{name}", path_of(layout))
    files.clear_leftover(name)
    files.clear_leftover(name)
    assert os.listdir(layout.tasks) == ["one.md"]
