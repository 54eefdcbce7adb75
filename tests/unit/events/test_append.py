from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autopilot.errors import BusyError, StorageError, UsageError
from autopilot.events.head import HeadFile, Tail
from autopilot.events.log import EventLog
from autopilot.models import Event, EventDraft
from autopilot.system import failpoints
from autopilot.system.locks import FileLock
from tests.exhaustion import no_more_files

ZEROS = "0" * 64


def lines_of(folder: str) -> list[bytes]:
    return Path(folder, "events.ndjson").read_bytes().split(b"\n")[:-1]


def sha(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def test_appended_events_come_back_chained(log, folder, drafts):
    first = log.append(drafts(2), trace_id="a")
    second = log.append(drafts(1))
    lines = lines_of(folder)
    assert [json.loads(line)["prev"] for line in lines] == [ZEROS, sha(lines[0]), sha(lines[1])]
    assert [record.event for record in log.read()] == first + second
    assert [event.trace_id for event in first + second] == ["a", "a", None]
    assert len({event.id for event in first + second}) == 3
    assert first[0].timestamp == first[1].timestamp < second[0].timestamp


def test_events_keep_what_they_come_with(log):
    event = Event(
        id="evt-a.1.1",
        event_type="task.done",
        timestamp="2020-01-01T00:00:00.000000Z",
        source="user",
        trace_id="a",
        payload={"x": 1},
        prev="whatever",
    )
    (appended,) = log.append([event], trace_id="other")
    assert appended == Event(
        id="evt-a.1.1", event_type="task.done", timestamp=event.timestamp, source="user", trace_id="a",
        payload={"x": 1}, prev=ZEROS,
    )  # fmt: skip
    log.publish([event])
    assert [record.event.id for record in log.read()] == ["evt-a.1.1"] * 2


def test_drafts_get_the_logs_source(make_log, drafts):
    (event,) = make_log(source="plugin:slack").append(drafts(1))
    assert event.source == "plugin:slack"
    (event,) = make_log().append(drafts(1))
    assert event.source == "autopilot"


def test_nothing_is_nothing(log, folder):
    assert log.append([]) == []
    assert not os.path.exists(folder)


def test_one_bad_event_and_none_is_written(log, folder, drafts):
    with pytest.raises(UsageError):
        log.append([*drafts(3), EventDraft(event_type="nonsense")])
    assert not os.path.exists(folder)


def test_files_are_private(log, folder, drafts):
    old = os.umask(0)
    try:
        log.append(drafts(1))
        with Path(folder, "events.ndjson").open("ab") as file:
            file.write(b"torn")
        log.append(drafts(1))
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    for name in os.listdir(folder):
        assert stat.S_IMODE(os.stat(f"{folder}/{name}").st_mode) == 0o600


def test_a_log_without_redactor_or_with_one(make_log, drafts):
    log = make_log(redact=lambda text: text.replace("hunter2", "***"))
    (event,) = log.append([EventDraft(event_type="a.b", payload={"text": "my hunter2"})])
    assert event.payload == {"text": "my ***"}
    assert b"hunter2" not in log.tail(1)[0].line


def test_two_objects_write_one_chain(make_log, drafts):
    one, two = make_log(), make_log()
    for n in range(20):
        (one if n % 3 else two).append(drafts(n % 4 + 1))
    report = one.verify()
    assert report.ok
    assert report.events == sum(n % 4 + 1 for n in range(20))


def test_a_lost_head_file_is_made_again(make_log, folder, drafts):
    one, two = make_log(), make_log()
    one.append(drafts(3))
    two.append(drafts(1))
    os.unlink(f"{folder}/events.head")
    one.append(drafts(1))
    two.append(drafts(1))
    assert one.verify().ok
    assert make_log().anchor().events == 6


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"1 2 3\n", b"\0" * 87, b"\0" * 192])
def test_a_broken_head_file_is_ignored(make_log, folder, drafts, content):
    make_log().append(drafts(3))
    Path(folder, "events.head").write_bytes(content)
    log = make_log()
    log.append(drafts(1))
    report = log.verify()
    assert report.ok
    assert log.anchor() == report.head
    assert report.head.events == 4


