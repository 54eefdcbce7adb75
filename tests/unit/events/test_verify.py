from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autopilot.errors import UsageError
from autopilot.events.head import Anchor, HeadFile
from autopilot.events.verify import verify
from autopilot.models import Event, EventDraft


@pytest.fixture
def sample(make_log, folder):
    """A log of three segments: (log, anchor half-way)."""
    log = make_log()
    log.append(
        [EventDraft(event_type="task.created", payload={"n": n, "text": "grüße"}) for n in range(3)], trace_id="a"
    )
    log.rotate()
    log.append([EventDraft(event_type="task.done", payload={"ok": True})], trace_id="a")
    anchor = log.verify().head
    log.rotate()
    log.append([EventDraft(event_type="a.b"), EventDraft(event_type="c.d")])
    assert log.verify(anchor).ok
    return log, anchor


def paths(folder: str) -> list[Path]:
    return [*sorted(Path(folder).glob("events-*.ndjson")), Path(folder, "events.ndjson")]


def messages(report) -> str:
    return "\n".join(f"{fault.segment}:{fault.line}: {fault.message}" for fault in report.faults)


def test_a_whole_log(sample):
    log, _ = sample
    report = log.verify()
    assert report.ok
    assert (report.segments, report.events, report.duplicates, report.faults, report.notes) == (3, 8, 0, (), ())
    assert report.head == log.anchor()


def test_a_forged_line_in_the_middle_is_found(sample, folder):
    path = paths(folder)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    forged = json.loads(lines[1])
    forged["payload"]["n"] = 99
    path.write_bytes(lines[0] + json.dumps(forged).encode() + b"\n" + lines[2])
    report = verify(folder)
    assert "prev" in messages(report)
    assert report.faults[0].line == 3


def test_a_forged_last_line_is_found_by_the_head_file(sample, folder):
    path = paths(folder)[-1]
    path.write_bytes(path.read_bytes().replace(b'"c.d"', b'"x.y"'))
    assert messages(verify(folder)) == (
        "events.ndjson:3: this line is not the one that the head file has recorded: one of them was changed"
    )


def test_a_first_line_that_is_none_is_one_fault(log, folder):
    log.append([EventDraft(event_type="a.b")] * 3)
    path = Path(folder, "events.ndjson")
    first, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(b"x" * len(first) + b"\n" + rest)
    assert [(fault.line, fault.message[:12]) for fault in verify(folder).faults] == [
        (1, "not an event"),
        (2, "`prev` is no"),
    ]


def test_a_segment_that_claims_to_begin_elsewhere_is_found(sample, folder):
    path = paths(folder)[1]
    path.write_bytes(path.read_bytes().replace(b'"events":3', b'"events":4', 1))
    found = messages(verify(folder))
    assert "events-00000002.ndjson:1: the first line does not begin segment 2 where the one before ended" in found


def test_a_first_segment_without_its_first_line_is_found(log, folder):
    log.append([EventDraft(event_type="a.b")] * 2)
    path = Path(folder, "events.ndjson")
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    assert "the log begins with segment 1, and no `log.pruned` event" in messages(verify(folder))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_missing_segment_is_found(sample, folder, index):
    paths(folder)[index].unlink()
    assert not verify(folder).ok
    assert ("segment 3 follows on 1:" in messages(verify(folder))) is (index == 1)


def test_swapped_segments_are_found(sample, folder):
    one, two, _ = paths(folder)
    one.rename(f"{folder}/x")
    two.rename(one)
    Path(folder, "x").rename(two)
    report = verify(folder)
    assert "of another segment" in messages(report)


def test_a_second_copy_of_a_segment_is_found(sample, folder):
    Path(folder, "events-00000003.ndjson").write_bytes(paths(folder)[-1].read_bytes())
    assert "is there twice" in messages(verify(folder))


def test_a_torn_closed_segment_is_found(sample, folder):
    with paths(folder)[0].open("ab") as file:
        file.write(b"torn")
    assert "torn line of 4 bytes" in messages(verify(folder))


