from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from autopilot.errors import UsageError
from autopilot.events import segments
from autopilot.events.reader import Reader, cursor_since
from autopilot.models import Event, EventDraft
from autopilot.system.clock import format_instant
from autopilot.system.locks import FileLock


def numbers(records) -> list[int]:
    return [record.data["payload"]["n"] for record in records if record.event.event_type == "task.created"]


def put(log, *values: int, **more) -> None:
    log.append([EventDraft(event_type="task.created", payload={"n": n}) for n in values], **more)


class TestCursors:
    def test_reading_goes_on_where_it_ended(self, log):
        put(log, 0, 1, 2)
        records = list(log.read())
        assert records[-1].cursor == log.end()
        put(log, 3)
        assert numbers(log.read(records[-1].cursor)) == [3]
        assert numbers(log.read(records[0].cursor)) == [1, 2, 3]
        assert numbers(log.read(log.end())) == []

    def test_over_rotations(self, log):
        put(log, 0, 1)
        cursors = [record.cursor for record in log.read()]
        log.rotate()
        put(log, 2)
        log.rotate()
        put(log, 3)
        assert numbers(log.read(cursors[0])) == [1, 2, 3]
        assert numbers(log.read(cursors[1])) == [2, 3]

    def test_past_pruned_segments(self, log):
        put(log, 0, 1)
        cursor = next(iter(log.read())).cursor
        log.rotate()
        put(log, 2)
        log.rotate()
        put(log, 3)
        log.gc(keep_bytes=1)
        assert numbers(log.read(cursor)) == [3]
        assert numbers(log.read("0:0")) == [3]

    def test_of_a_log_that_was_begun_anew(self, log, folder):
        put(log, 0)
        log.rotate()
        put(log, 1)
        cursor = log.end()
        for name in os.listdir(folder):
            os.unlink(f"{folder}/{name}")
        assert list(log.read(cursor)) == []
        put(log, 7)
        assert numbers(log.read(cursor)) == [7]

    def test_inside_a_line_or_beyond_the_end(self, log):
        put(log, 0, 1)
        first = next(iter(log.read()))
        assert numbers(log.read(f"1:{first.end - 5}")) == [0, 1]
        assert numbers(log.read(f"1:{first.end + 5}")) == [1]
        assert numbers(log.read("1:99999999")) == []

    @pytest.mark.parametrize("text", ["x", "1", "1:", ":1", "1:-2", "1:2:3", "-1:2"])
    def test_nonsense_is_refused(self, log, text):
        with pytest.raises(UsageError, match="no cursor") as caught:
            log.read(text)
        assert "an earlier read" in caught.value.hint

    def test_the_end_is_before_a_torn_line(self, log, folder):
        put(log, 0)
        end = log.end()
        with Path(folder, "events.ndjson").open("ab") as file:
            file.write(b"torn")
        assert log.end() == end


