"""Bytes to lines."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.executors.lines import LineSplitter


def split(pieces, **sizes):
    splitter = LineSplitter(**sizes)
    return [line for piece in pieces for line in splitter.feed(piece)] + list(splitter.close())


def test_lines_and_an_end_without_a_newline():
    assert split([b"one\ntwo\r\n\nfo", b"ur"]) == ["one", "two", "", "four"]
    assert split([b"one\n"]) == ["one"]
    assert split([]) == []


def test_only_newlines_end_lines():
    assert split(["a\u2028b\x0cc\x85d\n".encode()]) == ["a\u2028b\x0cc\x85d"]


def test_characters_may_be_cut_in_two():
    data = "grüße\n".encode()
    assert split([data[:3], data[3:]]) == ["grüße"]
    assert split([b"\xff\xfe\n"]) == ["\ufffd\ufffd"]


def test_long_lines_are_cut_and_the_next_is_whole():
    pieces = [b"a" * 7, b"a" * 8 + b"\nshort\n", b"b" * 30]
    assert split(pieces, longest=10) == ["a" * 10, "short", "b" * 10]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8), st.integers(1, 50))
@settings(deadline=None)
def test_pieces_do_not_matter(data, cuts, longest):
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    lines = data.split(b"\n")
    expected = [line[:longest] for line in (lines if lines[-1] else lines[:-1])]
    assert split(pieces, longest=longest) == [
        line.decode("utf-8", "replace").removesuffix("\r") for line in expected
    ]