class TestCuts:
    def test_by_the_head_file(self, sample, folder):
        path = paths(folder)[-1]
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:-1]))
        assert "no line ends where the last of them did" in messages(verify(folder))

    def test_to_nothing(self, log, folder):
        log.append([EventDraft(event_type="a.b")])
        os.truncate(f"{folder}/events.ndjson", 0)
        assert "has recorded 1 events, and no line ends" in messages(log.verify())

    def test_by_an_anchor_where_the_head_file_is_gone(self, sample, folder):
        log, _ = sample
        anchor = log.anchor()
        path = paths(folder)[-1]
        lines = path.read_bytes().splitlines(keepends=True)
        for keep in range(len(lines)):
            path.write_bytes(b"".join(lines[:keep]))
            Path(folder, "events.head").unlink(missing_ok=True)
            cut = verify(folder, anchor)
            assert "the log was cut" in messages(cut), keep
            assert verify(folder).ok, "without an anchor a cut at a line's end cannot be told"

    def test_a_log_rewritten_before_the_anchor(self, sample, folder, make_log):
        _, anchor = sample
        for path in Path(folder).iterdir():
            path.unlink()
        forged = make_log()
        forged.append([EventDraft(event_type="task.created")] * 20)
        assert verify(folder).ok
        assert "the log was rewritten" in messages(verify(folder, anchor))

    def test_a_log_that_is_gone(self, sample, folder):
        _, anchor = sample
        for path in Path(folder).iterdir():
            path.unlink()
        cut = f"events.ndjson:0: the log was cut: {anchor.events} events were anchored, 0 are there"
        assert messages(verify(folder, anchor)) == cut

    def test_an_anchor_is_what_was_written_and_not_what_is_left(self, sample, folder):
        log, _ = sample
        anchor = log.anchor()
        paths(folder)[-1].write_bytes(b"")
        assert log.anchor() == anchor

    def test_removed_segments_need_a_pruning(self, sample, folder):
        paths(folder)[0].unlink()
        assert "no `log.pruned` event" in messages(verify(folder))

    def test_a_rewritten_last_line_without_head_file_is_noted(self, sample, folder):
        Path(folder, "events.head").unlink()
        assert any("no head file" in note for note in verify(folder).notes)


class TestHeadFile:
    @pytest.mark.parametrize("left", [b"junk", b"X\0X"])
    def test_a_damaged_one_is_a_fault_until_the_next_append(self, sample, folder, left):
        log, _ = sample
        Path(folder, "events.head").write_bytes(left)
        report = log.verify()
        assert messages(report) == "events.ndjson:0: the head file is damaged: no writer leaves it like that"
        log.append([EventDraft(event_type="a.b")])
        assert log.verify().ok

    @pytest.mark.parametrize("left", [b"", b"\0" * 87, b"\0" * 4096])
    def test_what_a_power_cut_leaves_of_it_is_none(self, sample, folder, left):
        Path(folder, "events.head").write_bytes(left)
        report = verify(folder)
        assert report.ok
        assert "there is no head file" in report.notes[0]

    def test_one_that_is_being_written_is_not_damaged(self, sample, folder, monkeypatch):
        whole = Path(folder, "events.head").read_bytes()
        reads = iter([whole[:50] + b"\0" * 41, whole[:50] + b"\0" * 41, whole])
        monkeypatch.setattr(HeadFile, "_bytes", lambda self: next(reads))
        assert verify(folder).ok

    def test_one_from_before_a_pruning_vouches_for_nothing(self, sample, folder):
        """As after a power cut: it is not fsynced."""
        log, _ = sample
        old = Path(folder, "events.head").read_bytes()
        log.rotate()
        log.gc(keep_bytes=0)
        Path(folder, "events.head").write_bytes(old)
        report = verify(folder)
        assert report.ok
        assert any("older than what is left" in note for note in report.notes)


def test_a_first_event_may_have_keys_like_those_of_a_rotation(log):
    log.append([EventDraft(event_type="a.b", payload={"segment": 9, "events": 3, "latest": "x"})])
    log.rotate()
    assert log.verify().ok


def test_the_latest_instant_may_be_in_what_was_pruned(log):
    """A clock was ahead, and the start of each segment tells of it for ever."""
    log.append([Event(id="evt-late", event_type="a.b", timestamp="2999-01-01T00:00:00.000000Z")])
    log.rotate()
    log.gc(keep_bytes=0)
    log.rotate()
    report = log.verify()
    assert report.ok, report.faults


def test_the_last_pruned_event_may_be_the_anchor(sample, folder):
    """The first line that is left names its hash."""
    log, _ = sample
    head = log.anchor()
    log.rotate()
    log.gc(keep_bytes=0)
    assert verify(folder, head).ok
    forged = Anchor(events=head.events, digest="0" * 64)
    assert "the log was rewritten" in messages(verify(folder, forged))


def test_anchors_have_a_text(sample):
    _, anchor = sample
    assert Anchor.parse(str(anchor)) == Anchor.parse(f" {anchor}\n") == anchor
    for text in ("", "5", "x:" + "0" * 64, "5:abc", "5:" + "G" * 64, "5:" + "A" * 64):
        with pytest.raises(UsageError, match="no anchor") as caught:
            Anchor.parse(text)
        assert "`<events>:<sha256>`" in caught.value.hint


def test_repeated_events_are_in_order(log):
    event = Event(id="evt-a.1.1", event_type="task.done", timestamp="2026-01-01T00:00:00Z")
    log.append([event, event])
    log.append([event])
    report = log.verify()
    assert report.ok
    assert report.duplicates == 2


