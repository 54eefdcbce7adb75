"""The full reader: YAML's events, read into text, lists and mappings, with the place of everything.

Built on PyYAML's C parser (the pure Python one where libyaml is missing). It reads events and composes them
itself, so that depth and size are bounded before anything is built, no tag or alias is ever followed, no duplicate
key is lost, and scalars stay text.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import yaml

from autopilot.errors import TaskFormatError
from autopilot.taskfile.diagnosis import LINES_HINT, conflict, diagnose, quote_hint, quoted_line
from autopilot.taskfile.entries import Entry
from autopilot.taskfile.fields import DATA_KEYS, LINE_KEYS, OWNED_KEYS, PROSE_KEYS
from autopilot.taskfile.scalars import TABOO, resolve, shown

__all__ = ["MAX_DEPTH", "MAX_NODES", "Document", "Path", "read"]

MAX_DEPTH = 20
MAX_NODES = 1000
"""Keys and values that people may write, and as many again in the keys that Autopilot writes."""

Path = tuple[str | int, ...]
"""The way to a value: keys and list positions from the top."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CUT = re.compile(r"[ \t]*#[^ \t]")
_TOO_MUCH = "keep the frontmatter small; long material belongs into the body"


class Document(NamedTuple):
    """What the full reader found.

    Attributes:
        values: keys and values: text, None, lists and dicts of them.
        entries: the place of each top-level key.
        marks: the place of each value, (line, column) counted from 0 in the frontmatter.
    """

    values: dict[str, Any]
    entries: dict[str, Entry]
    marks: dict[Path, tuple[int, int]]


def read(head: str) -> Document:
    """Read the frontmatter.

    Args:
        head: as ``Source.head``.

    Raises:
        TaskFormatError: with line and column in the file.
    """
    reader = _Reader(head)
    try:
        return reader.document()
    except TaskFormatError as fault:
        raise conflict(reader.lines) or fault from None
    except yaml.YAMLError as fault:
        raise conflict(reader.lines) or diagnose(fault, reader.lines) from None
    except (ValueError, OverflowError):
        # The pure Python scanner turns an escape such as "\UFFFFFFFF" into a character without checking it.
        raise TaskFormatError("an escape in double quotes names no character", hint="use single quotes") from None
    finally:
        reader.loader.dispose()


