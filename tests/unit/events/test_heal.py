from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from autopilot.errors import StorageError
from autopilot.system import failpoints

TORN = b'{"id":"evt-never","event_type":"task.cre'


def newest(folder: str) -> Path:
    return Path(folder, "events.ndjson")


def tear(folder: str, fragment: bytes = TORN) -> None:
    with newest(folder).open("ab") as file:
        file.write(fragment)


def types(log) -> list[str]:
    return [record.event.event_type for record in log.read()]


def test_a_torn_end_is_moved_aside_before_the_append(make_log, folder, drafts):
    log = make_log()
    log.append(drafts(1))
    tear(folder)
    seen = []
    make_log(on_appended=seen.extend).append(drafts(1))
    assert types(log) == ["task.created", "log.healed", "task.created"]
    healed = log.tail(2)[0].event
    assert healed.payload == {
        "segment": 1,
        "bytes": len(TORN),
        "sha256": hashlib.sha256(TORN).hexdigest(),
        "missing_events": 0,
    }
    assert Path(folder, "events.ndjson.torn").read_bytes() == TORN
    assert [event.event_type for event in seen] == ["log.healed", "task.created"]
    report = log.verify()
    assert report.ok
    assert report.notes == ("events.ndjson:2: a fragment of 40 bytes was healed",)


def test_readers_ignore_a_torn_end_and_change_nothing(log, folder, drafts):
    log.append(drafts(3))
    end = log.end()
    tear(folder)
    before = newest(folder).read_bytes()
    assert len(log.tail(10)) == len(list(log.read())) == len(list(log.lines())) == 3
    assert log.end() == end
    report = log.verify()
    assert report.ok
    assert f"torn line of {len(TORN)} bytes" in report.notes[0]
    assert newest(folder).read_bytes() == before


def test_a_writer_that_remembers_the_end_sees_the_tear_as_well(log, folder, drafts):
    log.append(drafts(1))
    tear(folder)
    log.append(drafts(1))
    assert types(log) == ["task.created", "log.healed", "task.created"]


def test_every_fragment_is_kept(log, folder, drafts):
    for n in range(3):
        log.append(drafts(1))
        tear(folder, b"fragment %d" % n)
    log.append(drafts(1))
    assert Path(folder, "events.ndjson.torn").read_bytes() == b"fragment 0fragment 1fragment 2"
    assert types(log).count("log.healed") == 3
    assert log.verify().ok


def test_a_fragment_longer_than_the_event_that_replaces_it(log, folder, drafts):
    log.append(drafts(1))
    tear(folder, b"x" * 3_000_000)
    log.append(drafts(1))
    assert types(log) == ["task.created", "log.healed", "task.created"]
    assert newest(folder).stat().st_size < 3000
    assert Path(folder, "events.ndjson.torn").stat().st_size == 3_000_000


@pytest.mark.parametrize(
    "garbage", [b"\0" * 5000, b"\0" * 5000 + b"\n", b'"half" a line}\n\n\n', b"\n", b"[]\n{}"]
)
def test_what_a_power_cut_leaves_is_moved_aside(log, make_log, folder, drafts, garbage):
    log.append(drafts(2))
    tear(folder, garbage)
    other = make_log()
    other.append(drafts(1))
    assert types(log) == ["task.created", "task.created", "log.healed", "task.created"]
    assert Path(folder, "events.ndjson.torn").read_bytes() == garbage
    assert log.verify().ok


def test_a_first_line_that_never_ended(make_log, folder, drafts):
    os.makedirs(folder)
    newest(folder).write_bytes(TORN)
    log = make_log()
    log.append(drafts(1))
    assert types(log) == ["log.healed", "task.created"]
    assert log.verify().ok


def test_acknowledged_lines_that_are_gone_are_told_of(make_log, folder, drafts):
    log = make_log()
    log.append(drafts(2))
    size = newest(folder).stat().st_size
    log.append(drafts(3))
    os.truncate(newest(folder), size + 10)
    assert not log.verify().ok
    fresh = make_log()
    fresh.append(drafts(1))
    healed = fresh.tail(2)[0].event
    assert (healed.event_type, healed.payload["bytes"], healed.payload["missing_events"]) == ("log.healed", 10, 3)
    report = fresh.verify()
    assert report.ok
    assert "3 acknowledged events were missing" in report.notes[0]


def test_a_cut_at_a_line_end_is_told_of_as_well(make_log, folder, drafts):
    log = make_log()
    log.append(drafts(2))
    size = newest(folder).stat().st_size
    log.append(drafts(3))
    log.close()
    os.truncate(newest(folder), size)
    log.append(drafts(1))
    assert types(log)[2] == "log.healed"
    assert log.tail(2)[0].data["payload"]["missing_events"] == 3
    assert not Path(folder, "events.ndjson.torn").exists()


def test_lines_of_a_writer_that_died_before_it_noted_them_stay(make_log, folder, drafts):
    """Killed between the write and the head file: the line is whole, so it counts."""
    log = make_log()
    log.append(drafts(2))
    head = Path(folder, "events.head").read_bytes()
    log.append(drafts(3))
    Path(folder, "events.head").write_bytes(head)
    fresh = make_log()
    fresh.append(drafts(1))
    assert types(fresh) == ["task.created"] * 6
    assert fresh.anchor().events == 6
    assert fresh.verify().ok


class Crash(BaseException):
    """What a kill looks like from inside: nothing runs after it."""


@pytest.mark.parametrize("point", ["log.heal.side", "log.heal.write", "log.heal.truncate"])
@pytest.mark.parametrize("part", [0, 1, -1, None])
@pytest.mark.parametrize("fragment", [b"short", b"long" * 1000])
def test_a_crash_while_healing_is_healed_and_always_told(
    make_log, folder, drafts, monkeypatch, point, part, fragment
):
    log = make_log()
    log.append(drafts(2))
    tear(folder, fragment)

    def write(fd, data, name):
        if name == point:
            os.write(fd, data if part is None else data[:part])
            raise Crash
        os.write(fd, data)

    def reach(name):
        if name == point:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr("autopilot.events.heal.write_all", write)
        patch.setattr("autopilot.events.heal.failpoint", reach)
        with pytest.raises(Crash):
            make_log().append(drafts(1))
    assert [record.data["payload"].get("n") for record in log.read(types="task.created")] == [0, 1]
    make_log().append(drafts(1))
    assert [record.data["payload"].get("n") for record in log.read(types="task.created")] == [0, 1, 0]
    healed = [record.data["payload"]["sha256"] for record in log.read(types="log.healed")]
    assert hashlib.sha256(fragment).hexdigest() in healed or (point == "log.heal.write" and healed)
    assert fragment in Path(folder, "events.ndjson.torn").read_bytes()
    assert log.verify().ok


@pytest.mark.parametrize("point", ["log.heal.side", "log.heal.write", "log.heal.truncate"])
def test_a_full_disk_while_healing_loses_nothing(make_log, folder, drafts, point):
    log = make_log(durability="full")
    log.append(drafts(2))
    tear(folder)
    failpoints.arm(f"{point}=ENOSPC")
    with pytest.raises(StorageError, match="No space left"):
        log.append(drafts(1))
    failpoints.disarm()
    log.append(drafts(1))
    assert [record.data["payload"].get("n") for record in log.read(types="task.created")] == [0, 1, 0]
    assert TORN in Path(folder, "events.ndjson.torn").read_bytes()
    assert "log.healed" in types(log)
    assert log.verify().ok