def hostile(event_type: str, payload: str, rest: str = '"source":"s","trace_id":null,"prev":"x"') -> bytes:
    return f'{{"id":"a","event_type":"{event_type}","timestamp":"t","payload":{payload},{rest}}}'.encode()


def test_faults_of_shape_name_the_keys(sample, folder):
    path = paths(folder)[-1]
    path.write_bytes(path.read_bytes() + hostile("b.c", "{}", '"source":1,"trace_id":7,"prev":"x"') + b"\n")
    assert "not an event: source, trace_id missing or of the wrong kind" in messages(verify(folder))


@pytest.mark.parametrize(
    "line",
    [
        b"junk",
        hostile("b.c", "{}", '"source":"s"'),
        hostile("b.c", "{}", '"source":"s","trace_id":7,"prev":"x"'),
        hostile("b.c", "{}", '"source":1,"trace_id":null,"prev":"x"'),
        hostile("log.rotated", '{"segment":"x","events":"y"}'),
        hostile("log.rotated", '{"segment":-5,"events":-1,"head":"zz","latest":"ü"}'),
        hostile("log.rotated", '{"segment":9,"events":3,"head":"zz","latest":"ü"}'),
        hostile("log.pruned", '{"removed":7}'),
        hostile("log.pruned", '{"removed":[7]}'),
        hostile("log.healed", '{"missing_events":"x"}'),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_hostile_lines_are_faults_and_no_more(sample, folder, line, first):
    log, _ = sample
    path = paths(folder)[0 if first else -1]
    whole = path.read_bytes()
    path.write_bytes(line + b"\n" + whole if first else whole + line + b"\n")
    assert not verify(folder).ok
    list(log.read())
    log.append([EventDraft(event_type="a.b")])
    log.tail(3)
    log.gc(keep_bytes=0)


def test_faults_are_capped(log, folder):
    log.append([EventDraft(event_type="a.b")])
    with Path(folder, "events.ndjson").open("ab") as file:
        file.write(b"junk\n" * 3000)
    assert len(verify(folder).faults) == 1000


def test_verifying_while_others_write(make_log):
    log = make_log(segment_bytes=2000)
    for n in range(60):
        log.append([EventDraft(event_type="a.b", payload={"n": n})])
        if n % 5 == 0:
            assert log.verify().ok


def test_a_collection_while_the_segments_are_read(sample, folder, monkeypatch):
    log, _ = sample
    import autopilot.events.verify as module

    real, once = module.open_reading, [True]

    def collecting(path):
        if once and path.endswith("events-00000002.ndjson"):
            once.pop()
            log.gc(keep_bytes=0)
        return real(path)

    monkeypatch.setattr(module, "open_reading", collecting)
    report = verify(folder)
    assert report.ok, report.faults
    assert report.segments == 1


@pytest.mark.parametrize("fragment", [10, 300_000])
@pytest.mark.parametrize("nth", range(5, 13))
def test_a_torn_line_that_is_healed_while_the_segments_are_read(sample, folder, monkeypatch, fragment, nth):
    log, _ = sample
    with paths(folder)[-1].open("ab") as file:
        file.write(b"x" * fragment)
    real, left = os.pread, nth

    def healing(fd, count, at):
        nonlocal left
        data = real(fd, count, at)
        left -= 1
        if left == 0:
            log.append([EventDraft(event_type="a.b", payload={"text": "y" * 10_000})] * 40)
        return data

    monkeypatch.setattr("os.pread", healing)
    report = verify(folder)
    assert report.ok, report.faults


def test_a_strange_name_is_no_segment(sample, folder):
    """Nine digits with a zero in front: never ours, and not to be waited for."""
    Path(folder, "events-000000002.ndjson").write_bytes(b"junk\n")
    assert verify(folder).segments == 3


def test_a_rotation_while_the_files_are_looked_at(log, folder, monkeypatch):
    log.append([EventDraft(event_type="a.b")])
    import autopilot.events.verify as module

    real, once = module.closed_numbers, [True]

    def rotating(where):
        if once:
            once.pop()
            log.rotate()
        return real(where)

    monkeypatch.setattr(module, "closed_numbers", rotating)
    report = verify(folder)
    assert report.ok
    assert report.events == 2


def test_a_newest_segment_that_vanishes_while_it_is_looked_at(log, folder, monkeypatch):
    log.append([EventDraft(event_type="a.b")])
    import autopilot.events.verify as module

    real = module.closed_numbers

    def renaming(where):
        if Path(folder, "events.ndjson").exists():
            os.rename(f"{folder}/events.ndjson", f"{folder}/events-00000001.ndjson")
        return real(where)

    monkeypatch.setattr(module, "closed_numbers", renaming)
    report = verify(folder)
    assert report.ok
    assert report.events == 1