@pytest.mark.parametrize("number, more", [(1, -5), (1, 5000), (2, 0)])
def test_a_head_file_that_does_not_fit_is_ignored(make_log, folder, drafts, number, more):
    log = make_log()
    log.append(drafts(3))
    HeadFile(folder).write(Tail(number, os.path.getsize(f"{folder}/events.ndjson") + more, 1))
    make_log().append(drafts(1))
    assert log.anchor() == log.verify().head
    assert log.anchor().events == 4


def test_the_head_file_may_be_unwritable(make_log, folder, drafts):
    os.makedirs(f"{folder}/events.head")
    log = make_log()
    log.append(drafts(2))
    log.append(drafts(1))
    report = log.verify()
    assert report.ok
    assert "no head file" in report.notes[0]
    assert log.anchor() == report.head


def test_a_log_that_was_removed_begins_again(log, folder, drafts):
    log.append(drafts(2))
    for name in os.listdir(folder):
        os.unlink(f"{folder}/{name}")
    log.append(drafts(1))
    assert log.verify().events == 1
    assert log.verify().ok


def test_threads_share_one_log(log, drafts):
    def work():
        for _ in range(50):
            log.append(drafts(1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = log.verify()
    assert report.ok
    assert report.events == 200
    assert report.duplicates == 0


def test_a_log_may_be_used_on_both_sides_of_a_fork(log, drafts):
    log.append(drafts(1))
    child = os.fork()
    if child == 0:
        for _ in range(50):
            log.append(drafts(1))
        os._exit(0)
    for _ in range(50):
        log.append(drafts(1))
    assert os.waitpid(child, 0)[1] == 0
    log.append(drafts(1))
    report = log.verify()
    assert report.ok
    assert (report.events, report.duplicates) == (102, 0)


def test_a_held_lock_is_reported_when_patience_ends(make_log, folder, drafts):
    path = os.path.join(os.path.dirname(folder), "state", "locks", "events")
    holder = FileLock(path)
    with holder():
        with pytest.raises(BusyError):
            make_log(lock_timeout=0.01).append(drafts(1))
    holder.release()
    assert make_log(lock_timeout=0.01).append(drafts(1))
    assert os.path.exists(path)


def test_the_lock_may_be_elsewhere(make_log, folder, tmp_path, drafts):
    make_log(lock_path=str(tmp_path / "here" / "lock")).append(drafts(1))
    assert (tmp_path / "here" / "lock").exists()
    assert not (tmp_path / "state").exists()


class TestRefusals:
    @pytest.mark.parametrize("durability", ["full", "process"])
    @pytest.mark.parametrize("point", ["log.append.write", "log.append.before_sync", "log.append.synced"])
    @pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EFBIG", "EMFILE"])
    def test_a_failed_append_leaves_nothing(self, make_log, folder, drafts, durability, point, error):
        log, other = make_log(durability=durability), make_log()
        log.append(drafts(2))
        before = Path(folder, "events.ndjson").read_bytes()
        failpoints.arm(f"{point}={error}")
        with pytest.raises(StorageError) as caught:
            log.append(drafts(3))
        assert str(caught.value) == f"cannot write {folder}/events.ndjson: {os.strerror(getattr(errno, error))}"
        assert Path(folder, "events.ndjson").read_bytes() == before
        log.append(drafts(1))
        other.append(drafts(1))
        assert [record.data["payload"]["n"] for record in log.read()] == [0, 1, 0, 0]
        assert log.verify().ok

    @pytest.mark.parametrize("keep", [0, 1, 100, 300])
    def test_a_short_write_is_cut_back(self, make_log, folder, drafts, keep):
        """A limit on the size of files makes the kernel write a part and then refuse."""
        log = make_log()
        log.append(drafts(2))
        size = os.path.getsize(f"{folder}/events.ndjson")
        code = (
            "import resource, sys\n"
            "from autopilot.errors import StorageError\n"
            "from autopilot.events.log import EventLog\n"
            "from autopilot.models import EventDraft\n"
            f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size + keep}, {resource.RLIM_INFINITY}))\n"
            f"log = EventLog({folder!r}, durability='process')\n"
            "try:\n"
            "    log.append([EventDraft(event_type='a.b', payload={'x': 'y' * 1000})])\n"
            "except StorageError as fault:\n"
            "    sys.exit(0 if 'large' in str(fault) else 3)\n"
            "sys.exit(4)\n"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
        assert os.path.getsize(f"{folder}/events.ndjson") == size
        log.append(drafts(1))
        report = log.verify()
        assert report.ok
        assert report.events == 3

    def test_when_even_cutting_back_fails_the_next_append_heals(self, log, folder, drafts, monkeypatch):
        log.append(drafts(1))

        def refuse(fd, data, name):
            os.write(fd, data[:20])
            raise OSError(errno.EIO, "broken")

        def no_truncate(fd, size):
            raise OSError(errno.EIO, "broken")

        with monkeypatch.context() as patch:
            patch.setattr("autopilot.events.append.write_all", refuse)
            patch.setattr("os.ftruncate", no_truncate)
            with pytest.raises(StorageError):
                log.append(drafts(1))
        log.append(drafts(1))
        assert [record.event.event_type for record in log.read()] == ["task.created", "log.healed", "task.created"]
        assert log.verify().ok

    def test_a_symbolic_link_is_refused(self, make_log, folder, tmp_path, drafts):
        os.makedirs(folder)
        stranger = tmp_path / "stranger"
        stranger.write_bytes(b"precious\n")
        os.symlink(stranger, f"{folder}/events.ndjson")
        log = make_log()
        with pytest.raises(StorageError) as caught:
            log.append(drafts(1))
        assert "symbolic" in caught.value.hint
        with pytest.raises(StorageError, match=f"cannot read {folder}/events.ndjson:"):
            log.tail(1)
        with pytest.raises(StorageError):
            list(log.read())
        assert stranger.read_bytes() == b"precious\n"

    def test_a_linked_folder_is_refused(self, make_log, folder, tmp_path, drafts):
        (tmp_path / "elsewhere").mkdir()
        os.symlink(tmp_path / "elsewhere", folder)
        with pytest.raises(StorageError, match="symbolic link") as caught:
            make_log().append(drafts(1))
        assert "replace it by a real folder" in caught.value.hint
        assert os.listdir(tmp_path / "elsewhere") == []

    def test_a_refusal_is_not_remembered(self, log, folder, tmp_path, drafts):
        log.append(drafts(1))
        os.rename(folder, tmp_path / "moved")
        (tmp_path / "elsewhere").mkdir()
        os.symlink(tmp_path / "elsewhere", folder)
        for _ in range(2):
            with pytest.raises(StorageError, match="symbolic link"):
                log.append(drafts(1))
        os.unlink(folder)
        os.rename(tmp_path / "moved", folder)
        log.append(drafts(1))
        assert [record.event.event_type for record in log.read()] == ["task.created"] * 2

    def test_a_folder_that_cannot_be_made(self, make_log, folder, drafts):
        Path(folder).write_text("a file is in the way")
        with pytest.raises(StorageError):
            make_log().append(drafts(1))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_read_only_folder(self, make_log, folder, drafts):
        make_log().append(drafts(1))
        os.chmod(f"{folder}/events.ndjson", 0o400)
        with pytest.raises(StorageError):
            make_log().append(drafts(1))

    def test_an_interrupt_in_the_middle_is_healed(self, log, folder, drafts, monkeypatch):
        log.append(drafts(1))

        def interrupt(fd, data, name):
            os.write(fd, data[:30])
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("autopilot.events.append.write_all", interrupt)
            with pytest.raises(KeyboardInterrupt):
                log.append(drafts(1))
        log.append(drafts(1))
        assert log.verify().ok
        assert Path(folder, "events.ndjson.torn").stat().st_size == 30


