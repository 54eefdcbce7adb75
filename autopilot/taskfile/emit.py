"""From Python values to YAML that reads back equal, and that other YAML readers understand the same way."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from enum import Enum
from typing import Any

from autopilot.errors import TaskFormatError
from autopilot.system.clock import format_instant
from autopilot.taskfile.fields import DATA_KEYS, FIELDS, Kind
from autopilot.taskfile.scalars import TABOO, quote, shown, writes_plain
from autopilot.taskfile.values import READERS, FieldError

__all__ = ["below", "checked", "inline", "lines", "one_line"]

_BARE_KINDS = frozenset({Kind.CHOICE, Kind.NUMBER, Kind.INTEGER, Kind.INSTANT})
_INDENT = "  "
_FLOW_WIDTH = 88
_LONGEST_KEY = 1000  # YAML itself ends at 1,024
_LONGEST_DATA = 4000
_LARGEST = 10**40


class _Bare(str):
    """A text that other readers may take for a number, a time or a truth value: it is one."""

    __slots__ = ()


def checked(key: str, value: Any) -> Any:
    """What a reader of the file will get for ``key: value``: text, None, lists and mappings.

    Args:
        value: text, numbers, truth values, datetimes, enums, None, and lists, sets and mappings of them.

    Raises:
        TaskFormatError: the field does not take this value, or no task file can hold it. Below ``result`` a
            character that no file can hold becomes U+FFFD instead, and a text of more than 4,000 characters is
            cut: what an executor said must not stop the end of its attempt.
        TypeError: a value of another type.
    """
    raw = _raw(value, data=key in DATA_KEYS)
    field = FIELDS.get(key)
    if field is None or raw is None:
        return raw
    try:
        READERS[key](raw)
    except FieldError as fault:
        raise TaskFormatError(fault.message, hint=fault.hint) from None
    return _Bare(raw) if field.kind in _BARE_KINDS else raw


def _raw(value: Any, *, data: bool) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or (data and isinstance(value, bool)):
        return value
    if isinstance(value, str):
        return _text(value, data=data)
    if isinstance(value, bool | int | float):
        return _number(value, data=data)
    if isinstance(value, datetime):
        return _Bare(format_instant(value))
    if isinstance(value, Mapping):
        return {_key(key): _raw(item, data=data) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        value = sorted(value)
    if isinstance(value, list | tuple):
        return [_raw(item, data=data) for item in value]
    raise TypeError(f"a task file cannot hold a value of type {type(value).__name__}")


def _text(value: str, *, data: bool) -> str:
    if data:
        value = value if len(value) <= _LONGEST_DATA else value[: _LONGEST_DATA - 1] + "…"
        return TABOO.sub("\ufffd", value)
    if not TABOO.search(value):
        return value if isinstance(value, _Bare) else str(value)
    raise TaskFormatError(
        f"the text {shown(value)} has a NUL or half a surrogate pair", hint="delete the character"
    )


def _number(value: float, *, data: bool) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        raise TaskFormatError(f"{value} is no number that a task file can hold", hint="leave the key out")
    if data:
        return value if abs(value) < _LARGEST or isinstance(value, float) else str(value)
    if isinstance(value, bool):
        return _Bare(str(value).lower())
    return _Bare(int(value) if value == int(value) and abs(value) < 10**15 else repr(value))


def _key(key: Any) -> str:
    text = _text(str(key), data=False)
    if text and len(text) <= _LONGEST_KEY:
        return text
    raise TaskFormatError(
        f"the key {shown(text)} is empty or too long", hint=f"use 1 to {_LONGEST_KEY} characters"
    )


def lines(key: str, raw: Any, indent: str = "") -> list[str]:
    """The lines of ``key: value``, without their ends.

    Args:
        raw: as ``checked`` gives it.
        indent: stands before each of them.
    """
    head = f"{indent}{_key_text(_key(key))}:"
    if one_line(raw):
        return [f"{head} {inline(raw)}"]
    return [head, *below(raw, indent)]


def one_line(raw: Any) -> bool:
    """Whether a value belongs on the line of its key: all but longer lists and mappings."""
    if isinstance(raw, Mapping):
        return not raw
    if isinstance(raw, list):
        words = all(isinstance(item, str) and writes_plain(item, flow=True) for item in raw)
        return words and sum(len(item) + 2 for item in raw) <= _FLOW_WIDTH
    return True


def below(raw: Any, indent: str = "") -> list[str]:
    """The lines of a list or mapping under its key, which stands at ``indent``."""
    deeper = indent + _INDENT
    if isinstance(raw, Mapping):
        return [line for key, item in raw.items() for line in lines(key, item, deeper)]
    return [f"{deeper}- {inline(item)}" for item in raw]


def inline(raw: Any, *, flow: bool = False) -> str:
    """A value on one line.

    Args:
        flow: it stands inside ``[…]`` or ``{…}``.
    """
    if raw is None:
        return "null"
    if isinstance(raw, Mapping):
        return _joined("{}", (f"{_key_text(key)}: {inline(item, flow=True)}" for key, item in raw.items()))
    if isinstance(raw, list):
        return _joined("[]", (inline(item, flow=True) for item in raw))
    if not isinstance(raw, str):
        return str(raw).lower() if isinstance(raw, bool) else repr(raw)
    return str(raw) if writes_plain(raw, flow=flow, ambiguous=isinstance(raw, _Bare)) else quote(raw)


def _joined(brackets: str, items: Iterable[str]) -> str:
    return f"{brackets[0]}{', '.join(items)}{brackets[1]}"


def _key_text(key: str) -> str:
    return key if writes_plain(key, flow=True) else quote(key)
