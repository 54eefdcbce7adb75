"""The bytes of a task file, cut into frontmatter and body; nothing is understood yet, only refused."""

from __future__ import annotations

import re
from typing import NamedTuple

from autopilot.errors import TaskFormatError
from autopilot.taskfile.fields import OWNED_KEYS

__all__ = ["BOM", "MAX_FILE", "MAX_FRONTMATTER", "OWN_BYTES", "Source", "place", "split"]

MAX_FILE = 1024 * 1024
"""Bytes of a whole task file, as people may write it."""

MAX_FRONTMATTER = 64 * 1024
"""Bytes between the two ``---`` lines, as people may write them."""

OWN_BYTES = 64 * 1024
"""Bytes that the keys Autopilot writes may add to both: a file that can be read can always take the end of an
attempt."""

BOM = b"\xef\xbb\xbf"
_OPENING = re.compile(rb"---[ \t]*(\r?\n)")
_CLOSING = re.compile(rb"\n---[ \t]*(?:\r?\n|\r?\Z)")
# All but what YAML allows, and of that what it takes for a line break and nearly nothing else does (U+0085,
# U+2028, U+2029). As a list of the forbidden: the complement of the allowed takes 9 ms to compile.
_FORBIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_OWN_LINES = re.compile(rb"^(?:%b)[ \t]*:.*\n(?:[ \t].*\n)*" % "|".join(OWNED_KEYS).encode(), re.MULTILINE)
_PLAIN_BYTES = bytes([9, 10, *range(0x20, 0x7F)])
_START = "begin the file with these three lines:\n---\ntitle: What is to be done\n---"


class Source(NamedTuple):
    """A task file's parts, as offsets into its bytes.

    Attributes:
        begin, end: the frontmatter, from after the opening line to before the closing one.
        body: where the body begins, after the closing line.
        crlf: the opening line ends with CR LF, and so do the lines that we add.
        head: the frontmatter as text, with LF line ends; empty or ending with one.
    """

    data: bytes
    begin: int
    end: int
    body: int
    crlf: bool
    head: str

    def body_text(self) -> str:
        """The body, without the blank line that sets it off; LF line ends where the file uses CR LF."""
        text = self.data[self.body :].decode()
        if self.crlf:
            text = text.replace("\r\n", "\n")
        return text.removeprefix("\n")


def split(data: bytes) -> Source:
    """Find the frontmatter.

    Raises:
        TaskFormatError: the bytes are not UTF-8 text with frontmatter, or too many.
    """
    start = 3 if data.startswith(BOM) else 0
    if data.startswith(b"---\n", start) and b"\0" not in data and len(data) <= MAX_FILE:
        begin, crlf = start + 4, False
    else:
        begin, crlf = _opening(data, start)
    end, body = _closing(data, begin)
    head = data[begin:end]
    if len(data) > MAX_FILE or len(head) > MAX_FRONTMATTER:
        _refuse_excess(data, head)
    text = _decoded(data, head)
    if head.translate(None, _PLAIN_BYTES):
        text = _checked(text)
    return Source(data, begin, end, body, crlf, text)


def place(data: bytes, offset: int) -> tuple[int, int]:
    """The line and column of a byte, counted from 1; columns count characters."""
    first = data.rfind(b"\n", 0, offset) + 1
    start = 3 if first == 0 and data.startswith(BOM) else first
    return data.count(b"\n", 0, offset) + 1, len(data[start:offset].decode(errors="replace")) + 1


def _opening(data: bytes, start: int) -> tuple[int, bool]:
    _refuse_encoding(data)
    if len(data) > MAX_FILE + OWN_BYTES:
        raise _too_large()
    if (nul := data.find(b"\0")) >= 0:
        line, column = place(data, nul)
        raise TaskFormatError(
            "a NUL byte: this is no text file, or it was damaged",
            hint="restore the file from git or a backup, or delete the byte",
            line=line,
            column=column,
        )
    found = _OPENING.match(data, start)
    if found is None:
        raise _no_frontmatter(data[start:])
    return found.end(), found[1] == b"\r\n"


