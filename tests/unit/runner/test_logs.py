"""What children print: kept, bounded, redacted, and no file for silence."""

from __future__ import annotations

import os

import pytest

from autopilot.runner.logs import LogPipe, Sink, hide
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


def test_texts_are_hidden_at_any_depth_and_all_else_stays():
    redactor = Redactor({"API_TOKEN": "abcdefgh12345678"})
    value = {"a": ["abcdefgh12345678", 1, None], "b": ("x", {"c": "abcdefgh12345678"}), "d": True}
    hidden = hide(value, redactor)
    assert "abcdefgh" not in str(hidden)
    assert hidden["a"][1:] == [1, None]
    assert (hidden["b"][0], hidden["d"]) == ("x", True)
