from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest

from autopilot.events.head import GENESIS, HeadFile, Tail

TAIL = Tail(3, 4711, 99, "ab" * 32, "2026-11-22T09:14:03.123456Z")


@pytest.fixture
def head(tmp_path):
    head = HeadFile(str(tmp_path))
    yield head
    head.close()


@pytest.mark.parametrize("tail", [TAIL, Tail(), Tail(1, 2**63, 2**40, GENESIS, ""), Tail(latest="X")])
def test_what_is_written_is_read(head, tmp_path, tail):
    assert head.read() is None
    head.write(TAIL)
    head.write(tail)
    assert head.read() == HeadFile(str(tmp_path)).read() == tail


def test_any_changed_or_missing_byte_is_noticed(head, tmp_path):
    head.write(TAIL)
    path = Path(tmp_path, "events.head")
    whole = path.read_bytes()
    for n in range(len(whole)):
        path.write_bytes(whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :])
        assert head.read() is None
        path.write_bytes(whole[:n])
        assert head.read() is None


@pytest.mark.parametrize(
    "tail", [Tail(-1), Tail(2**65), Tail(1, 1, 1, "no hash"), Tail(1, 1, 1, GENESIS, "gestern früh")]
)
def test_what_does_not_fit_is_not_recorded(head, tail):
    head.write(TAIL)
    head.write(tail)
    assert head.read() == TAIL


def test_a_descriptor_that_somebody_else_closed_is_no_fault(head):
    """The file is a cache; what becomes of it ends no append."""
    head.write(TAIL)
    os.close(head._fd)
    head.close()
    head.write(TAIL)
    assert head.read() == TAIL


def test_a_forged_record_is_read_as_it_is(head, tmp_path):
    body = struct.pack("<QQQ32s27s", 1, 2, 3, bytes(32), b"\xff" * 27)
    Path(tmp_path, "events.head").write_bytes(body + struct.pack("<I", zlib.crc32(body)))
    assert head.read() == Tail(1, 2, 3, GENESIS, "\ufffd" * 27)


def test_a_link_is_not_followed(head, tmp_path):
    os.symlink(tmp_path / "elsewhere", tmp_path / "events.head")
    head.write(TAIL)
    assert head.read() is None
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "other").mkdir()
    HeadFile(str(tmp_path / "other")).write(TAIL)
    os.rename(tmp_path / "other" / "events.head", tmp_path / "elsewhere")
    assert head.read() is None
