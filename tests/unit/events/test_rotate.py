from __future__ import annotations

import hashlib
import json
import os
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from autopilot.errors import StorageError
from autopilot.events import rotate
from autopilot.models import Event
from autopilot.system import failpoints


def names(folder: str) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name.endswith(".ndjson"))


def numbers(log) -> list[int]:
    return [record.data["payload"]["n"] for record in log.read(types="task.created")]


def fill(log, drafts, count: int) -> None:
    for n in range(count):
        (draft,) = drafts(1)
        draft.payload["n"] = n
        log.append([draft])


def test_a_full_segment_is_closed_and_the_chain_goes_on(make_log, folder, drafts):
    log = make_log(segment_bytes=1000)
    fill(log, drafts, 12)
    assert names(folder) == [f"events-0000000{n}.ndjson" for n in range(1, len(names(folder)))] + ["events.ndjson"]
    assert len(names(folder)) > 3
    for name in names(folder)[1:]:
        first = json.loads(Path(folder, name).read_bytes().split(b"\n")[0])
        previous = Path(folder, first["payload"]["previous"]).read_bytes().split(b"\n")[:-1]
        assert first["event_type"] == "log.rotated"
        assert first["prev"] == first["payload"]["head"] == hashlib.sha256(previous[-1]).hexdigest()
    assert numbers(log) == list(range(12))
    report = log.verify()
    assert report.ok
    assert report.head == log.anchor()
    assert report.head.events == report.events == 12 + len(names(folder)) - 1


@pytest.mark.parametrize("more, closed", [(0, ["events-00000001.ndjson"]), (1, [])])
def test_a_segment_is_full_at_its_size(log, make_log, folder, drafts, more, closed):
    log.append(drafts(1))
    make_log(segment_bytes=os.path.getsize(f"{folder}/events.ndjson") + more).append(drafts(1))
    assert names(folder) == [*closed, "events.ndjson"]


def test_writers_follow_a_rotation_by_others(make_log, folder, drafts):
    one, two = make_log(), make_log()
    one.append(drafts(1))
    two.append(drafts(1))
    one.rotate()
    two.append(drafts(1))
    one.append(drafts(1))
    assert names(folder) == ["events-00000001.ndjson", "events.ndjson"]
    assert numbers(one) == [0, 0, 0, 0]
    assert one.verify().ok


def test_rotating_tells_sinks_and_an_empty_log_is_not_rotated(make_log, folder, drafts):
    seen = []
    log = make_log(on_appended=seen.extend, source="user")
    log.rotate()
    assert log.verify().events == 0
    log.append(drafts(1))
    log.rotate()
    assert [event.event_type for event in seen] == ["task.created", "log.rotated"]
    assert [event.source for event in seen] == ["user", "autopilot"]
    assert seen[1].payload["latest"] == seen[0].timestamp
    assert seen[1].payload["events"] == 1


class Crash(BaseException):
    pass


@pytest.mark.parametrize("point", ["log.rotate.rename", "log.rotate.first"])
@pytest.mark.parametrize("head", ["kept", "lost"])
def test_a_crash_while_rotating_is_finished_by_the_next_append(make_log, folder, drafts, monkeypatch, point, head):
    log = make_log()
    log.append(drafts(3))

    def reach(name):
        if name == point:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("autopilot.events.append.failpoint", reach)
        patch.setattr("autopilot.events.rotate.failpoint", reach)
        with pytest.raises(Crash):
            log.rotate()
    assert len(log.tail(10)) == 3
    assert log.verify().ok
    end = log.end()
    if head == "lost":
        os.unlink(f"{folder}/events.head")
    make_log().append(drafts(1))
    assert numbers(log) == [0, 1, 2, 0]
    report = log.verify()
    assert report.ok
    assert report.head == log.anchor()
    assert [record.data["payload"]["n"] for record in log.read(end, types="task.created")] == [0]


