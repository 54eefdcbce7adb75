from __future__ import annotations

import pytest

from autopilot.errors import TaskFormatError
from autopilot.taskfile.source import MAX_FILE, MAX_FRONTMATTER, OWN_BYTES, place, split


def fault_of(data: bytes) -> TaskFormatError:
    with pytest.raises(TaskFormatError) as caught:
        split(data)
    return caught.value


@pytest.mark.parametrize(
    ("data", "head", "body"),
    [
        (b"---\na: b\n---\nbody", "a: b\n", "body"),
        (b"---\na: b\n---\n\nbody\n", "a: b\n", "body\n"),
        (b"---\na: b\n---\n\n\nbody\n", "a: b\n", "\nbody\n"),
        (b"---\na: b\n---", "a: b\n", ""),
        (b"---\na: b\n---\n", "a: b\n", ""),
        (b"---\na: b\n---\n\n", "a: b\n", ""),
        (b"---\n---\nbody", "", "body"),
        (b"\xef\xbb\xbf---\na: b\n---\nbody", "a: b\n", "body"),
        (b"---\r\na: b\r\n---\r\n\r\nbody\r\nend", "a: b\n", "body\nend"),
        (b"---  \na: b\n--- \t\nbody\r\n", "a: b\n", "body\r\n"),
        (b"---\na: b\n----\n--- x\n ---\n---\n---\n", "a: b\n----\n--- x\n ---\n", "---\n"),
        ("---\na: é\n---\né".encode(), "a: é\n", "é"),
    ],
)
def test_a_file_is_cut_at_its_delimiters(data: bytes, head: str, body: str) -> None:
    source = split(data)
    assert source.head == head
    assert source.body_text() == body
    assert data[source.begin : source.end].decode().replace("\r\n", "\n") == head


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"", "the file is empty", "three lines"),
        (b"\n \n", "the file is empty", "three lines"),
        (b"# Title\n", "no frontmatter", "---\ntitle: What is to be done\n---"),
        (b"\n---\na: b\n---\n", "not the first line", "first line of the file must be"),
        (b"----\na: b\n---\n", "not just `---`", "nothing else"),
        (b"+++\ntitle = 'x'\n+++\n", "TOML", "three lines"),
        (b'{"title": "x"}', "JSON", "three lines"),
        (b"<<<<<<< HEAD\n---\n", "conflict markers", "keep one"),
        (b"---\ntitle: x\n", "not closed", "add a line `---`"),
        (b"---\ntitle: x\n---x\n", "not closed", "add a line `---`"),
        ("---\na: b\n---\n".encode("utf-16"), "UTF-16", "save it as UTF-8"),
        ("---\na: b\n---\n".encode("utf-16-be"), "UTF-16", "save it as UTF-8"),
        (b"---\n" + b"a: b\n" * 20_000 + b"---\n", f"within {MAX_FRONTMATTER} bytes", "below that line"),
        (b"---\na: b\n---\n" + b"x" * MAX_FILE, "more than 1,048,576 bytes", "files of its own"),
    ],
)
def test_what_is_no_task_file_is_refused(data: bytes, message: str, hint: str) -> None:
    fault = fault_of(data)
    assert message in fault.message
    assert hint in fault.hint


@pytest.mark.parametrize(
    ("data", "line", "column", "message"),
    [
        (b"---\ntitle: a\0b\n---\n", 2, 9, "NUL"),
        (b"---\ntitle: a\n---\nbody \0", 4, 6, "NUL"),
        (b"---\ntitle: \xe9t\xe9\n---\n", 2, 8, "byte 0xe9 is not UTF-8"),
        ("---\ntitle: ok\n---\n\né".encode() + b"\xff", 5, 2, "byte 0xff is not UTF-8"),
        (b"---\ntitle: a\rstatus: done\n---\n", 2, 9, "carriage return"),
        ("---\r\nid: a\r\ntitle: a\u2028b\r\n---\r\n".encode(), 3, 9, "U+2028"),
        ("---\ntitle: a\ufeffb\n---\n".encode(), 2, 9, "byte order mark"),
        (b"---\ntitle: \x1b[31m\n---\n", 2, 8, "U+001B"),
        (b"---\ntitle: a\x7f\n---\n", 2, 9, "U+007F"),
    ],
)
def test_bad_characters_are_shown_with_their_place(data: bytes, line: int, column: int, message: str) -> None:
    fault = fault_of(data)
    assert message in fault.message
    assert (fault.line, fault.column) == (line, column)


def test_the_body_may_hold_any_character_but_nul() -> None:
    body = "\x1b\x7f\u2028\x85\ufeff\r\r\n\uffff\U0010ffff"
    assert split(b"---\na: b\n---\n" + body.encode()).body_text() == body


def test_limits_are_exact() -> None:
    head = b"#" * (MAX_FRONTMATTER - 1) + b"\n"
    assert len(split(b"---\n" + head + b"---\n").head) == MAX_FRONTMATTER
    assert "not closed within" in fault_of(b"---\n#" + head + b"---\n").message
    whole = b"---\na: b\n---\n"
    assert split(whole + b"x" * (MAX_FILE - len(whole)))
    assert fault_of(whole + b"x" * (MAX_FILE - len(whole) + 1)).hint


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_what_autopilot_writes_has_room_of_its_own(end: bytes) -> None:
    own = end.join(
        [b"status: done", b"result:", b"  reason:", b"    message: " + b"y" * 9_000, b"attempt: 7", b""]
    )
    theirs = b"#" * (MAX_FRONTMATTER - len(end)) + end
    start, stop = b"---" + end, b"---" + end
    assert split(start + own + theirs + stop).end == len(start + own + theirs)
    assert "not closed within" in fault_of(start + own + b"#" + theirs + stop).message
    whole = start + own + stop
    body = b"x" * (MAX_FILE + len(own) - len(whole))
    assert split(whole + body)
    assert "more than 1,048,576 bytes" in fault_of(whole + body + b"x").message


def test_the_room_for_what_autopilot_writes_ends_too() -> None:
    own = b"result: {a: " + b"y" * OWN_BYTES + b"}\n"
    theirs = b"#" * (MAX_FRONTMATTER - 14) + b"\n"
    assert "not closed within" in fault_of(b"---\n" + own + theirs + b"---\n").message
    assert "more than" in fault_of(b"---\n" + own + b"---\n" + b"x" * MAX_FILE).message


@pytest.mark.parametrize(
    ("data", "offset", "expected"),
    [(b"abc", 0, (1, 1)), (b"a\nbc", 3, (2, 2)), ("é\néa".encode(), 5, (2, 2)), (b"\xef\xbb\xbfabc", 4, (1, 2))],
)
def test_places_count_characters_from_one(data: bytes, offset: int, expected: tuple[int, int]) -> None:
    assert place(data, offset) == expected
