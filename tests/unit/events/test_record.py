from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from autopilot.events.encode import encode, seal
from autopilot.events.filters import Filter
from autopilot.events.record import Record, parse_line, summary
from autopilot.models import Event


def line(id="evt-a.1.2", event_type="task.done", timestamp="2026-11-22T09:00:00.000000Z", trace_id="a", **payload):
    made = encode(
        id=id, event_type=event_type, timestamp=timestamp, source="autopilot", trace_id=trace_id, payload=payload
    )
    return seal(made, "0" * 64)[0][:-1]


def wants(wanted, text) -> bool:
    return wanted.wants(Record(text, 1, 0))


def test_a_line_that_rotted_inside_is_no_event():
    rotten = line(n=1).replace(b'"n":1', b'"n":\x11')
    assert summary(rotten) is not None
    assert not wants(Filter(types="*"), rotten)


def test_a_record_reads_back_as_the_event():
    record = Record(line(n=1), 3, 4711)
    assert record.cursor == "3:4711"
    assert record.data["payload"] == {"n": 1}
    assert record.event == Event(
        id="evt-a.1.2",
        event_type="task.done",
        timestamp="2026-11-22T09:00:00.000000Z",
        trace_id="a",
        payload={"n": 1},
        prev="0" * 64,
    )


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"null",
        b"[]",
        b'{"id": 1}',
        b'{"id":"a","event_type":"b.c","timestamp":"x"}',
        b'{"id":"a","event_type":"b.c","timestamp":"x","payload":[]}',
        b"\xff\xfe",
        b'{"id":"evt-1","event_ty',
        b"[" * 100_000,
    ],
)
def test_junk_is_no_event(junk):
    assert parse_line(junk) is None
    assert summary(junk) is None
    assert not wants(Filter(), junk)
    assert not wants(Filter(types="*"), junk)
    with pytest.raises(ValueError, match="segment 3, before offset 7"):
        _ = Record(junk, 3, 7).event


def test_the_head_is_read_without_the_payload():
    assert summary(line()) == ("evt-a.1.2", "task.done", "2026-11-22T09:00:00.000000Z", "a")
    assert summary(line(trace_id=None)).trace_id is None


@pytest.mark.parametrize("trace", ['quo"te', "back\\slash", "gr\u00fc\u00dfe"])
def test_a_head_with_escapes_or_another_form_is_parsed_as_a_whole(trace):
    assert summary(line(trace_id=trace)).trace_id == trace
    assert summary(b' {"payload": {}, "timestamp": "t", "event_type": "a.b", "id": "x", "trace_id": 7}') == (
        "x",
        "a.b",
        "t",
        None,
    )


@pytest.mark.parametrize(
    "types, wanted",
    [
        (None, True),
        ("task.*", True),
        ("task.done", True),
        ("*.done", True),
        (["x.*", "task.d*"], True),
        ("task", False),
        ("dispatch.*", False),
        (["x.*", "y.*"], False),
        ("done", False),
    ],
)
def test_types_are_globs(types, wanted):
    assert Filter(types=types).wants(Record(line(), 1, 0)) is wanted


@pytest.mark.parametrize(
    "task, id, trace, wanted",
    [
        ("a", "evt-a.1.2", None, True),
        ("a", "evt-0199-1-ff-0", "a", True),
        ("a", "evt-a.1.2.3", None, False),
        ("a.1", "evt-a.1.2.3", None, True),
        ("a", "evt-b.1.2", "b", False),
        ("a", "evt-aa.1.2", "aa", False),
        ("a", "evt-0199-1-ff-0", None, False),
    ],
)
def test_the_events_of_a_task(task, id, trace, wanted):
    assert Filter(task=task).wants(Record(line(id=id, trace_id=trace), 1, 0)) is wanted


def test_since_includes_its_instant():
    instant = datetime(2026, 11, 22, 9, tzinfo=UTC)
    assert Filter(since=instant).wants(Record(line(), 1, 0))
    assert not Filter(since=instant + timedelta(microseconds=1)).wants(Record(line(), 1, 0))
    assert Filter(since=instant, types="task.*", task="a").wants(Record(line(), 1, 0))
