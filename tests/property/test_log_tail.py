"""Reading backwards is reading forwards, turned round: for any bytes, and whatever the size of a chunk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.events.log import EventLog
from autopilot.events.reader import Reader
from autopilot.events.tail import backwards
from autopilot.models import EventDraft
from tests.campaign import FAST, size

PIECES = st.lists(
    st.sampled_from(
        [
            b"\n",
            b"\n\n",
            b"a",
            b"\xc3\xbc",
            b"\xf0\x9f\x98\x80",
            b"\xff",
            b"\0",
            b"x" * 50,
            b"\r\n",
            b"\xe2\x80\xa8",
        ]
    ),
    max_size=30,
)
VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


@settings(max_examples=size(300, 15000), deadline=None)
@given(newest=PIECES, closed=PIECES, chunk=st.integers(1, 70))
def test_backwards_is_forwards_reversed(newest, closed, chunk):
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        Path(folder, "events.ndjson").write_bytes(b"".join(newest))
        Path(folder, "events-00000001.ndjson").write_bytes(b"".join(closed) + b"\n")
        with (
            mock.patch("autopilot.events.tail._CHUNK", chunk),
            mock.patch("autopilot.events.segments._CHUNK", chunk),
        ):
            forwards = list(Reader(folder).records())
            assert list(backwards(folder)) == forwards[::-1]
        whole = (b"".join(closed) + b"\n").split(b"\n")[:-1] + b"".join(newest).split(b"\n")[:-1]
        assert [record.line for record in forwards] == whole


@settings(max_examples=size(200, 10000), deadline=None)
@given(
    payloads=st.lists(st.dictionaries(st.text(), VALUES), min_size=1, max_size=5),
    trace=st.none() | st.text(),
)
def test_any_payload_reads_back(payloads, trace):
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        log = EventLog(f"{folder}/events", durability="process")
        written = log.append(
            [EventDraft(event_type="a.b", payload=payload) for payload in payloads], trace_id=trace
        )
        assert [record.event for record in log.read()] == written
        assert [event.payload for event in written] == payloads
        assert {record.event.trace_id for record in log.tail(9)} == {trace}
        if trace:
            assert len(log.tail(9, task=trace)) == len(payloads)
        assert log.verify().ok
        log.close()
