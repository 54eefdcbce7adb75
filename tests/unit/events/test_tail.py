from __future__ import annotations

import os
from pathlib import Path

import pytest

from autopilot.events import tail as tail_module
from autopilot.events.tail import backwards
from autopilot.models import EventDraft


def draft(n: int, text: str = "") -> EventDraft:
    return EventDraft(event_type="task.created", payload={"n": n, "text": text})


def test_the_last_ones_oldest_first(log):
    log.append([draft(n) for n in range(10)])
    assert [record.data["payload"]["n"] for record in log.tail(3)] == [7, 8, 9]
    assert len(log.tail(100)) == 10
    assert log.tail(0) == log.tail(-1) == []


def test_over_segments(make_log):
    log = make_log(segment_bytes=700)
    for n in range(30):
        log.append([draft(n)])
    for count in (1, 2, 3, 5, 29, 30, 99):
        found = [record.data["payload"]["n"] for record in log.tail(count, types="task.*")]
        assert found == list(range(30))[-count:]


def test_cursors_and_lines_are_those_of_reading_forwards(make_log, folder):
    log = make_log(segment_bytes=900)
    for n in range(12):
        log.append([draft(n, "x" * n * 37)])
    assert log.tail(1000) == list(backwards(folder))[::-1] == list(log.read())


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 300])
def test_chunk_boundaries_anywhere(log, folder, monkeypatch, chunk):
    os.makedirs(folder)
    texts = ["", "ü", "\U0001f600" * 5, "x" * 200, "", "grün", "y" * 63, "z" * 64, ""]
    head = '"event_type":"a.b","timestamp":"t","source":"s","trace_id":null'
    raw = [f'{{"id":"evt-{n}",{head},"payload":{{"t":"{text}"}}}}'.encode() for n, text in enumerate(texts)]
    Path(folder, "events.ndjson").write_bytes(b"".join(line + b"\n" for line in raw) + "torn ü".encode()[:-1])
    monkeypatch.setattr(tail_module, "_CHUNK", chunk)
    assert [record.line for record in log.tail(100)] == raw
    assert [record.line for record in log.tail(2)] == raw[-2:]
    assert [record.line for record in backwards(folder)] == raw[::-1]


@pytest.mark.parametrize("left", [1, 2])
@pytest.mark.parametrize("count", [1, 2])
def test_a_byte_that_is_left_is_read(log, folder, monkeypatch, left, count):
    log.append([draft(0)] * count)
    monkeypatch.setattr(tail_module, "_CHUNK", os.path.getsize(f"{folder}/events.ndjson") - left)
    assert log.tail(9) == list(log.read())


@pytest.mark.parametrize("count", [20, 2000])
def test_the_end_of_a_big_log_costs_what_it_is(make_log, monkeypatch, count):
    """O(n): with a thousand times the log, the same bytes are read."""
    log = make_log(segment_bytes=1 << 20)
    log.append([draft(0)] * count)
    read = counted_reads(monkeypatch)
    log.tail(count)
    small = sum(read)
    for _ in range(20):
        log.append([draft(n) for n in range(1000)])
    for _ in range(2):
        read.clear()
        assert len(log.tail(count)) == count
        assert sum(read) <= small + 2 * 64 * 1024
        log.rotate()


def counted_reads(monkeypatch) -> list[int]:
    read: list[int] = []
    pread = os.pread

    def counting(fd: int, size: int, offset: int) -> bytes:
        data = pread(fd, size, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr("os.pread", counting)
    return read


def test_one_line_of_many_chunks_is_linear(log, monkeypatch):
    log.append([draft(0, "x" * 1_500_000), draft(1)])
    read = counted_reads(monkeypatch)
    assert [record.data["payload"]["n"] for record in log.tail(2)] == [0, 1]
    assert sum(read) < 4 * 1_500_000
    assert len(read) < 100