class _Reader:
    def __init__(self, head: str) -> None:
        self.lines = head.split("\n")
        self.loader = _Loader(head)
        self.nodes = {False: 0, True: 0}
        self.own = False
        self.last = (0, 0)
        self.document_ = Document({}, {}, {})

    # ------------------------------------------------------------------ the document

    def document(self) -> Document:
        self.loader.get_event()
        event = self.loader.get_event()
        if not isinstance(event, yaml.StreamEndEvent):
            self._one_document(event)
        return self.document_

    def _one_document(self, start: Any) -> None:
        if start.explicit or start.version or start.tags:
            raise self._fault(start, "a second `---` line or a `%` directive", "one pair of `---` lines is enough")
        root = self.loader.get_event()
        if not isinstance(root, yaml.MappingStartEvent) or root.flow_style:
            raise self._fault(root, "the frontmatter is not a list of `key: value` lines", LINES_HINT)
        self._check_node(root, 1)
        self._top()
        end = self.loader.get_event()
        if end.explicit:
            raise self._fault(end, "a `...` line inside the frontmatter", "delete it")
        after = self.loader.get_event()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._fault(after, "a second document inside the frontmatter", "keep one pair of `---` lines")

    def _top(self) -> None:
        values, entries, _ = self.document_
        while not isinstance(event := self.loader.get_event(), yaml.MappingEndEvent):
            self.own = isinstance(event, yaml.ScalarEvent) and event.value in OWNED_KEYS
            key = self._key(event, values)
            line, column, colon = self._check_key_line(event)
            value = self.loader.get_event()
            self.last = _start(value)
            header = isinstance(value, yaml.ScalarEvent) and value.style in ("|", ">")
            values[key] = self._node(value, (key,), 2)
            entries[key] = Entry(line, column, colon, *_start(value), *self.last, header)

    def _check_key_line(self, event: Any) -> tuple[int, int, int]:
        mark, end = event.start_mark, event.end_mark
        line = self.lines[mark.line]
        rest = self.lines[end.line][end.column :]
        spaces = len(rest) - len(rest.lstrip(" \t"))
        if line[: mark.column].strip(" ") or mark.line != end.line or rest[spaces : spaces + 1] != ":":
            raise self._fault(event, "a key that is not written as `key: value`", LINES_HINT)
        return mark.line, mark.column, end.column + spaces + 1

    # ------------------------------------------------------------------ nodes

    def _node(self, event: Any, path: Path, depth: int) -> Any:
        self._check_node(event, depth)
        self.document_.marks[path] = _start(event)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, yaml.SequenceStartEvent):
            value: Any = self._sequence(path, depth)
        else:
            value = self._mapping(path, depth)
        return value

    def _check_node(self, event: Any, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent):
            raise self._sign(event, "an alias (`*`)")
        if event.anchor is not None:
            raise self._sign(event, "an anchor (`&`)")
        if event.tag is not None:
            raise self._sign(event, "a tag (`!`)")
        self.nodes[self.own] += 1
        if self.nodes[self.own] > MAX_NODES:
            raise self._fault(event, f"more than {MAX_NODES} keys and values", _TOO_MUCH)
        if depth > MAX_DEPTH:
            raise self._fault(event, f"more than {MAX_DEPTH} levels of nesting", _TOO_MUCH)

    def _scalar(self, event: Any, path: Path) -> str | None:
        text: str = event.value
        if TABOO.search(text):
            raise self._fault(event, "an escape for a NUL or half a surrogate pair", "delete the escape")
        if event.style in ("|", ">"):
            self.last = self._end_of_block(event)
            return text.rstrip("\n") if len(path) == 1 and path[0] in LINE_KEYS else text
        self.last = _end(event)
        if event.style:
            return text
        if path[0] in PROSE_KEYS:
            self._refuse_cut(event)
        value: str | None = resolve(text, data=path[0] in DATA_KEYS)
        return value

    def _sequence(self, path: Path, depth: int) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self.loader.get_event(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), depth + 1))
        self._close(event)
        return items

    def _mapping(self, path: Path, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self.loader.get_event(), yaml.MappingEndEvent):
            key = self._key(event, values, path, depth)
            values[key] = self._node(self.loader.get_event(), (*path, key), depth + 1)
        self._close(event)
        return values

    def _key(self, event: Any, values: dict[str, Any], path: Path = (), depth: int = 1) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._fault(event, "a key that is no word", "quote it")
        self._check_node(event, depth + 1)
        key: str = event.value
        if not key or TABOO.search(key):
            raise self._fault(event, "an empty or unreadable key", LINES_HINT)
        if key == "<<" and not event.style:
            raise self._fault(event, "a merge key (`<<`)", "write the keys out")
        if key in values:
            first = self.document_.marks[(*path, key)][0] + 2
            raise self._fault(event, f"{shown(key)} stands here again, after line {first}", "keep one of the two")
        return key

    # ------------------------------------------------------------------ places

    def _close(self, end: Any) -> None:
        # The end of a block collection has no width: it stands where the next thing begins.
        if _end(end) != _start(end):
            self.last = _end(end)

    def _end_of_block(self, event: Any) -> tuple[int, int]:
        row = event.end_mark.line - (event.end_mark.column == 0)
        while row > event.start_mark.line and not self.lines[row].strip():
            row -= 1
        return row, len(self.lines[row])

    def _refuse_cut(self, event: Any) -> None:
        line = self.lines[event.end_mark.line]
        if _CUT.match(line, event.end_mark.column):
            raise self._fault(
                event,
                "` #` begins a comment, so the rest of this line would be lost",
                f"quote the value: {quoted_line(line)}; or put a space after `#` if a comment is meant",
            )

    def _sign(self, event: Any, what: str) -> TaskFormatError:
        hint = quote_hint(self.lines[event.start_mark.line], "delete it, or quote the value")
        return self._fault(event, f"{what}, which a task file may not have", hint)

    def _fault(self, event: Any, message: str, hint: str) -> TaskFormatError:
        line, column = _start(event)
        return TaskFormatError(message, hint=hint, line=line + 2, column=column + 1)


def _start(event: Any) -> tuple[int, int]:
    return event.start_mark.line, event.start_mark.column


def _end(event: Any) -> tuple[int, int]:
    return event.end_mark.line, event.end_mark.column