class TestSince:
    def test_since_finds_what_is_as_late_over_segments(self, log, clock):
        instants = []
        for n in range(6):
            clock.instant += timedelta(hours=1)
            put(log, n)
            instants.append(clock.instant)
            if n % 2:
                log.rotate()
        for n, instant in enumerate(instants):
            assert numbers(log.read(since=instant)) == list(range(n, 6))
            assert numbers(log.tail(100, since=instant)) == list(range(n, 6))
        assert numbers(log.read(since=clock.instant + timedelta(hours=1))) == []
        assert log.tail(10, since=clock.instant + timedelta(hours=1)) == []

    def test_clocks_that_jump_hide_nothing(self, log, clock):
        start = clock.instant
        for n, hours in enumerate([0, 5, 1, 2, -3, 0]):
            clock.instant = start + timedelta(hours=hours)
            put(log, n)
            log.rotate()
        since = start + timedelta(hours=1)
        assert numbers(log.read(since=since)) == numbers(log.tail(100, since=since)) == [1, 2, 3]

    def test_early_segments_are_not_read(self, log, clock, folder):
        put(log, 0)
        log.rotate()
        clock.instant += timedelta(hours=1)
        put(log, 1)
        since = clock.instant
        log.rotate()
        put(log, 2)
        os.chmod(f"{folder}/events-00000001.ndjson", 0)
        Path(folder, "events-00000001.ndjson").unlink()
        os.mkdir(f"{folder}/events-00000001.ndjson")
        assert numbers(log.read(since=since)) == [1, 2]
        assert numbers(log.tail(9, since=since)) == [1, 2]

    def test_it_begins_at_a_segment(self, log, clock, folder):
        instants = []
        for n in range(3):
            put(log, n)
            instants.append(clock.instant)
            log.rotate()
            clock.instant += timedelta(hours=1)
        later = [*instants[1:], clock.instant, clock.instant + timedelta(hours=9)]
        assert [cursor_since(folder, instant) for instant in instants] == ["1:0", "2:0", "3:0"]
        assert [cursor_since(folder, instant) for instant in later] == ["2:0", "3:0", "4:0", "4:0"]
        log.gc(keep_bytes=0)
        assert [cursor_since(folder, instant) for instant in later] == [None, None, "4:0", "4:0"]
        os.rename(f"{folder}/events.ndjson", f"{folder}/events-00000004.ndjson")
        assert cursor_since(folder, later[-1]) == "4:0"

    def test_a_cursor_is_stronger(self, log, clock):
        put(log, 0, 1)
        since = clock.instant - timedelta(hours=1)
        assert numbers(log.read(log.end(), since=since)) == []


def test_filters_go_together(log):
    put(log, 0, trace_id="a")
    log.append([EventDraft(event_type="dispatch.result", payload={"n": 1})], trace_id="a")
    log.append(
        [Event(id="evt-a.1.1", event_type="task.created", timestamp="2026-01-01T00:00:00Z", payload={"n": 2})]
    )
    put(log, 3, trace_id="b")
    assert numbers(log.read(task="a", types="task.*")) == [0, 2]
    assert [r.event.event_type for r in log.read(task="a")] == ["task.created", "dispatch.result", "task.created"]
    assert numbers(log.tail(1, task="a", types=["task.*", "x.*"])) == [2]


def test_reading_takes_no_lock_and_writes_nothing(log, folder, monkeypatch):
    """P20: all of it goes on while a writer holds the lock."""
    put(log, 0, trace_id="a")
    log.rotate()
    put(log, 1)
    log.close()
    opened = []
    real = os.open

    def watching(path, flags, *more, **named):
        opened.append(path)
        assert flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) == 0, path
        return real(path, flags, *more, **named)

    with FileLock(f"{os.path.dirname(folder)}/state/locks/events")():
        monkeypatch.setattr("os.open", watching)
        monkeypatch.setattr("fcntl.flock", lambda *given: pytest.fail("a reader locks"))
        assert numbers(log.tail(9)) == numbers(log.read("0:0")) == [0, 1]
        assert numbers(log.read(since=log_instant(log))) == numbers(log.tail(1)) == [1]
        assert numbers(log.follow("0:0", task="a", stop=lambda: True)) == [0]
        assert len(list(log.lines())) == 3
        assert log.verify(log.anchor()).ok
        assert log.end().startswith("2:")
        monkeypatch.undo()
    assert len(opened) > 7


def test_lines_that_are_no_events_are_left_out_but_shown_raw(log, folder):
    put(log, 0)
    with Path(folder, "events.ndjson").open("ab") as file:
        file.write(b"junk\n")
    put(log, 1)
    text = Path(folder, "events.ndjson").read_bytes()
    Path(folder, "events.ndjson").write_bytes(text.replace(b'{"id"', b"junk\n" + b'{"id"', 1))
    assert numbers(log.read()) == [0, 1]
    assert numbers(log.tail(10)) == [0, 1]
    assert b"junk" in list(log.lines())


def test_abandoned_readers_give_their_descriptors_back(log):
    put(log, 0, 1, 2)
    log.rotate()
    put(log, 3)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        next(iter(log.read()))
        next(log.lines())
        log.tail(1)
        log.end()
        log.verify()
        list(log.read(since=log_instant(log)))
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def log_instant(log):
    from autopilot.system.clock import parse_instant

    return parse_instant(log.tail(1)[0].event.timestamp)


