"""T7: the log as it is when its writer dies after each single byte: it reads, and the next append mends it.

After k bytes, the segments before the k-th byte are closed and the one it is in ends there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from autopilot.events.head import Anchor
from autopilot.events.log import EventLog
from autopilot.events.verify import verify
from autopilot.models import EventDraft
from tests.campaign import FAST, FULL, record

TEXTS = ("grüße", "\U0001f600 \u2028 \n", "x" * 700, "", '"quoted\\"', "\0\x7f")
SEGMENTS = 4
BYTES = 20_000
EVERY = 1 if FULL else 61
"""Which cuts are healed as well: all, or these and those around each line's end."""


@attrs.frozen
class Written:
    """A whole log: its segments, and what the head file said when it had so many bytes in this segment."""

    segments: tuple[bytes, ...]
    heads: tuple[tuple[int, int, bytes], ...]
    anchor: Anchor

    def honest_head(self, number: int, size: int) -> bytes:
        return max((head for head in self.heads if head[:2] <= (number, size)), default=(0, 0, b""))[2]


def write_log() -> Written:
    """Events of many kinds, fragments of killed writers between them, in segments of about 5 KB."""
    heads = []
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        log = EventLog(f"{folder}/events", durability="process", segment_bytes=5000)
        newest = Path(log.folder, "events.ndjson")
        for n in range(10_000):
            draft = EventDraft(event_type="task.created", payload={"n": n, "text": TEXTS[n % len(TEXTS)]})
            log.append([draft] * (1 + n % 3), trace_id="a")
            number = int(log.end().partition(":")[0])
            heads.append((number, newest.stat().st_size, Path(log.folder, "events.head").read_bytes()))
            if n % 9 == 4:
                with newest.open("ab") as file:
                    file.write(newest.read_bytes()[-(40 + 7 * n) : -1])
            segments = (*sorted(Path(log.folder).glob("events-*.ndjson")), newest)
            if sum(path.stat().st_size for path in segments) >= BYTES and n % 9 != 4:
                break
        assert any(log.read(types="log.healed"))
        anchor = log.anchor()
        assert anchor and log.verify(anchor).ok
        log.close()
        return Written(tuple(path.read_bytes() for path in segments), tuple(heads), anchor)


@pytest.fixture(scope="module")
def written() -> Written:
    return write_log()


@attrs.frozen
class Cut:
    """The log in ``folder`` as it was after ``size`` bytes of segment ``number``.

    Attributes:
        before: the lines of the closed segments.
        kept: whole lines of the newest one.
        torn: what is behind them.
    """

    folder: str
    number: int
    size: int
    before: list[bytes]
    kept: list[bytes]
    torn: bytes


def cuts(written: Written, number: int) -> Iterator[Cut]:
    """Every one in a segment, each made before it is given."""
    *closed, whole = written.segments[:number]
    before = [line for segment in closed for line in segment.split(b"\n")[:-1]]
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        for n, segment in enumerate(closed, 1):
            Path(folder, f"events-{n:08d}.ndjson").write_bytes(segment)
        for size in range(len(whole) + 1):
            Path(folder, "events.ndjson").write_bytes(whole[:size])
            *kept, torn = whole[:size].split(b"\n")
            yield Cut(folder, number, size, before, kept, torn)


def check_reading(log: EventLog, cut: Cut) -> None:
    assert log.end() == f"{cut.number}:{cut.size - len(cut.torn)}"
    assert [found.line for found in log.read(f"{cut.number}:0")] == cut.kept
    assert [found.line for found in log.tail(3)] == [*cut.before[-3:], *cut.kept[-3:]][-3:]


def check_verifying(cut: Cut, written: Written) -> bool:
    """A cut is found by the last head file or an anchor; without them one at a line's end is no fault."""
    whole = (cut.number, cut.size) == (len(written.segments), len(written.segments[-1]))
    assert verify(cut.folder, written.anchor).ok is whole
    bare = verify(cut.folder)
    assert bare.ok
    assert bare.events == len(cut.before) + len(cut.kept)
    assert any(f"torn line of {len(cut.torn)} bytes" in note for note in bare.notes) is bool(cut.torn)
    with_head(cut, written.heads[-1][2])
    assert verify(cut.folder).ok is whole
    os.unlink(f"{cut.folder}/events.head")
    return not whole


def with_head(cut: Cut, head: bytes) -> None:
    Path(cut.folder, "events.head").write_bytes(head)


def check_healing(cut: Cut, head: bytes | None) -> bool:
    """Append after the cut, with this head file; whether something was healed. The folder is as before then."""
    newest, side = Path(cut.folder, "events.ndjson"), Path(cut.folder, "events.ndjson.torn")
    if head is not None:
        with_head(cut, head)
    log = EventLog(cut.folder, durability="process", lock_path=f"{cut.folder}/lock")
    log.append([EventDraft(event_type="task.done", payload={"after": cut.size})])
    lines = newest.read_bytes().split(b"\n")[:-1]
    assert lines[: len(cut.kept)] == cut.kept
    assert [found.line for found in log.read()] == cut.before + lines
    added = [json.loads(line) for line in lines[len(cut.kept) :]]
    assert added.pop()["payload"] == {"after": cut.size}
    healed = [event["payload"] for event in added if event["event_type"] == "log.healed"]
    if cut.torn:
        digest = hashlib.sha256(cut.torn).hexdigest()
        (told,) = healed
        assert (told["segment"], told["bytes"], told["sha256"]) == (cut.number, len(cut.torn), digest)
        assert side.read_bytes() == cut.torn
        side.unlink()
    assert not side.exists()
    report = log.verify()
    assert report.ok, (cut.number, cut.size, report.faults)
    assert report.head == log.anchor()
    log.close()
    os.unlink(f"{cut.folder}/events.head")
    return bool(healed)


@pytest.mark.timeout(0 if FULL else 300)
@pytest.mark.parametrize("number", range(1, SEGMENTS + 1))
def test_every_cut_reads_and_heals(written, number):
    assert len(written.segments) == SEGMENTS
    tried = mended = found = 0
    for cut in cuts(written, number):
        tried += 1
        check_reading(EventLog(cut.folder), cut)
        if tried % EVERY == 0 or len(cut.torn) < 2:
            found += check_verifying(cut, written)
            heads = [None, written.honest_head(cut.number, cut.size), written.heads[-1][2]]
            for head in heads if FULL else heads[tried % 3 :][:1]:
                mended += check_healing(cut, head)
                Path(cut.folder, "events.ndjson").write_bytes(written.segments[cut.number - 1][: cut.size])
    assert tried == len(written.segments[number - 1]) + 1
    record("T7", f"cuts of segment {number}", cuts=tried, healed=mended, found_by_anchor_and_head=found)