@pytest.mark.parametrize("newest", ["missing", "empty"])
def test_an_empty_newest_segment_does_not_begin_the_chain_anew(make_log, folder, drafts, newest):
    log = make_log()
    log.append(drafts(2))
    os.rename(f"{folder}/events.ndjson", f"{folder}/events-00000001.ndjson")
    if newest == "empty":
        Path(folder, "events.ndjson").touch()
    assert log.end() == "2:0"
    log.append(drafts(1))
    first = log.tail(2)[0].event
    assert first.event_type == "log.rotated"
    assert first.prev != "0" * 64
    assert log.verify().ok


def test_a_name_that_is_taken_is_not_overwritten(make_log, folder, drafts):
    log = make_log(segment_bytes=500)
    log.append(drafts(1))
    Path(folder, "events-00000001.ndjson").write_text("somebody's backup\n")
    fill(log, drafts, 5)
    log.rotate()
    assert Path(folder, "events-00000001.ndjson").read_text() == "somebody's backup\n"
    assert names(folder) == ["events-00000001.ndjson", "events.ndjson"]


def test_a_second_copy_of_the_newest_is_not_read(log, folder, drafts, clock):
    log.append(drafts(1))
    since = clock.instant
    log.rotate()
    log.append(drafts(2))
    shutil.copy(f"{folder}/events.ndjson", f"{folder}/events-00000002.ndjson")
    assert numbers(log) == [0, 0, 1]
    assert len(log.tail(9)) == len(list(log.read(since=since))) == 4


@pytest.mark.parametrize("point", ["log.rotate.rename", "log.rotate.first"])
def test_a_full_disk_while_rotating(make_log, folder, drafts, point):
    log = make_log(segment_bytes=400, durability="full")
    fill(log, drafts, 2)
    failpoints.arm(f"{point}=ENOSPC")
    with pytest.raises(StorageError):
        log.append(drafts(1))
    failpoints.disarm()
    fill(log, drafts, 3)
    assert numbers(log) == [0, 1, 0, 1, 2]
    assert log.verify().ok


def test_fragments_stay_with_their_segment(make_log, folder, drafts):
    log = make_log()
    log.append(drafts(1))
    with Path(folder, "events.ndjson").open("ab") as file:
        file.write(b"torn")
    log.append(drafts(1))
    log.rotate()
    assert Path(folder, "events-00000001.ndjson.torn").read_bytes() == b"torn"
    log.gc(keep_bytes=0)
    assert not Path(folder, "events-00000001.ndjson.torn").exists()


