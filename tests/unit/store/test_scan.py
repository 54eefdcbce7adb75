"""The incremental scan, its watcher and its sidecar."""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import time

import pytest

from autopilot.errors import StorageError, TaskFormatError
from autopilot.models import InvalidTask, Priority, Status
from autopilot.store import eyes, scan, summaries
from autopilot.store.contract import Changes, SlotLimits, TaskSummary
from autopilot.store.sidecar import Sidecar
from autopilot.system import watch
from autopilot.system.processes import identify
from autopilot.testing.stores import draft, text_of
from tests.exhaustion import no_more_files


@pytest.fixture
def tasks(root):
    folder = root / "tasks"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def age(monkeypatch):
    """Let every file count as old enough to be trusted."""
    monkeypatch.setattr(summaries, "RACY_NS", -1)


@pytest.fixture
def young(monkeypatch):
    """Let no file count as old enough to be trusted, however long the test takes."""
    monkeypatch.setattr(summaries, "RACY_NS", 10**18)


@pytest.fixture
def watched():
    """Names of the task files that were read with a look at who writes them, which costs more."""
    return []


@pytest.fixture
def reads(monkeypatch, watched):
    """Names of the task files that were read."""
    seen = []
    real = scan.MarkdownFiles.read

    def read(self, task_id, *, watch=False):
        seen.append(task_id)
        if watch:
            watched.append(task_id)
        return real(self, task_id, watch=watch)

    monkeypatch.setattr(scan.MarkdownFiles, "read", read)
    return seen


def write(tasks, task_id, **values):
    (tasks / f"{task_id}.md").write_bytes(text_of(task_id, **values))


def ids(changes):
    return sorted(summary.id for summary in changes.tasks)


def fill(tasks, count=scan._WORTH_SAVING):
    for number in range(count):
        write(tasks, f"t{number:04}", depends_on="[zero]" if number % 2 else "[]", attempt=str(number))


# ---------------------------------------------------------------------- what is seen


def test_only_what_was_touched_is_read(files, tasks, reads):
    fill(tasks, 5)
    assert len(files.changes().tasks) == 5
    reads.clear()
    assert not files.changes()
    assert reads == []
    write(tasks, "t0003", priority="low")
    assert ids(files.changes()) == ["t0003"]
    assert reads == ["t0003"]


def test_a_summary_says_what_the_file_says(files, tasks):
    write(
        tasks,
        "one",
        status="blocked",
        priority="high",
        created_at="2026-11-22T09:00:00Z",
        not_before="2026-11-23T09:00:00Z",
        attempt="4",
        depends_on="[a, b]",
    )
    (summary,) = files.changes().tasks
    assert summary == TaskSummary(
        id="one",
        status=Status.BLOCKED,
        priority=Priority.HIGH,
        created=1_795_338_000.0,
        not_before=1_795_424_400.0,
        attempt=4,
        depends_on=("a", "b"),
        digest=hashlib.sha256((tasks / "one.md").read_bytes()).hexdigest(),
    )


def test_a_summary_of_a_file_that_says_little(files, tasks):
    write(tasks, "one")
    os.utime(tasks / "one.md", (1_700_000_000, 1_700_000_000))
    (summary,) = files.changes().tasks
    assert (summary.status, summary.priority, summary.created) == (
        Status.PENDING,
        Priority.MEDIUM,
        1_700_000_000.0,
    )
    assert (summary.not_before, summary.attempt, summary.depends_on, summary.written) == (0.0, 0, (), None)