def test_failpoints_name_every_step_of_an_append(log, tmp_path, drafts):
    passes = tmp_path / "passes"
    failpoints.arm("", str(passes))
    log.append(drafts(2))
    assert passes.read_text().split() == ["log.append.write", "log.append.before_sync", "log.append.synced"]


@pytest.fixture
def synced(monkeypatch, folder) -> list[str]:
    """What is fsynced, seen from the log's parent."""
    names: list[str] = []
    here = os.path.dirname(folder)
    monkeypatch.setattr(
        "os.fsync", lambda fd: names.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), here))
    )
    return names


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc to name what is fsynced")
class TestDurability:
    def test_full_covers_names_and_lines(self, make_log, folder, drafts, synced):
        log = make_log(durability="full")
        log.append(drafts(1))
        assert synced == [".", "events", "events/events.ndjson"]
        synced.clear()
        log.append(drafts(5))
        assert synced == ["events/events.ndjson"]
        synced.clear()
        log.rotate()
        assert synced == ["events/events.ndjson", "events", "events/events.ndjson"]
        synced.clear()
        with Path(folder, "events.ndjson").open("ab") as file:
            file.write(b"torn")
        log.append(drafts(1))
        assert synced == ["events/events.ndjson.torn", "events", "events/events.ndjson"]

    def test_process_needs_none(self, make_log, folder, drafts, synced):
        log = make_log()
        log.append(drafts(1))
        log.rotate()
        with Path(folder, "events.ndjson").open("ab") as file:
            file.write(b"torn")
        log.append(drafts(1))
        log.rotate()
        log.gc(keep_bytes=0)
        assert synced == []

    def test_full_leaves_no_gap_where_segments_go(self, make_log, drafts, synced):
        """Each removal is durable before the next; that of the last may be undone, which does no harm."""
        log = make_log(durability="full")
        for _ in range(2):
            log.append(drafts(1))
            log.rotate()
        synced.clear()
        log.gc(keep_bytes=0)
        assert synced == ["events/events.ndjson", "events"]


