"""What children print: kept, bounded, redacted, and no file for silence."""

from __future__ import annotations

import os

import pytest

from autopilot.runner.logs import LogPipe, Sink
from autopilot.system.redact import Redactor


@pytest.fixture
def pipe(tmp_path):
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    sink = Sink(str(tmp_path / "log"), Redactor({"API_TOKEN": "abcdefgh12345678"}), 64 * 1024)
    yield LogPipe(reading, sink), writing, sink
    os.close(reading)


def test_what_is_printed_is_kept_and_told(pipe, tmp_path):
    log, writing, sink = pipe
    os.write(writing, b"one\n")
    assert log.pump()
    assert log.pump()
    os.write(writing, b"two abcdefgh12345678\n")
    os.close(writing)
    assert log.pump()
    assert not log.pump()
    text = sink.close()
    assert text.startswith("one\ntwo [redacted:API_TOKEN:")
    assert (tmp_path / "log").read_text() == text


def test_silence_makes_no_file(pipe, tmp_path):
    _, writing, sink = pipe
    os.close(writing)
    assert sink.close() == ""
    assert not (tmp_path / "log").exists()


def test_a_flood_is_cut_in_the_middle(tmp_path):
    sink = Sink(str(tmp_path / "log"), Redactor({}), 64 * 1024)
    sink.write(b"first\n")
    for _ in range(100):
        sink.write(b"flood " * 1000)
    sink.write(b"\nlast\n")
    text = sink.close()
    assert text.startswith("first\n")
    assert text.endswith("\nlast\n")
    assert "left out" in text
    assert (tmp_path / "log").stat().st_size < 70 * 1024


def test_what_is_told_of_a_long_output_is_short(tmp_path):
    sink = Sink(str(tmp_path / "log"), Redactor({}), 8 * 1024 * 1024)
    for _ in range(1000):
        sink.write(b"flood " * 100)
    assert 5 * 16384 <= len(sink.close()) < 5 * 16384 + 700
    assert (tmp_path / "log").stat().st_size == 600_000


def test_a_secret_is_found_though_somebody_else_prints_in_the_middle_of_it(tmp_path):
    secret = b"abcdefgh12345678"
    for cut in range(len(secret) + 1):
        sink = Sink(str(tmp_path / str(cut)), Redactor({"API_TOKEN": secret.decode()}), 64 * 1024)
        one, other = sink.lane(), sink.lane()
        one.write(b"one " + secret[:cut])
        other.write(b"other\n" + secret[:cut])
        one.write(secret[cut:] + b" end\n")
        other.write(secret[cut:])
        text = sink.close()
        assert sorted(line.split("[")[0] for line in text.splitlines()) == sorted(["one ", "other", ""]), text
        assert text.count("[redacted:API_TOKEN:") == 2
        assert (tmp_path / str(cut)).read_text() == text
