"""A reader for the plain part of YAML that nearly all task files keep to: ten times as fast as a whole one.

It knows ``key: value``, ``key:`` with a list of ``- items`` or one level of ``key: value`` below, flow lists,
comments, and quotes without escapes. Whatever it is not sure of, it leaves to ``autopilot.taskfile.full``: it
answers None, never an error, and what it answers is what the full reader would answer (a property test holds the
two together).
"""

from __future__ import annotations

import re
from typing import Any

from autopilot.taskfile.fields import DATA_KEYS
from autopilot.taskfile.scalars import FLOW_PLAIN, NULLS, PLAIN, resolve

__all__ = ["LINE", "read"]

_VALUE = rf"""(?:"[^"\\\n\t]*+"|'[^'\n\t]*+'|\[[^\[\]{{}}\#\n\t]*+\]|{PLAIN})"""

LINE = re.compile(
    rf"""
    (\ *+)                                                # 1 the indent
    (?: (-)\ ++ (?=[^\s\#])                               # 2 an item
      | ([A-Za-z_][A-Za-z0-9_-]{{0,63}}+):(?=\s)\ *+      # 3 a key
    )
    ({_VALUE})?+ \ *+                                     # 4 the value
    (?:(?<=\ )\#(?:\ [^\n]*+)?+)?+ \n                     # a comment, if it is clearly one
    | \ *+(?:\#[^\n]*+)?+\n                               # an empty line or a whole line of comment
    | ([^\n]*+\n)                                         # 5 anything else
    """,
    re.VERBOSE,
)
"""One line of the plain subset. Group 5 matches what is outside of it."""

_FLOW_ITEM = re.compile(rf""" *+(?:"([^"\\]*+)"|'([^']*+)'|({FLOW_PLAIN})) *+(,|$)""")
# Each line makes at most three nodes and each comma one more: this stays below the full reader's 1,000.
_MAX_LINES = 250
_MAX_COMMAS = 150
_MARKED = frozenset("[\"'")
_lines = LINE.findall


class _UnsureError(Exception):
    """The full reader must judge."""


def read(head: str) -> dict[str, Any] | None:
    """The frontmatter's keys and values: text, None, lists and dicts of them; None when not sure.

    Args:
        head: as ``Source.head``: LF line ends, ending with one, allowed characters only.
    """
    found = _lines(head)
    if len(found) > _MAX_LINES or head.count(",") > _MAX_COMMAS:
        return None
    try:
        return _assemble(found)
    except _UnsureError:
        return None


def _assemble(found: list[tuple[str, ...]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    below = ""  # the key that may have a list or mapping below it
    box: _Box | None = None
    for indent, dash, key, value, other in found:
        if key and not indent:
            if key in out:
                raise _UnsureError
            out[key] = _read_value(value, key in DATA_KEYS)
            below, box = ("", None) if value else (key, None)
        elif dash or key:
            if box is None:
                box = _Box(indent, out, below, is_list=bool(dash))
            box.add(indent, key, value)
        elif other:
            raise _UnsureError
    return out


class _Box:
    """The list or the mapping below a key."""

    __slots__ = ("data", "indent", "items")

    def __init__(self, indent: str, out: dict[str, Any], key: str, *, is_list: bool) -> None:
        if not key:
            raise _UnsureError
        self.indent = indent
        self.data = key in DATA_KEYS
        self.items: Any = [] if is_list else {}
        out[key] = self.items

    def add(self, indent: str, key: str, value: str) -> None:
        items = self.items
        if indent != self.indent or (type(items) is dict) != bool(key) or (key and key in items):
            raise _UnsureError
        if key:
            items[key] = _read_value(value, self.data)
        else:
            items.append(_read_value(value, self.data))


def _read_value(value: str, data: bool) -> Any:
    if value[:1] in _MARKED:
        return _flow(value[1:-1], data) if value[0] == "[" else value[1:-1]
    text = value.rstrip(" ")
    if data:
        return resolve(text, data=True)
    return None if text in NULLS else text


def _flow(text: str, data: bool) -> list[Any]:
    items: list[Any] = []
    position = 0
    comma = text.strip(" ")
    while comma:
        found = _FLOW_ITEM.match(text, position)
        if found is None:
            raise _UnsureError
        double, single, plain, comma = found.groups()
        items.append(resolve(plain.rstrip(" "), data=data) if plain else double or single or "")
        position = found.end()
    return items