def _refuse_encoding(data: bytes) -> None:
    # The marks of UTF-32 begin with those of UTF-16, or with two zeros; without a mark, zeros stand between.
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff", b"-\0-\0", b"\0-\0-")):
        raise TaskFormatError("the file is UTF-16 or UTF-32", hint="save it as UTF-8", line=1, column=1)


def _no_frontmatter(text: bytes) -> TaskFormatError:
    first = text.lstrip()[:8]
    message, hint = "the file does not begin with a `---` line, so it has no frontmatter", _START
    if not first:
        message = "the file is empty"
    elif first.startswith(b"<<<<<<<"):
        message, hint = "the file has git's conflict markers", "resolve the conflict: keep one of the two sides"
    elif first.startswith(b"+++"):
        message = "the frontmatter is TOML; a task file has YAML between `---` lines"
    elif first.startswith(b"{"):
        message = "the frontmatter is JSON; a task file has YAML between `---` lines"
    elif first.startswith(b"---"):
        only = text.lstrip()[3:].split(b"\n", 1)[0].strip()
        message = (
            "the `---` line is not the first line"
            if not only and text[:1].isspace()
            else "the first line is not just `---`"
        )
        hint = "the first line of the file must be `---` and nothing else"
    return TaskFormatError(message, hint=hint, line=1, column=1)


def _closing(data: bytes, begin: int) -> tuple[int, int]:
    limit = begin + MAX_FRONTMATTER + OWN_BYTES + 3  # what is searched for begins with the last line's end
    found = data.find(b"\n---", begin - 1, limit)
    while found >= 0:
        if data.startswith(b"\n", found + 4):
            return found + 1, found + 5
        match = _CLOSING.match(data, found)
        if match:
            return found + 1, match.end()
        found = data.find(b"\n---", found + 4, limit)
    if len(data) > limit:
        raise _not_closed_in_time()
    raise TaskFormatError(
        "the frontmatter is not closed: there is no second `---` line",
        hint="add a line `---` below the last key",
        line=1,
        column=1,
    )


def _refuse_excess(data: bytes, head: bytes) -> None:
    own = min(OWN_BYTES, sum(len(lines) for lines in _OWN_LINES.findall(head)))
    if len(data) - own > MAX_FILE:
        raise _too_large()
    if len(head) - own > MAX_FRONTMATTER:
        raise _not_closed_in_time()


def _too_large() -> TaskFormatError:
    return TaskFormatError(
        f"the file has more than {MAX_FILE:,} bytes; no task file may",
        hint="keep long material in files of its own, and name their paths in the body",
    )


def _not_closed_in_time() -> TaskFormatError:
    return TaskFormatError(
        f"the frontmatter is not closed within {MAX_FRONTMATTER} bytes",
        hint="add a line `---` below the last key; long text belongs below that line",
        line=1,
        column=1,
    )


def _decoded(data: bytes, head: bytes) -> str:
    try:
        data.decode()
    except UnicodeDecodeError as fault:
        line, column = place(data, fault.start)
        raise TaskFormatError(
            f"byte 0x{data[fault.start]:02x} is not UTF-8", hint="save the file as UTF-8", line=line, column=column
        ) from None
    return head.decode()


def _checked(text: str) -> str:
    text = text.replace("\r\n", "\n")
    found = _FORBIDDEN.search(text)
    if found is None:
        return text
    before = text[: found.start()]
    code = ord(found[0])
    what = {0x0D: "a carriage return without a line feed", 0xFEFF: "a byte order mark inside the text"}.get(
        code, f"the invisible or control character U+{code:04X}"
    )
    raise TaskFormatError(
        f"{what} in the frontmatter",
        hint='delete it; where it is meant, write it as an escape in double quotes, such as "\\u2028"',
        line=before.count("\n") + 2,
        column=len(before) - before.rfind("\n"),
    )