class TestGc:
    @pytest.fixture
    def full(self, make_log, drafts):
        log = make_log(segment_bytes=1000)
        fill(log, drafts, 15)
        return log

    def test_nothing_is_removed_without_a_rule_or_need(self, full, folder):
        before = names(folder)
        assert full.gc().removed == ()
        assert full.gc(older_than_days=1).removed == ()
        assert full.gc(keep_bytes=10**9).removed == ()
        assert names(folder) == before

    def test_old_segments_go_whole_and_verify_begins_after_them(self, full, folder, clock):
        before = names(folder)
        anchor = full.anchor()
        clock.instant += timedelta(days=10)
        report = full.gc(older_than_days=9)
        assert list(report.removed) == before[:-1]
        assert names(folder)[-1] == "events.ndjson"
        assert report.events == sum(item["events"] for item in full.tail(1)[0].data["payload"]["removed"][-1:])
        assert report.bytes == full.tail(1)[0].data["payload"]["bytes"] > 0
        assert [item["file"] for item in full.tail(1)[0].data["payload"]["removed"]] == before[:-1]
        verified = full.verify(anchor)
        assert verified.ok, verified
        assert any("pruned by policy" in note for note in verified.notes)
        assert verified.head == full.anchor()

    def test_what_stays_is_not_rewritten(self, full, folder):
        before = {path.name: path.read_bytes() for path in Path(folder).glob("*.ndjson")}
        full.gc(keep_bytes=2500)
        left = names(folder)
        assert len(left) < len(before)
        for name in left:
            assert Path(folder, name).read_bytes().startswith(before[name])
        assert [Path(folder, name).read_bytes() for name in left[:-1]] == [before[name] for name in left[:-1]]

    def test_a_size_to_keep(self, full, folder):
        sizes = {name: os.path.getsize(f"{folder}/{name}") for name in names(folder)}
        report = full.gc(keep_bytes=2500)
        left = sum(size for name, size in sizes.items() if name not in report.removed)
        assert left >= 2500
        assert left - sizes[sorted(set(sizes) - set(report.removed))[0]] < 2500
        assert numbers(full) == list(range(numbers(full)[0], 15))
        assert full.verify().ok

    @pytest.mark.parametrize("more, removed", [(0, 2), (1, 1)])
    def test_a_size_to_keep_is_kept_to_the_byte(self, full, folder, more, removed):
        sizes = [os.path.getsize(f"{folder}/{name}") for name in names(folder)]
        assert len(full.gc(keep_bytes=sum(sizes[2:]) + more).removed) == removed

    def test_the_event_tells_what_went(self, make_log, folder, drafts):
        log = make_log()
        anchors, size = [], 0
        for count in (2, 1):
            log.append(drafts(count))
            anchors.append(log.anchor())
            size += os.path.getsize(f"{folder}/events.ndjson")
            log.rotate()
        log.gc(keep_bytes=0)
        assert log.tail(1)[0].data["payload"] == {
            "removed": [
                {"segment": n, "file": f"events-0000000{n}.ndjson", "events": anchor.events, "head": anchor.digest}
                for n, anchor in enumerate(anchors, 1)
            ],
            "bytes": size,
            "reason": "beyond 0 bytes",
        }

    @pytest.mark.parametrize("head", ["kept", "lost"])
    def test_another_writer_goes_on_after_a_collection(self, full, make_log, folder, drafts, head):
        full.gc(keep_bytes=0)
        before, number = full.anchor(), full.end().partition(":")[0]
        if head == "lost":
            os.unlink(f"{folder}/events.head")
        log = make_log()
        log.append(drafts(1))
        assert log.anchor() == log.verify().head
        assert log.anchor().events == before.events + 1
        log.rotate()
        assert names(folder) == [f"events-{number:>08}.ndjson", "events.ndjson"]

    def test_young_segments_keep_old_ones_behind_them_only(self, full, folder, clock):
        clock.instant += timedelta(days=10)
        full.append([Event(id="evt-late", event_type="a.b", timestamp="2026-11-22T00:00:00.000000Z")])
        full.rotate()
        assert full.gc(older_than_days=5).removed[-1] < names(folder)[0]
        assert full.verify().ok

    def test_pruning_twice_and_an_old_anchor(self, full, drafts, make_log):
        early = make_log().verify().head
        full.gc(keep_bytes=2000)
        fill(full, drafts, 10)
        full.gc(keep_bytes=500)
        report = full.verify(early)
        assert [fault.message for fault in report.faults] == [
            f"event {early.events} was anchored, and has been pruned since: use a later anchor"
        ]
        assert full.verify(full.anchor()).ok

    def test_the_event_comes_first_so_that_a_crash_explains_itself(self, full, folder, monkeypatch):
        before = names(folder)
        left = 2

        def reach(name):
            nonlocal left
            if name == "log.gc.unlink":
                left -= 1
                if not left:
                    raise Crash

        with monkeypatch.context() as patch:
            patch.setattr("autopilot.events.rotate.failpoint", reach)
            with pytest.raises(Crash):
                full.gc(keep_bytes=0)
        assert set(before) - set(names(folder)) == {before[0]}
        assert full.verify().ok
        full.gc(keep_bytes=0)
        assert names(folder) == ["events.ndjson"]
        assert full.verify().ok

    def test_an_event_without_a_removal_hides_no_earlier_one(self, full, folder):
        full.gc(keep_bytes=2500)
        left = names(folder)
        failpoints.arm("log.gc.unlink=EIO")
        with pytest.raises(StorageError):
            full.gc(keep_bytes=0)
        assert set(left) <= set(names(folder))
        assert full.verify().ok

    def test_sinks_are_told(self, make_log, drafts, clock):
        seen = []
        log = make_log(on_appended=seen.extend, segment_bytes=300)
        fill(log, drafts, 4)
        log.gc(keep_bytes=0)
        assert seen[-1].event_type == "log.pruned"
        assert seen[-1].payload["reason"] == "beyond 0 bytes"

    def test_sinks_are_told_of_what_was_mended_first_as_well(self, full, make_log, folder):
        with Path(folder, "events.ndjson").open("ab") as file:
            file.write(b"torn")
        seen = []
        make_log(on_appended=seen.extend).gc(keep_bytes=0)
        assert [event.event_type for event in seen] == ["log.healed", "log.pruned"]

    def test_gc_of_an_empty_log(self, log):
        assert log.gc(keep_bytes=0, older_than_days=0).removed == ()

    def test_absurd_ages_do_no_harm(self, full):
        assert full.gc(older_than_days=1e12).removed == ()

    def test_every_collection_counts_its_own(self, full, folder):
        for keep in (2500, 0):
            full.rotate()
            lines = {name: Path(folder, name).read_bytes().count(b"\n") for name in names(folder)}
            report = full.gc(keep_bytes=keep)
            assert report.events == sum(lines[name] for name in report.removed) > 0

    def test_an_age_is_reached_when_it_is_past(self, make_log, drafts, clock, folder):
        log = make_log()
        log.append(drafts(1))
        latest = clock.instant
        log.rotate()
        clock.now = lambda: latest + timedelta(days=1)
        assert log.gc(older_than_days=1).removed == ()
        clock.now = lambda: latest + timedelta(days=1, microseconds=1)
        assert log.gc(older_than_days=1).removed == ("events-00000001.ndjson",)

    def test_a_clock_that_was_ahead_once_does_not_stop_it(self, make_log, drafts, clock, folder):
        log = make_log()
        begun = clock.instant
        left = []
        for month in range(24):
            clock.instant = begun + timedelta(days=30 * month)
            if month == 1:
                clock.instant += timedelta(days=3650)
                log.append(drafts(1))
                log.rotate()
                log.append(drafts(1))
                clock.instant -= timedelta(days=3650)
            log.append(drafts(1))
            log.rotate()
            log.gc(older_than_days=30)
            left.append(len(names(folder)))
        assert max(left) <= 5
        assert log.verify().ok

    def test_a_clock_that_was_behind_makes_nothing_older(self, make_log, drafts, clock, folder):
        log = make_log()
        log.append(drafts(1))
        begun = clock.instant
        clock.instant -= timedelta(days=3650)
        log.rotate()
        assert log.gc(older_than_days=30).removed == ()
        clock.instant = begun + timedelta(days=29)
        assert log.gc(older_than_days=30).removed == ()

    def test_both_rules_are_named(self, full):
        full.gc(older_than_days=1.5, keep_bytes=10)
        assert full.tail(1)[0].data["payload"]["reason"] == "older than 1.5 days or beyond 10 bytes"

    def test_a_segment_whose_begin_is_unreadable_stops_the_collection(self, full, folder):
        path = Path(folder, names(folder)[2])
        path.write_bytes(b"x" + path.read_bytes()[1:])
        assert list(full.gc(keep_bytes=0).removed) == ["events-00000001.ndjson"]

    def test_a_segment_that_a_hand_removes_meanwhile_stops_the_collection(self, full, folder, monkeypatch):
        second = names(folder)[1]
        real = rotate.open_reading

        def removing(path):
            if path.endswith(second):
                Path(path).unlink(missing_ok=True)
            return real(path)

        monkeypatch.setattr(rotate, "open_reading", removing)
        assert full.gc(keep_bytes=0).removed == ()

    def test_a_full_disk_removes_nothing(self, full, folder):
        before = names(folder)
        failpoints.arm("log.append.write=ENOSPC@1")
        with pytest.raises(StorageError):
            full.gc(keep_bytes=0)
        assert names(folder) == before
