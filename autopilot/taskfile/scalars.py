"""Unquoted scalars: what they mean, and which texts may be written without quotes.

YAML gives unquoted words surprising types (``no``, ``1.10``, ``00123``, ``1:30``). A task file does not: they are
text, unless the field table says otherwise. Only an empty value, ``~`` and ``null`` mean that there is no value.
"""

from __future__ import annotations

import math
import re
from typing import Any

__all__ = ["FLOW_PLAIN", "NULLS", "PLAIN", "TABOO", "quote", "resolve", "shown", "writes_plain"]

PLAIN = r"[^\s\-?:,\[\]{}\#&*!|>'\"%@`][^\n\t:#]*+(?:(?::(?=\S)|(?<=\S)\#)[^\n\t:#]*+)*+"
"""A regular expression for texts that every YAML reader takes for one unquoted scalar on the right of ``key: ``.
Stricter than YAML; trailing spaces are not part of the value."""

FLOW_PLAIN = r"[A-Za-z0-9_./][A-Za-z0-9_./+*@=~ -]*+"
"""The same inside ``[…]`` and ``{…}``."""

TABOO = re.compile("[\0\ud800-\udfff]")
"""Characters that no value may have, however they are escaped."""

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
"""Unquoted scalars that mean that there is no value."""

# What YAML does not let stand in a quoted scalar on one line, by some version's word.
_ESCAPED = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
_WORDS = {"true": True, "false": False}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,39})")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BLOCK_SAFE = re.compile(PLAIN)
_FLOW_SAFE = re.compile(FLOW_PLAIN)
# What some YAML reader (1.1 or 1.2) takes for something else than text.
_AMBIGUOUS = re.compile(
    r"(?i:~|null|true|false|yes|no|on|off|y|n|=|[-+.]?[0-9][0-9a-fxotz_.:+ -]*|\.inf|\.nan|[+-]\.inf|<<)"
)


def resolve(text: str, *, data: bool) -> Any:
    """The meaning of an unquoted scalar.

    Args:
        data: it stands below one of ``DATA_KEYS``, where JSON's words and numbers have their meaning.
    """
    if text in NULLS:
        return None
    return _json(text) if data else text


def _json(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


def writes_plain(text: str, *, flow: bool, ambiguous: bool = False) -> bool:
    """Whether a text can be written without quotes and be read back as it is, by us and by other YAML readers.

    Args:
        flow: inside ``[…]`` or ``{…}``.
        ambiguous: allow texts that other readers take for numbers, times or truth values; the caller knows that it
            is none of ``NULLS``.
    """
    safe = _FLOW_SAFE if flow else _BLOCK_SAFE
    if not text.isprintable() or text.endswith(" ") or not safe.fullmatch(text):
        return False
    return ambiguous or not _AMBIGUOUS.fullmatch(text)


def shown(text: str) -> str:
    """A foreign text for a message: in quotes, on one line, printable and not too long."""
    return ascii(text if len(text) <= 60 else text[:60] + "…")


def quote(text: str) -> str:
    """The text in quotes, on one line; double ones where nothing needs an escape, else single ones if they do."""
    if _ESCAPED.search(text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{_ESCAPED.sub(_escape, escaped)}"'
    if '"' in text or "\\" in text:
        return "'" + text.replace("'", "''") + "'"
    return f'"{text}"'


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return _SHORT.get(found[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
