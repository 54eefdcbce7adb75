"""Messages survive any cutting of the stream, and nothing that is no message does harm."""

from __future__ import annotations

import json
import os
import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.runner.lines import LineReader, encode_line

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=6
)
MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), VALUES, max_size=3), max_size=5)


@settings(deadline=None)
@given(MESSAGES, st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_any_cutting_gives_the_same_messages(messages, sizes):
    data = b"".join(encode_line(message) for message in messages)
    reader, found, at, turn = LineReader(-1, limit=10_000), [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += reader.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert found == messages
    assert reader.dropped == 0


@settings(deadline=None)
@given(st.binary(max_size=200), st.dictionaries(st.text(), VALUES))
def test_rubbish_is_dropped_and_the_next_message_understood(rubbish, message):
    reader = LineReader(-1, limit=1000 + len(encode_line(message)))
    found = reader.feed(rubbish + b"\n" + encode_line(message))
    assert found[-1] == message


def test_a_line_is_ascii_whatever_it_holds():
    assert encode_line({"a": "\u2028\n\xe9", "b": [1, 2]}) == b'{"a":"\\u2028\\n\\u00e9","b":[1,2]}\n'


def test_a_long_line_is_dropped_without_being_kept():
    reader = LineReader(-1, limit=100)
    for _ in range(50):
        assert reader.feed(b"x" * 90) == []
    assert reader.feed(b'\n{"a":1}\n') == [{"a": 1}]
    assert reader.dropped == 1


def test_the_end_of_a_long_line_is_no_message():
    reader = LineReader(-1, limit=100)
    assert reader.feed(b"x" * 101) == reader.feed(b'{"a":1}\n') == []
    assert reader.dropped == 1


def test_a_line_of_exactly_the_limit_passes():
    line = encode_line({"a": "x" * 50})
    reader = LineReader(-1, limit=len(line) - 1)
    assert reader.feed(line) == [json.loads(line)]
    assert LineReader(-1, limit=len(line) - 2).feed(line) == []


def test_what_is_no_object_is_dropped():
    reader = LineReader(-1, limit=100_000)
    assert reader.feed(b"[1]\nnull\n\xff\n" + b"[" * 50_000 + b"\n") == []
    assert reader.dropped == 4


def test_an_empty_pipe_is_no_end_and_a_closed_one_is():
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    reader = LineReader(reading, limit=100)
    assert reader.read() == []
    assert not reader.ended
    os.write(writing, b'{"a":1}\n{"b"')
    assert reader.read() == [{"a": 1}]
    os.close(writing)
    assert reader.read() == []
    assert reader.ended
    os.close(reading)


def test_a_reset_peer_is_an_ended_one():
    server = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(server.getsockname())
    theirs, _ = server.accept()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    theirs.close()
    reader = LineReader(ours.fileno(), limit=100)
    assert reader.read() == []
    assert reader.ended
    ours.close()
    server.close()