def test_where_nothing_was_touched_nothing_is_listed(files, tasks, monkeypatch):
    if not files._eyes._watch or watch.open_watcher() is None:
        pytest.skip("needs inotify")
    write(tasks, "one")
    files.claim("one", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    files.changes()
    files.changes()
    monkeypatch.setattr(os, "scandir", lambda path: pytest.fail("listed the tasks"))
    monkeypatch.setattr(os, "listdir", lambda path: pytest.fail("listed the leases"))
    assert not files.changes()


def test_a_cancel_request_by_hand_wakes_who_waits(files, tasks, root):
    write(tasks, "one")
    files.claim("one", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    files.changes()
    while files.wait(0):
        pass
    (root / "state/leases/one.cancel").write_text("{}")
    assert files.wait(20) is True


@pytest.mark.parametrize("field", ["tasks", "invalid", "removed"])
def test_any_change_is_a_change(field):
    assert Changes(**{field: ("x",)})
    assert not Changes()


def test_a_body_that_changed_is_a_change(files, tasks):
    write(tasks, "one")
    files.changes()
    with open(tasks / "one.md", "a") as file:
        file.write("more\n")
    assert ids(files.changes()) == ["one"]


def test_a_touch_that_changed_nothing_is_none(files, tasks):
    write(tasks, "one")
    files.changes()
    os.utime(tasks / "one.md")
    assert not files.changes()


def test_removed_and_renamed_files(files, tasks):
    write(tasks, "one")
    write(tasks, "two")
    files.changes()
    os.unlink(tasks / "one.md")
    (tasks / "two.md").write_bytes(text_of("three"))
    os.rename(tasks / "two.md", tasks / "three.md")
    changes = files.changes()
    assert ids(changes) == ["three"]
    assert sorted(changes.removed) == ["one", "two"]
    assert not files.changes()


def test_a_file_that_came_and_went_is_no_change(files, tasks):
    files.changes()
    write(tasks, "one")
    os.unlink(tasks / "one.md")
    assert not files.changes()


def test_malformed_files_are_told_and_mended_ones_too(files, tasks):
    (tasks / "one.md").write_bytes(b"---\ntitle: [\n---\n")
    (tasks / "Bad Name.md").write_bytes(b"---\ntitle: x\n---\n")
    os.symlink("/etc/passwd", tasks / "link.md")
    os.symlink("/nowhere", tasks / "dangling.md")
    (tasks / "folder.md").mkdir()
    (tasks / "other.md").write_bytes(text_of("another"))
    (tasks / "note.txt").write_text("not a task")
    (tasks / ".hidden.md").write_bytes(text_of("hidden"))
    changes = files.changes()
    assert sorted(entry.id for entry in changes.invalid) == [
        "Bad Name",
        "dangling",
        "folder",
        "link",
        "one",
        "other",
    ]
    assert not changes.tasks
    assert all(entry.hint and entry.path == str(tasks / f"{entry.id}.md") for entry in changes.invalid)
    assert not files.changes()
    write(tasks, "one")
    assert ids(files.changes()) == ["one"]
    (tasks / "one.md").write_bytes(b"broken again")
    (broken,) = files.changes().invalid
    assert broken.id == "one"
    os.unlink(tasks / "one.md")
    assert files.changes().removed == ("one",)


def test_an_unreadable_file_is_told(files, tasks, monkeypatch):
    write(tasks, "one")

    def refuse(self, task_id, *, watch=False):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(scan.MarkdownFiles, "read", refuse)
    (broken,) = files.changes().invalid
    assert broken.path == str(tasks / "one.md")
    assert "Input/output error" in broken.message


def test_half_a_save_is_no_change_yet(files, tasks):
    write(tasks, "one")
    files.changes()
    with open(tasks / "one.md", "r+b") as editor:
        editor.truncate(10)
        assert not files.changes()
        assert not files.changes()
        editor.seek(0)
        editor.write(text_of("one", priority="low"))
    assert ids(files.changes()) == ["one"]


def test_a_new_file_that_is_still_being_written_waits(files, tasks):
    files.changes()
    with open(tasks / "one.md", "wb") as editor:
        editor.write(text_of("one")[:30])
        editor.flush()
        assert not files.changes()
        editor.write(text_of("one")[30:])
    assert ids(files.changes()) == ["one"]


def test_a_file_that_vanishes_while_all_are_looked_at(files, tasks, monkeypatch):
    write(tasks, "one")
    write(tasks, "two")
    real = scan.Scanner._names

    def names(self):
        (name, entry), *others = real(self)
        os.unlink(entry.path)
        return [(name, entry), *others]

    monkeypatch.setattr(scan.Scanner, "_names", names)
    assert ids(files.changes()) == files.ids()
    assert len(files.ids()) == 1


def test_a_change_before_the_first_look_is_in_it(files, tasks):
    files.wait(0)
    write(tasks, "one")
    files.wait(20)
    assert ids(files.changes()) == ["one"]


def test_a_collector_that_was_off_stays_off(files, tasks):
    gc.disable()
    try:
        files.changes()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_tasks_folder_may_come_later_and_go_away(files, root):
    assert not files.changes()
    tasks = root / "tasks"
    tasks.mkdir(parents=True)
    write(tasks, "one")
    assert ids(files.changes()) == ["one"]
    write(tasks, "two")
    assert ids(files.changes()) == ["two"]
    os.rename(tasks, root / "elsewhere")
    assert sorted(files.changes().removed) == ["one", "two"]
    os.rename(root / "elsewhere", tasks)
    assert ids(files.changes()) == ["one", "two"]


def test_a_folder_that_another_one_has_replaced_is_looked_at(files, tasks, root):
    write(tasks, "one")
    files.changes()
    (root / "another").mkdir()
    write(root / "another", "two")
    os.rename(tasks, root / "elsewhere")
    os.rename(root / "another", tasks)
    changes = files.changes()
    assert (ids(changes), changes.removed) == (["two"], ("one",))


@pytest.mark.parametrize(
    "text", [text_of("one"), text_of("one", status="done", updated_at="2026-11-22T09:00:00Z")]
)
def test_no_record_is_read_of_who_cannot_be_parked(text):
    summaries.summarise(
        "one", text, path="one.md", born=0.0, saved=0.0, lease=None, record=lambda task_id: pytest.fail("asked")
    )


def test_who_cannot_be_summarised_is_named():
    with pytest.raises(TaskFormatError) as refused:
        summaries.summarise("one", b"", path="tasks/one.md", born=0.0, saved=0.0, lease=None, record=print)
    assert refused.value.path == "tasks/one.md"


def test_an_overflow_looks_at_everything_again(files, tasks, monkeypatch):
    fill(tasks, 3)
    files.changes()
    real = watch.Watcher.read

    def lossy(self):
        return [watch.Notice("", "", True)] if real(self) else []

    monkeypatch.setattr(watch.Watcher, "read", lossy)
    write(tasks, "t0001", priority="low")
    write(tasks, "new")
    os.unlink(tasks / "t0002.md")
    assert files.wait(20) is True
    changes = files.changes()
    assert ids(changes) == ["new", "t0001"]
    assert changes.removed == ("t0002",)


@pytest.mark.parametrize("watch", [True, False])
def test_a_lease_that_vanishes_gives_the_file_its_word_back(open_file_store, tasks, root, watch):
    files = open_file_store(watch=watch)
    write(tasks, "one")
    files.changes()
    limits = SlotLimits(total=1)
    lease = files.claim("one", executor="x", owner=identify(), limits=limits, ttl_s=30)
    (claimed,) = files.changes().tasks
    assert (claimed.status, claimed.written) == (Status.CLAIMED, Status.CLAIMED)
    assert claimed.saved == pytest.approx(os.stat(tasks / "one.md").st_mtime, abs=0.001)
    files.start(lease, owner=identify())
    (started,) = files.changes().tasks
    assert (started.status, started.written) == (Status.IN_PROGRESS, Status.CLAIMED)
    os.unlink(root / "state/leases/one.json")
    (orphan,) = files.changes().tasks
    assert (orphan.status, orphan.written, orphan.saved) == (Status.CLAIMED, None, 0.0)


def test_a_lease_that_vanishes_beside_an_old_file_is_missed(open_file_store, tasks, root, age):
    files = open_file_store(watch=False)
    write(tasks, "one")
    files.claim("one", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    (claimed,) = files.changes().tasks
    os.unlink(root / "state/leases/one.json")
    (orphan,) = files.changes().tasks
    assert (claimed.written, orphan.written) == (Status.CLAIMED, None)
    assert not files.changes()


def test_a_start_is_told_of_an_id_with_dots(files, tasks):
    write(tasks, "a.b")
    lease = files.claim("a.b", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    files.changes()
    files.start(lease, owner=identify())
    assert [summary.status for summary in files.changes().tasks] == [Status.IN_PROGRESS]


def test_a_persons_status_is_told_while_the_task_is_held(files, tasks):
    write(tasks, "one")
    files.claim("one", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    files.changes()
    text = (tasks / "one.md").read_bytes()
    (tasks / "one.md").write_bytes(text.replace(b"status: claimed", b"status: cancelled"))
    (summary,) = files.changes().tasks
    assert (summary.status, summary.written) == (Status.CLAIMED, Status.CANCELLED)


# ---------------------------------------------------------------------- without inotify


def test_without_inotify_time_stamps_tell(open_file_store, tasks, reads, age):
    files = open_file_store(watch=False)
    fill(tasks, 5)
    assert len(files.changes().tasks) == 5
    reads.clear()
    assert not files.changes()
    assert reads == []
    write(tasks, "t0003", priority="low")
    os.unlink(tasks / "t0001.md")
    changes = files.changes()
    assert (ids(changes), changes.removed) == (["t0003"], ("t0001",))
    assert reads == ["t0003"]


def test_a_fresh_time_stamp_is_not_trusted(open_file_store, tasks, reads):
    files = open_file_store(watch=False)
    write(tasks, "one")
    files.changes()
    reads.clear()
    assert not files.changes()
    assert reads == ["one"]


def test_a_save_within_one_time_stamp_is_seen(open_file_store, tasks, monkeypatch):
    """Two saves of the same length in the same tick of a coarse clock, on the same inode."""
    files = open_file_store(watch=False)
    write(tasks, "one", title="aaaa")
    monkeypatch.setattr(scan, "mark_of", lambda status: 7)
    files.changes()
    write(tasks, "one", title="bbbb")
    assert ids(files.changes()) == ["one"]


def test_a_save_that_sets_its_time_back_is_seen(open_file_store, tasks, age):
    files = open_file_store(watch=False)
    write(tasks, "one", title="aaaa")
    before = os.stat(tasks / "one.md")
    files.changes()
    time.sleep(0.02)
    write(tasks, "one", title="bbbb")
    os.utime(tasks / "one.md", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ids(files.changes()) == ["one"]


def test_waiting_without_inotify(open_file_store, tasks):
    files = open_file_store(watch=False)
    files.changes()
    assert files.wait(0) is False
    begun = time.monotonic()
    assert files.wait(0.15) is False
    assert time.monotonic() - begun >= 0.15
    write(tasks, "one")
    assert files.wait(20) is True
    assert files.wait(0) is False
    for _ in range(2):
        open_file_store().notify()
        assert files.wait(20) is True
    assert files.wait(0) is False


# ---------------------------------------------------------------------- waiting


def test_wait_tells_a_change_once(files, tasks):
    files.changes()
    write(tasks, "one")
    assert files.wait(20) is True
    assert files.wait(0) is False
    assert ids(files.changes()) == ["one"]


@pytest.mark.parametrize("watch", [True, False])
def test_the_first_task_of_an_empty_root_wakes_who_waits(open_file_store, watch):
    files = open_file_store(watch=watch)
    files.changes()
    assert files.wait(0) is False
    open_file_store().create(draft("one"))
    assert files.wait(20) is True
    assert ids(files.changes()) == ["one"]


def test_the_first_lease_wakes_who_waits(open_file_store, tasks):
    write(tasks, "one")
    files = open_file_store()
    files.changes()
    assert files.wait(0) is False
    (tasks.parent / "state/leases").mkdir(parents=True)
    assert files.wait(20) is True


def test_hidden_names_and_beats_wake_nobody(files, tasks, root):
    write(tasks, "one")
    lease = files.claim("one", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    lease = files.start(lease, owner=identify())
    files.renew(lease)
    files.changes()
    while files.wait(0):
        pass
    (tasks / ".one.md.swp").write_text("an editor's")
    (tasks / "notes.txt").write_text("a note")
    (root / "state/leases/two.1.beat").write_text("a beat")
    (root / "state/leases/.two.json").write_text("an editor's")
    files.renew(lease)
    assert files.wait(0.05) is False
    files.request_cancel("one", by="me")
    assert files.wait(20) is True


def test_a_child_gets_eyes_of_its_own(files, tasks):
    """A forked child that read its parent's notices would steal them."""
    write(tasks, "one")
    files.changes()
    write(tasks, "two")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writer, str(len(files.changes().tasks)).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"1"
    assert ids(files.changes()) == ["two"]


def test_eyes_watch_what_is_there_unless_told_not_to(root):
    if watch.open_watcher() is None:
        pytest.skip("needs inotify")
    layout = scan.Layout(str(root))
    layout.prepare(layout.tasks, layout.leases)
    watching, polling = eyes.Eyes(layout), eyes.Eyes(layout, watch=False)
    assert watching.take() == polling.take() == (None, None)
    assert (watching.take(), polling.take()) == ((set(), set()), (None, None))
    watching.again("one")
    assert watching.take() == ({"one"}, set())
    watching.close()


def test_eyes_without_any_folder_poll(root, tmp_path):
    blind = eyes.Eyes(scan.Layout(str(tmp_path / "none")))
    assert blind.wait(0.01) is False
    assert blind.take() == (None, None)
    blind.again("one")
    blind.close()


# ---------------------------------------------------------------------- the sidecar


def test_a_start_reads_only_what_changed(open_file_store, tasks, reads, age):
    fill(tasks)
    (tasks / "bad.md").write_bytes(b"nothing")
    first = open_file_store()
    everything = first.changes()
    first.close()
    reads.clear()
    again = open_file_store().changes()
    assert reads == []
    assert set(again.tasks) == set(everything.tasks)
    assert again.invalid == everything.invalid
    write(tasks, "t0001", priority="low")
    write(tasks, "new")
    os.unlink(tasks / "t0002.md")
    reads.clear()
    third = open_file_store().changes()
    assert sorted(reads) == ["new", "t0001"]
    assert len(third.tasks) == len(everything.tasks)
    assert third.removed == ()


def test_few_new_summaries_are_not_worth_a_write(open_file_store, tasks, root, age):
    fill(tasks, 3)
    open_file_store().changes()
    assert not (root / "state/index/summaries").exists()


def test_changes_after_the_start_are_saved_at_the_close(open_file_store, tasks, reads, age):
    files = open_file_store()
    files.changes()
    fill(tasks)
    files.changes()
    files.close()
    reads.clear()
    assert len(open_file_store().changes().tasks) == scan._WORTH_SAVING
    assert reads == []


def test_fresh_files_are_not_trusted_from_the_copy(open_file_store, tasks, reads, young):
    fill(tasks)
    open_file_store().changes()
    reads.clear()
    open_file_store().changes()
    assert len(reads) == scan._WORTH_SAVING


def test_what_is_known_from_the_copy_is_known_as_if_it_had_been_read(open_file_store, tasks, age):
    fill(tasks)
    (tasks / "bad.md").write_bytes(b"nothing")
    open_file_store().changes()
    files = open_file_store()
    files.changes()
    for name in ("t0003.md", "bad.md"):
        os.utime(tasks / name)
    assert not files.changes()


def test_what_is_known_from_the_copy_is_not_read_on_the_next_look(open_file_store, tasks, reads, age):
    fill(tasks)
    open_file_store().changes()
    files = open_file_store(watch=False)
    reads.clear()
    files.changes()
    assert not files.changes()
    assert reads == []


def test_the_copy_may_be_saved_more_than_once(open_file_store, tasks, age):
    fill(tasks)
    files = open_file_store()
    files.changes()
    for priority in ("low", "high"):
        write(tasks, "t0001", priority=priority)
        assert ids(files.changes()) == ["t0001"]
        files.close()


def test_old_files_are_read_without_a_look_at_who_writes_them(open_file_store, tasks, reads, watched, age):
    write(tasks, "one")
    files = open_file_store(watch=False)
    files.changes()
    assert (reads, watched) == (["one"], [])
    write(tasks, "one", priority="low")
    files.changes()
    assert (reads, watched) == (["one", "one"], [])


def test_young_files_are_read_with_a_look_at_who_writes_them(open_file_store, tasks, reads, watched, young):
    write(tasks, "one")
    open_file_store(watch=False).changes()
    assert reads == watched == ["one"]


def test_held_tasks_are_not_taken_from_the_copy(open_file_store, tasks, reads, age):
    fill(tasks)
    files = open_file_store()
    files.changes()
    files.claim("t0007", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    files.close()
    summary = next(entry for entry in open_file_store().changes().tasks if entry.id == "t0007")
    assert (summary.status, summary.attempt) == (Status.CLAIMED, 8)


def test_held_tasks_are_not_in_the_copy(open_file_store, tasks, root, reads, age):
    fill(tasks)
    files = open_file_store()
    files.claim("t0007", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
    files.changes()
    files.close()
    os.unlink(root / "state/leases/t0007.json")
    reads.clear()
    open_file_store().changes()
    assert reads == ["t0007"]


@pytest.mark.parametrize("damage", ["empty", "cut", "flip", "version", "gone", "folder"])
def test_a_damaged_copy_is_not_used(open_file_store, tasks, root, reads, age, damage):
    fill(tasks)
    files = open_file_store()
    everything = files.changes()
    files.close()
    path = root / "state/index/summaries"
    data = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "folder":
        path.unlink()
        path.mkdir()
    else:
        flipped = bytearray(data)
        flipped[-5] ^= 1
        path.write_bytes(
            {"empty": b"", "cut": data[:-1], "flip": bytes(flipped), "version": b"x" + data[1:]}[damage]
        )
    reads.clear()
    assert set(open_file_store().changes().tasks) == set(everything.tasks)
    assert len(reads) == scan._WORTH_SAVING


def test_a_disk_that_refuses_the_copy_is_no_fault(open_file_store, tasks, root, age):
    fill(tasks)
    (root / "state").mkdir()
    (root / "state/index").write_text("in the way")
    assert len(open_file_store().changes().tasks) == scan._WORTH_SAVING


def test_every_kind_of_entry_reads_back_from_the_copy(root, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda fd: pytest.fail("a copy need not outlive a power cut"))
    layout = scan.Layout(str(root))
    broken = InvalidTask(id="b", path="p", message="m", hint="h", line=1, column=2, digest="d")
    copy = Sidecar(layout)
    copy.save([(5, broken)])
    copy.open()
    assert copy.find("b", 5) == broken
    assert copy.find("b", 6) is None
    assert copy.find("c", 5) is None
    copy.close()
    assert copy.find("b", 5) is None


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("watch", [True, False])
@pytest.mark.parametrize("name", ["a" * 201, "a" * 210, "\u6587" * 84], ids=["201", "210", "84 of three bytes"])
def test_a_name_that_is_too_long_is_an_invalid_task_and_stops_nobody(open_file_store, tasks, watch, name):
    (tasks.parent / "state" / "leases").mkdir(parents=True)
    files = open_file_store(watch=watch)
    files.changes()
    write(tasks, name)
    write(tasks, "one")
    found = files.changes()
    assert [summary.id for summary in found.tasks] == ["one"]
    (broken,) = found.invalid
    assert broken.id == name
    assert "80 are allowed" in broken.message
    assert broken.hint
    assert files.ids() == [name, "one"] if name < "one" else ["one", name]
    assert sorted(task.id for task in files.tasks()) == files.ids()
    assert files.get(name) == broken
    assert files.lease(name) is None
    assert not files.changes()
    (tasks / f"{name}.md").unlink()
    assert files.changes().removed == (name,)
    assert "one" in files.ids()


# ---------------------------------------------------------------------- leftovers


def test_old_leftovers_of_dead_writers_are_cleared(open_file_store, tasks):
    write(tasks, "one")
    old = tasks / ".one.md.4194304.0a1b2c3d.tmp"
    alive = tasks / f".one.md.{os.getpid()}.0a1b2c3d.tmp"
    fresh = tasks / ".one.md.4194303.0a1b2c3d.tmp"
    strange = tasks / ".something.tmp"
    for path in (old, alive, fresh, strange):
        path.write_bytes(text_of("one"))
    for path in (old, alive, strange):
        os.utime(path, (1, 1))
    files = open_file_store()
    files.changes()
    files.project()
    assert sorted(os.listdir(tasks)) == sorted([alive.name, fresh.name, strange.name, "one.md"])
    # Nothing else tells when it is old enough.
    os.utime(fresh, (1, 1))
    files.project()
    assert sorted(os.listdir(tasks)) == sorted([alive.name, strange.name, "one.md"])


@pytest.mark.parametrize(
    "name",
    [
        "report.4194304.final.tmp",
        "idea.md.4194304.v2.tmp",
        ".idea.md.4194304.v2.tmp",
        ".notes.4194304.0a1b2c3d.tmp",
        ".notes.txt.4194304.0a1b2c3d.swap",
        "one.md.4194304.0a1b2c3d.swap",
    ],
)
def test_old_files_of_people_are_left_alone(open_file_store, tasks, name):
    for folder in (tasks, tasks.parent / "state" / "leases"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"mine")
        os.utime(folder / name, (1, 1))
    files = open_file_store()
    files.changes()
    files.project()
    assert os.listdir(tasks) == [name]
    assert os.listdir(tasks.parent / "state" / "leases") == [name]


def test_old_leftovers_of_dead_claimers_are_cleared(open_file_store, tasks):
    leases = tasks.parent / "state" / "leases"
    leases.mkdir(parents=True)
    old, alive, fresh = (leases / f".one.json.{pid}.0a1b2c3d.tmp" for pid in (4194304, os.getpid(), 4194303))
    for path in (old, alive, fresh):
        path.write_bytes(b"{")
    for path in (old, alive):
        os.utime(path, (1, 1))
    open_file_store().project()
    assert sorted(os.listdir(leases)) == sorted([alive.name, fresh.name])


def test_create_and_scan_by_two_objects(open_file_store):
    one, two = open_file_store(), open_file_store()
    one.changes()
    two.create(draft("x"))
    assert ids(one.changes()) == ["x"]
    assert ids(two.changes()) == ["x"]


# ---------------------------------------------------------------------- without descriptors


@pytest.mark.parametrize("watch", [True, False])
@pytest.mark.parametrize("spare", range(4))
def test_a_look_that_ran_out_of_files_loses_nothing(open_file_store, tasks, watch, spare):
    """And takes no task for a broken one."""
    store = open_file_store(watch=watch)
    (tasks / "old.md").write_bytes(text_of("old"))
    (tasks / "gone.md").write_bytes(text_of("gone"))
    store.changes()
    (tasks / "gone.md").unlink()
    for name in ("one", "two"):
        (tasks / f"{name}.md").write_bytes(text_of(name))
    with no_more_files(spare):
        found = [changes] if (changes := looked(store)) else []
    found.append(store.changes())
    assert sorted(summary.id for changes in found for summary in changes.tasks) == ["one", "two"]
    assert [task_id for changes in found for task_id in changes.removed] == ["gone"]
    assert not any(changes.invalid for changes in found)


def looked(store):
    """What changed, or None where it could not be seen."""
    try:
        return store.changes()
    except (StorageError, OSError):
        return None
