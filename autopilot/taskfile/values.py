"""From the text of a value to the value: one reader per kind of the field table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from autopilot.errors import TaskFormatError
from autopilot.models import Priority, Status, Workspace
from autopilot.system.clock import parse_instant
from autopilot.taskfile.fields import FIELDS, Field, Kind
from autopilot.taskfile.ids import check_id
from autopilot.taskfile.scalars import shown

__all__ = ["READERS", "FieldError", "Reader"]

Reader = Callable[[Any], Any]
"""From what ``fast.read`` and ``full.read`` give (never None) to what ``Task`` takes; raises ``FieldError``."""


class FieldError(Exception):
    """A value does not fit its field; the place is not known yet.

    Args:
        way: the keys and list positions that lead to the value.
        to_quote: the value is a list item that looks like text without its quotes: its line makes the best hint.
    """

    def __init__(self, way: tuple[str | int, ...], message: str, hint: str, *, to_quote: bool = False) -> None:
        super().__init__(message)
        self.way = way
        self.message = message
        self.hint = hint
        self.to_quote = to_quote


_ENUMS: Mapping[str, type[StrEnum]] = {"status": Status, "priority": Priority, "workspace": Workspace}
_INTEGER = re.compile(r"[0-9]{1,12}")
_NUMBER = re.compile(r"(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,3})?")
_TYPE_NAMES: Mapping[type, str] = {list: "a list", dict: "a mapping (`key: value`)"}


def _text_only(field: Field, raw: Any, way: tuple[str | int, ...] = ()) -> str:
    way = (field.name, *way)
    if not isinstance(raw, str):
        found = _TYPE_NAMES.get(type(raw), "something else")
        raise FieldError(way, f"`{field.name}` is {found}; it must be: {field.kind}", _example(field))
    if not raw or raw.isspace():
        raise FieldError(way, f"`{field.name}` is empty", f"give it a value ({field.example}) or remove the line")
    return raw


def _example(field: Field) -> str:
    return f"for example: {field.name}: {field.example}"


def _id(field: Field) -> Reader:
    def read(raw: Any) -> str:
        return _checked_id(field, _text_only(field, raw), ())

    return read


def _checked_id(field: Field, text: str, way: tuple[str | int, ...]) -> str:
    try:
        return check_id(text)
    except TaskFormatError as fault:
        raise FieldError((field.name, *way), fault.message, fault.hint) from None


def _text(field: Field) -> Reader:
    def read(raw: Any) -> str:
        return raw if isinstance(raw, str) and raw and not raw.isspace() else _text_only(field, raw)

    return read


def _choice(field: Field) -> Reader:
    enum = _ENUMS.get(field.name)
    known = {word: enum(word) if enum else word for word in field.choices}

    def read(raw: Any) -> Any:
        if isinstance(raw, str) and raw in known:
            return known[raw]
        text = _text_only(field, raw)
        words = ", ".join(field.choices)
        raise FieldError(
            (field.name,), f"`{field.name}` cannot be {shown(text)}", _near(field, text) + f"it is one of: {words}"
        )

    return read


def _near(field: Field, text: str) -> str:
    from difflib import get_close_matches

    word = text.strip().casefold()
    known = [*field.choices, *field.near]
    meant = next(iter(get_close_matches(word[:40], known, n=1, cutoff=0.75)), None)
    return f"write `{field.near.get(meant, meant)}`; " if meant else ""


def _number(field: Field) -> Reader:
    def read(raw: Any) -> float:
        text = _text_only(field, raw)
        if not _NUMBER.fullmatch(text):
            raise FieldError(
                (field.name,), f"`{field.name}` is {shown(text)}, which is no number", _example(field)
            )
        return _bounded(field, float(text), text)

    return read


def _integer(field: Field) -> Reader:
    def read(raw: Any) -> int:
        text = _text_only(field, raw)
        if not _INTEGER.fullmatch(text):
            raise FieldError(
                (field.name,), f"`{field.name}` is {shown(text)}, which is no whole number", _example(field)
            )
        return int(_bounded(field, int(text), text))

    return read


def _bounded(field: Field, number: float, text: str) -> float:
    low, high = field.minimum or 0, field.maximum if field.maximum is not None else math.inf
    if math.isfinite(number) and (number > low if field.above else number >= low) and number <= high:
        return number
    bounds = f"more than {low:g}" if field.above else f"at least {low:g}"
    bounds += f" and at most {field.maximum:,.0f}" if field.maximum is not None else ""
    raise FieldError((field.name,), f"`{field.name}` is {text}; it must be {bounds}", _example(field))


def _instant(field: Field) -> Reader:
    def read(raw: Any) -> datetime:
        text = _text_only(field, raw)
        try:
            return parse_instant(text)
        except (ValueError, OverflowError):
            raise FieldError((field.name,), f"`{field.name}` is no ISO 8601 time", _example(field)) from None

    return read


def _texts(field: Field) -> Reader:
    def read(raw: Any) -> tuple[str, ...]:
        if type(raw) is list:
            return tuple([_item(field, item, n) for n, item in enumerate(raw)])
        return (_text_only(field, raw),)

    return read


def _item(field: Field, raw: Any, n: int) -> str:
    if isinstance(raw, str) and raw and not raw.isspace():
        return raw
    where, way = f"item {n + 1} of `{field.name}`", (field.name, n)
    if type(raw) in _TYPE_NAMES:
        hint = "write each item as one text"
        raise FieldError(way, f"{where} is {_TYPE_NAMES[type(raw)]}", hint, to_quote=type(raw) is dict)
    raise FieldError(way, f"{where} is empty", "remove the item; quote it if the word `null` or `~` is meant")


def _words(field: Field) -> Reader:
    texts = _texts(field)

    def read(raw: Any) -> frozenset[str]:
        return frozenset(texts(raw))

    return read


def _ids(field: Field) -> Reader:
    texts = _texts(field)

    def read(raw: Any) -> tuple[str, ...]:
        found: tuple[str, ...] = texts(raw)
        is_list = type(raw) is list
        if not is_list and ("," in raw or " " in raw):
            ids = ", ".join(raw.replace(",", " ").split())
            raise FieldError(
                (field.name,), f"`{field.name}` is one text and no list", f"write {field.name}: [{ids}]"
            )
        return tuple(_checked_id(field, text, (n,) if is_list else ()) for n, text in enumerate(found))

    return read


def _command(field: Field) -> Reader:
    def read(raw: Any) -> str | tuple[str, ...]:
        if type(raw) is not list:
            return _text_only(field, raw)
        if not raw:
            raise FieldError((field.name,), "`command` is an empty list", _example(field))
        # An argument may be an empty text, the program may not.
        return tuple(item if n and item == "" else _item(field, item, n) for n, item in enumerate(raw))

    return read


def _data(field: Field) -> Reader:
    def read(raw: Any) -> Mapping[str, Any]:
        if type(raw) is dict:
            return raw
        raise FieldError((field.name,), f"`{field.name}` is no mapping", _example(field))

    return read


_MAKERS: Mapping[Kind, Callable[[Field], Reader]] = {
    Kind.ID: _id,
    Kind.TEXT: _text,
    Kind.CHOICE: _choice,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.INSTANT: _instant,
    Kind.TEXTS: _texts,
    Kind.WORDS: _words,
    Kind.IDS: _ids,
    Kind.COMMAND: _command,
    Kind.DATA: _data,
}

READERS: Mapping[str, Reader] = MappingProxyType(
    {field.name: _MAKERS[field.kind](field) for field in FIELDS.values()}
)
"""The reader of each known key."""