class Steps:
    """A wait that does one thing at each look at the end, and a stop after the last."""

    def __init__(self, *steps) -> None:
        self._steps = list(steps)

    def stop(self) -> bool:
        return not self._steps

    def wait(self, seconds: float) -> None:
        self._steps.pop(0)()


class Interrupted:
    """A function after whose n-th call something else happens."""

    def __init__(self, real, nth: int, deed) -> None:
        self._real, self._left, self._deed = real, nth, deed

    def __call__(self, *given):
        result = self._real(*given)
        self._left -= 1
        if self._left == 0:
            self._deed()
        return result

    def make_sure(self) -> None:
        if self._left > 0:
            self._deed()


class TestFollow:
    def test_what_is_appended_comes(self, log):
        put(log, 0)
        steps = Steps(lambda: put(log, 1), lambda: None, lambda: put(log, 2, 3))
        assert numbers(log.follow(stop=steps.stop, wait=steps.wait)) == [1, 2, 3]

    def test_from_a_cursor_or_an_instant(self, log, clock):
        put(log, 0)
        steps = Steps(lambda: put(log, 1))
        assert numbers(log.follow("0:0", stop=steps.stop, wait=steps.wait)) == [0, 1]
        since = clock.instant
        put(log, 2)
        steps = Steps(lambda: put(log, 3))
        assert numbers(log.follow(since=since, stop=steps.stop, wait=steps.wait)) == [1, 2, 3]

    def test_before_there_is_a_log(self, log):
        steps = Steps(lambda: None, lambda: put(log, 0))
        assert numbers(log.follow(stop=steps.stop, wait=steps.wait)) == [0]

    def test_over_rotations_and_prunings(self, log):
        def rotate_twice():
            put(log, 1)
            log.rotate()
            put(log, 2)
            log.rotate()
            put(log, 3)

        def prune():
            log.rotate()
            put(log, 4)
            log.gc(keep_bytes=0)

        steps = Steps(lambda: put(log, 0), rotate_twice, prune, lambda: put(log, 5))
        assert numbers(log.follow(stop=steps.stop, wait=steps.wait)) == [0, 1, 2, 3, 4, 5]

    def test_a_rotation_that_crashed_half_way(self, log, folder):
        put(log, 0)

        def crash():
            os.rename(f"{folder}/events.ndjson", f"{folder}/events-00000001.ndjson")

        steps = Steps(lambda: put(log, 1), crash, lambda: None, lambda: put(log, 2))
        assert numbers(log.follow(stop=steps.stop, wait=steps.wait)) == [1, 2]

    def test_a_torn_line_is_waited_for_and_its_healing_seen(self, log, folder):
        put(log, 0)

        def tear():
            with Path(folder, "events.ndjson").open("ab") as file:
                file.write(b'{"id":"evt-torn","event_type":"task.cr')

        steps = Steps(tear, lambda: None, lambda: put(log, 1))
        seen = list(log.follow(stop=steps.stop, wait=steps.wait))
        assert [record.event.event_type for record in seen] == ["log.healed", "task.created"]

    def test_a_line_that_is_cut_back_after_it_was_seen(self, log, folder):
        """An append whose fsync failed is undone; what comes in its place is not missed."""
        put(log, 0)
        path = Path(folder, "events.ndjson")
        size = path.stat().st_size

        def write():
            with path.open("ab") as file:
                file.write(path.read_bytes().replace(b'"n":0', b'"n":9'))

        def undo():
            os.truncate(path, size)

        steps = Steps(write, undo, lambda: put(log, 1, 2))
        assert numbers(log.follow(stop=steps.stop, wait=steps.wait)) == [9, 1, 2]

    @pytest.mark.parametrize("undone", [1, 2, 300])
    def test_lines_that_were_cut_back_and_others_as_long_in_their_place(self, log, folder, undone):
        """The new lines end where the undone ones did: only their bytes tell that there is something new."""
        put(log, 10, 11)
        size = Path(folder, "events.ndjson").stat().st_size
        first, second = range(200, 200 + undone), range(500, 500 + undone)

        def undo():
            os.truncate(f"{folder}/events.ndjson", size)
            Path(folder, "events.head").unlink()
            put(log, *second)

        begin = next(iter(log.read())).cursor
        steps = Steps(lambda: put(log, *first), lambda: None, undo, lambda: None, lambda: put(log, 99))
        seen = numbers(log.follow(begin, stop=steps.stop, wait=steps.wait))
        again = [10, 11] if undone > 256 else []
        assert seen == [11, *first, *again, *second, 99]

    @pytest.mark.parametrize("fragment", [10, 3000, 300_000])
    @pytest.mark.parametrize("nth", range(1, 7))
    def test_a_torn_line_that_is_healed_between_two_reads(self, log, folder, monkeypatch, fragment, nth):
        """Bytes of the fragment and of what comes in its place never make one line."""
        put(log, 0)
        with Path(folder, "events.ndjson").open("ab") as file:
            file.write(b"x" * fragment)
        healing = Interrupted(os.pread, nth, lambda: put(log, *range(1, 40)))
        reader = Reader(folder)
        with monkeypatch.context() as patch:
            patch.setattr("os.pread", healing)
            found = list(reader.records())
        healing.make_sure()
        found += reader.records()
        reader.close()
        assert [record.line for record in found] == list(log.lines())
        assert numbers(found) == list(range(40))

    def test_by_default_it_polls(self, log):
        put(log, 0)
        writer = threading.Timer(0.15, lambda: put(log, 1))
        writer.start()
        assert numbers([next(iter(log.follow(poll_s=0.01)))]) == [1]
        writer.join()