def test_the_lines_of_other_writers_need_not_be_read(make_log, drafts, monkeypatch):
    one, two = make_log(), make_log()
    one.append(drafts(100))
    two.append(drafts(1))
    read = []
    real = os.pread
    monkeypatch.setattr("os.pread", lambda fd, size, at: read.append(size) or real(fd, size, at))
    for _ in range(3):
        one.append(drafts(1))
        two.append(drafts(1))
    assert sum(read) < 6 * 100, "more than the head file each time"


def test_a_new_writer_reads_the_head_file_and_not_the_log(make_log, drafts, monkeypatch):
    make_log().append(drafts(2000))
    read, real = [], os.pread
    monkeypatch.setattr("os.pread", lambda *given: read.append(real(*given)) or read[-1])
    make_log().append(drafts(1))
    assert sum(map(len, read)) < 50_000


def test_the_limit_of_open_files_is_a_storage_error(make_log, drafts):
    log = make_log()
    with no_more_files(), pytest.raises(StorageError):
        log.append(drafts(1))
    assert log.append(drafts(1))


def test_a_new_log_object_makes_nothing_on_disk(folder):
    log = EventLog(folder)
    assert log.tail(5) == []
    assert list(log.read()) == list(log.lines()) == []
    assert log.end() == "1:0"
    assert log.anchor() is None
    assert log.verify().ok
    log.close()
    assert not os.path.exists(folder)
