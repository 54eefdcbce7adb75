"""Output of any size in a bounded file and bounded memory, without secrets at any seam."""

from __future__ import annotations

import errno
import os
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.executors import output
from autopilot.executors.output import CappedFile, left_out
from autopilot.system.redact import Redactor

SECRET = "correct-horse-battery"
REDACTOR = Redactor({"SECRET": SECRET})
MARKER = REDACTOR.text(SECRET).encode()
OVERLAP = REDACTOR.overlap


def capped(path, pieces, **sizes):
    file = CappedFile(str(path), REDACTOR, **{"limit_bytes": 1 << 20, **sizes})
    for piece in pieces:
        file.write(piece)
    file.close()
    return file


def numbered(count):
    return b"".join(b"%09d\n" % number for number in range(count))


def test_what_fits_is_kept_whole(tmp_path):
    file = capped(tmp_path / "out", [b"one\n", b"two ", f"{SECRET} three".encode()])
    assert (tmp_path / "out").read_bytes() == b"one\ntwo " + MARKER + b" three"
    assert file.text == f"one\ntwo {MARKER.decode()} three"
    assert file.total == len(f"one\ntwo {SECRET} three")
    assert file.fault == ""


def test_it_is_private_and_replaces_what_was_there(tmp_path):
    (tmp_path / "out").write_text("old " * 100)
    capped(tmp_path / "out", [b"new"])
    assert (tmp_path / "out").read_bytes() == b"new"
    capped(tmp_path / "fresh", [b"new"])
    assert stat.S_IMODE((tmp_path / "fresh").stat().st_mode) == 0o600


def test_it_follows_no_link(tmp_path):
    (tmp_path / "target").write_text("precious")
    (tmp_path / "out").symlink_to(tmp_path / "target")
    file = capped(tmp_path / "out", [b"new"])
    assert file.fault and file.text == "new"
    assert (tmp_path / "target").read_text() == "precious"


def test_lines_are_there_while_the_program_runs(tmp_path):
    file = CappedFile(str(tmp_path / "out"), REDACTOR, limit_bytes=1 << 20)
    file.write(b"first line\nsecond")
    assert (tmp_path / "out").read_bytes() == b"first line\n"
    file.close()
    file.close()
    assert (tmp_path / "out").read_bytes() == b"first line\nsecond"


def test_head_and_tail_of_a_flood(tmp_path):
    data = numbered(200_000)
    file = capped(tmp_path / "out", [data], limit_bytes=100_000, head_bytes=10_000, tail_bytes=20_000)
    kept = (tmp_path / "out").read_bytes()
    head, _, tail = kept.partition(b"\n[")
    missing = int(tail.split()[1])
    tail = tail.partition(b"]\n")[2]
    assert data.startswith(head) and data.endswith(tail)
    assert len(head) + missing + len(tail) == len(data) == file.total
    assert len(tail) >= 20_000
    assert len(kept) <= 100_000 + 65536 + len(left_out(missing)), "one slice over at most"
    text = file.text.encode()
    assert data.startswith(text[:10_000]) and text.endswith(tail)
    assert len(text) < 200_000


@pytest.mark.parametrize("chunk", [1, 10, 4096, 65_536, 1 << 20])
def test_memory_is_bounded_whatever_the_pieces(tmp_path, chunk):
    size = 40_000 if chunk == 1 else 3_000_000
    file = CappedFile(str(tmp_path / "out"), REDACTOR, limit_bytes=30_000, head_bytes=5_000, tail_bytes=10_000)
    piece = (b"0123456789" * (chunk // 10 + 1))[:chunk]
    for _ in range(size // chunk):
        file.write(piece)
        assert len(file._ring) <= 2 * (10_000 + OVERLAP) + chunk
    file.close()
    assert file.total == size // chunk * chunk
    assert len(file.text) < 5_000 + 70_000 + OVERLAP + 10_000


@pytest.mark.parametrize("at", range(-30, 31, 3))
def test_a_secret_at_the_seam_to_the_gap_is_not_told_in_part(tmp_path, at):
    limit, tail = 60_000, 10_000
    head = b"h" * (limit - tail + at) + SECRET.encode()
    data = head + b"." * 100_000
    capped(
        tmp_path / "out", [data[i : i + 977] for i in range(0, len(data), 977)], limit_bytes=limit, tail_bytes=tail
    )
    kept = (tmp_path / "out").read_bytes()
    assert SECRET[:12].encode() not in kept


@pytest.mark.parametrize("at", range(-30, 31, 3))
def test_a_secret_at_the_beginning_of_the_tail_is_not_told_in_part(tmp_path, at):
    tail = 10_000
    end = b"t" * (tail + at)
    data = b"." * 200_000 + SECRET.encode() + end
    file = capped(tmp_path / "out", [data], limit_bytes=60_000, tail_bytes=tail)
    for kept in ((tmp_path / "out").read_bytes(), file.text.encode()):
        assert SECRET[-12:].encode() not in kept


@given(
    st.lists(
        st.tuples(st.sampled_from([b"x", b"word ", b"line\n", SECRET.encode()]), st.integers(1, 4000)), max_size=12
    ),
    st.integers(1, 50_000),
    st.integers(0, 5_000),
    st.integers(0, 5_000),
)
@settings(deadline=None, max_examples=60)
def test_nothing_is_lost_but_what_is_said_to_be(tmp_path_factory, runs, limit, head, tail):
    path = tmp_path_factory.mktemp("capped") / "out"
    data = b"".join(unit * count for unit, count in runs)
    pieces = [data[at : at + 7000] for at in range(0, len(data), 7000)]
    file = capped(path, pieces, limit_bytes=limit, head_bytes=head, tail_bytes=tail)
    whole = REDACTOR.text(data.decode()).encode()
    for kept in (path.read_bytes(), file.text.encode()):
        before, gap, after = kept.partition(b"\n[\xe2\x80\xa6 ")
        assert SECRET.encode() not in kept
        assert whole.startswith(before)
        if gap:
            assert whole.endswith(after.partition(b"]\n")[2])
        else:
            assert kept == whole
    assert file.total == len(data)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_a_disk_that_refuses_stops_nothing(tmp_path, monkeypatch, number):
    real, written = os.write, []

    def refuse(fd, data):
        if sum(written) > 5_000:
            raise OSError(number, os.strerror(number))
        written.append(len(data))
        return real(fd, bytes(data[:3_000]))

    file = CappedFile(str(tmp_path / "out"), REDACTOR, limit_bytes=1 << 20)
    monkeypatch.setattr(output.os, "write", refuse)
    data = numbered(20_000)
    for at in range(0, len(data), 4_096):
        file.write(data[at : at + 4_096])
    file.close()
    monkeypatch.undo()
    assert file.fault == os.strerror(number)
    assert file.text.encode() == data, "memory still knows it"
    assert data.startswith((tmp_path / "out").read_bytes())


def test_a_folder_that_is_not_there(tmp_path):
    file = capped(tmp_path / "missing" / "out", [b"said"])
    assert file.fault == os.strerror(errno.ENOENT)
    assert file.text == "said"