def test_instants_in_other_forms_are_brought_to_one_for_since(log, clock):
    odd = format_instant(clock.instant + timedelta(hours=2)).replace("Z", "+00:00")
    log.append([Event(id="evt-x", event_type="task.created", timestamp=odd, payload={"n": 5})])
    assert numbers(log.read(since=clock.instant + timedelta(hours=1))) == [5]


def test_since_without_a_log(log):
    assert list(log.read(since=log._clock.now())) == []


def test_a_reader_tells_where_it_is(log, folder):
    reader = Reader(folder)
    assert reader.cursor == "0:0"
    put(log, 0, 1)
    assert len(list(reader.records())) == 2
    assert reader.cursor == log.end()
    reader.close()
    put(log, 2)
    assert numbers(reader.records()) == [2]
    os.rename(f"{folder}/events.ndjson", f"{folder}/events-00000001.ndjson")
    assert list(reader.records()) == []
    assert reader.cursor == log.end() == "2:0"
    reader.close()


def test_segments_that_vanish_while_they_are_looked_for(log, folder, monkeypatch):
    """Pruned between the listing and the opening: the next one is taken."""
    put(log, 0)
    log.rotate()
    put(log, 1)
    log.rotate()
    put(log, 2)
    real = segments.open_reading

    def vanishing(path):
        if path.endswith("events-00000001.ndjson"):
            Path(path).unlink(missing_ok=True)
        return real(path)

    monkeypatch.setattr(segments, "open_reading", vanishing)
    monkeypatch.setattr("autopilot.events.tail.open_reading", vanishing)
    assert numbers(log.read()) == [1, 2]
    os.rename(f"{folder}/events.ndjson", f"{folder}/events-00000003.ndjson")
    assert numbers(log.read()) == [1, 2]
    assert numbers(log.tail(9)) == [1, 2]


def test_what_is_written_just_before_a_rotation_is_not_missed(log, folder, monkeypatch):
    """Between the reader's look at the end of a segment and its look whether that is still the newest."""
    put(log, 0)
    real, once = Reader._is_newest, [True]

    def racing(self) -> bool:
        if once:
            once.pop()
            put(log, 1)
            log.rotate()
            put(log, 2)
        return real(self)

    monkeypatch.setattr(Reader, "_is_newest", racing)
    assert numbers(log.read()) == [0, 1, 2]
