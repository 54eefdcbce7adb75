"""A line for people costs nothing, wherever it goes."""

from __future__ import annotations

import io
import sys

import pytest

from autopilot.runner.notes import note


def test_a_note_is_a_line(capsys):
    note("it stopped")
    assert capsys.readouterr().err == "it stopped\n"


class Full(io.StringIO):
    """A stream on a disk without room."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("stream", [Full(), io.StringIO()], ids=["full", "closed"])
def test_a_stream_that_takes_nothing_ends_nothing(monkeypatch, stream):
    if not isinstance(stream, Full):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    note("it stopped")
