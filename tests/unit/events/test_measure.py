from __future__ import annotations

import hashlib
import os
from pathlib import Path

import attrs
import pytest

from autopilot.events.head import Tail
from autopilot.events.measure import beginning, last_event_end, measure, tail_of
from autopilot.models import Event


@pytest.fixture
def fd(log, folder):
    """Three events in a second segment, of which the first is the latest."""
    at = ["2026-11-22T09:02:00.000000Z", "2026-11-22T09:01:00.000000Z", "2026-11-22T09:02:00.000000Z"]
    log.append([Event(id=f"evt-{n}", event_type="a.b", timestamp=when) for n, when in enumerate(at)])
    log.rotate()
    fd = os.open(f"{folder}/events-00000001.ndjson", os.O_RDONLY)
    yield fd
    os.close(fd)


def ends(folder: str) -> list[int]:
    lines = Path(folder, "events-00000001.ndjson").read_bytes().splitlines(keepends=True)
    return [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]


def sha(fd: int, start: int, end: int) -> str:
    return hashlib.sha256(os.pread(fd, end - start - 1, start)).hexdigest()


def test_lines_are_counted_up_to_an_end(fd, folder):
    at = ends(folder)
    before = Tail(7, at[1], 40, "ab", "2026-11-22T09:02:30.000000Z")
    assert measure(fd, before, at[1]) is before
    assert measure(fd, before, at[2]) == Tail(7, at[2], 41, sha(fd, at[1], at[2]), before.latest)
    assert measure(fd, attrs.evolve(before, latest=""), at[3]) == Tail(
        7, at[3], 42, sha(fd, at[2], at[3]), "2026-11-22T09:02:00.000000Z"
    )


def test_lines_that_are_no_events_are_lines(fd, folder):
    Path(folder, "events-00000001.ndjson").write_bytes(b"junk\n\nmore")
    assert measure(fd, Tail(), 6) == Tail(1, 6, 2, hashlib.sha256(b"").hexdigest(), "")


@pytest.mark.parametrize("torn", [b"", b"\n", b"junk", b"junk\n\n\0\n", b"{}\n[]\n"])
def test_the_last_event_ends_before_all_that_is_none(fd, folder, torn):
    with Path(folder, "events-00000001.ndjson").open("ab") as file:
        end = file.tell()
        file.write(torn)
    assert last_event_end(fd, end + len(torn)) == end


@pytest.mark.parametrize("torn", [b"", b"\n", b"junk", b"\n\n"])
def test_no_event_ends_where_there_is_none(fd, folder, torn):
    Path(folder, "events-00000001.ndjson").write_bytes(torn)
    assert last_event_end(fd, len(torn)) == 0


def test_where_a_closed_segment_ends(log, folder, fd):
    at = ends(folder)
    first = Tail(2, 0, 3, sha(fd, at[2], at[3]), "2026-11-22T09:02:00.000000Z")
    assert tail_of(folder, 1) == first
    log.append([Event(id="evt-4", event_type="a.b", timestamp="2026-11-22T09:03:00.000000Z")])
    second = log.anchor()
    log.rotate()
    assert attrs.astuple(tail_of(folder, 2))[2:4] == (second.events, second.digest)


def test_where_nothing_ends(folder, fd):
    assert tail_of(folder, 0) == Tail(1)
    assert tail_of(folder, 8) == Tail(9)
    Path(folder, "events-00000008.ndjson").touch()
    assert tail_of(folder, 8) == Tail(9)


def test_a_segment_begins_as_it_says_or_as_the_one_before_it_ends(log, folder, fd):
    newest = os.open(f"{folder}/events.ndjson", os.O_RDONLY)
    said = beginning(folder, newest, 2)
    assert said == tail_of(folder, 1)
    os.unlink(f"{folder}/events-00000001.ndjson")
    assert beginning(folder, newest, 2) == said
    assert beginning(folder, newest, 5) == Tail(5)
    os.close(newest)
