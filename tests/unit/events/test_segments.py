from __future__ import annotations

import errno
import os

import pytest

from autopilot.errors import StorageError
from autopilot.events.head import GENESIS, Tail
from autopilot.events.segments import line_start, open_reading, origin, raise_storage


def first(payload: str, event_type: str = "log.rotated", prev: str = GENESIS) -> bytes:
    head = f'"id":"evt-1","event_type":"{event_type}","timestamp":"t","source":"autopilot","trace_id":null'
    return f'{{{head},"payload":{payload},"prev":"{prev}"}}\n'.encode()


@pytest.mark.parametrize(
    "content, before",
    [
        (b"", None),
        (b"junk\n", None),
        (first("{}", "task.created"), Tail()),
        (first("{}", "task.created", "ab" * 32), None),
        (first('{"segment":3,"events":7,"head":"ab","latest":"t"}'), Tail(3, 0, 7, "ab", "t")),
        (first('{"segment":2,"events":0,"head":"ab","latest":"t"}') + b"more\n", Tail(2, 0, 0, "ab", "t")),
        (
            first(f'{{"segment":3,"events":7,"head":"ab","latest":"{"t" * 9000}"}}'),
            Tail(3, 0, 7, "ab", "t" * 9000),
        ),
        (first('{"segment":3,"events":7,"head":"ab","latest":"t"}')[:-1], None),
        (first('{"segment":1,"events":7,"head":"ab","latest":"t"}'), None),
        (first('{"segment":3,"events":-1,"head":"ab","latest":"t"}'), None),
        (first('{"segment":"x","events":7,"head":"ab","latest":"t"}'), None),
        (first('{"segment":[],"events":7,"head":"ab","latest":"t"}'), None),
        (first('{"segment":3}'), None),
    ],
)
def test_the_first_line_says_where_the_log_stood_before_it(tmp_path, content, before):
    (tmp_path / "segment").write_bytes(content)
    fd = open_reading(str(tmp_path / "segment"))
    assert origin(fd) == before
    os.close(fd)


@pytest.mark.parametrize("first", [0, 1, 4095, 4096, 4097])
@pytest.mark.parametrize("second", [1, 2, 4095, 4096, 4097, 4096 + 256 * 1024, 4097 + 256 * 1024])
def test_a_line_starts_after_the_newline_before_it(tmp_path, first, second):
    """Also where that newline is the first byte of what is read at once."""
    (tmp_path / "segment").write_bytes(b"x" * first + b"\n" + b"y" * second)
    fd = open_reading(str(tmp_path / "segment"))
    assert line_start(fd, first + 1 + second) == first + 1
    assert line_start(fd, first + 1) == first + 1
    assert line_start(fd, first) == 0
    os.close(fd)


@pytest.mark.parametrize(
    "fault, message, hint",
    [
        (OSError(errno.ENOSPC, "full"), "cannot read here: No space left on device", "free some space"),
        (OSError(errno.EISDIR, "a folder"), "cannot read here: a folder", ""),
        (OSError("odd"), "cannot read here: odd", ""),
    ],
)
def test_a_fault_says_what_to_do_where_something_can_be_done(fault, message, hint):
    with pytest.raises(StorageError) as caught:
        raise_storage(fault, "here", "read")
    assert str(caught.value) == message
    assert caught.value.hint.startswith(hint)
    assert bool(caught.value.hint) is bool(hint)
