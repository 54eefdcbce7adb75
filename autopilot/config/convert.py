"""From nodes to settings, by the types of the attrs classes: no setting has code of its own here."""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import attrs

from autopilot.config.node import Node
from autopilot.errors import ConfigError
from autopilot.system.near import did_you_mean

__all__ = ["Converter", "check_field", "field_types", "rest_field"]

_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*|(?=\.[0-9]))(\.[0-9]*)?([eE][-+]?[0-9]+)?\Z")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_AMBIGUOUS = frozenset({"yes", "no", "on", "off"})
_MAX_DIGITS = 18


@functools.cache
def field_types(cls: type) -> dict[str, Any]:
    """Field name -> its type, for the settings classes."""
    return typing.get_type_hints(cls)


def rest_field(cls: type) -> str | None:
    """The field that takes unknown keys, None for a class without one."""
    return next((field.name for field in attrs.fields(cls) if field.metadata.get("rest")), None)


def check_field(cls: type, name: str, value: Any) -> None:
    """Check one value's range.

    Raises:
        ValueError: it is out of range; the text says how.
    """
    field = getattr(attrs.fields(cls), name)
    if field.validator is not None:
        field.validator(None, field, value)


class Converter:
    """Converts one file's nodes.

    Args:
        path: the file, for messages.
        seen: called with (dotted key, line) for every value that was set.
    """

    def __init__(self, path: str, seen: Callable[[str, int], None] = lambda key, line: None) -> None:
        self._path = path
        self._seen = seen

    def build(self, cls: type, node: Node, key: str) -> Any:
        """Make ``cls`` from a mapping node (an empty one gives the defaults).

        Raises:
            ConfigError: an unknown key, a wrong type or a value out of range; names file, line and key.
        """
        entries = self._entries(node, key)
        known = {field.name for field in attrs.fields(cls)} - {rest_field(cls)}
        values: dict[str, Any] = {}
        for name in entries.keys() & known:
            values[name] = self.field(cls, name, entries[name], _join(key, name))
        others = {name: item for name, item in entries.items() if name not in known}
        if others:
            rest = self._rest_of(cls, others, key)
            values[rest] = self._rest(cls, rest, others, key)
        try:
            return cls(**values)
        except ValueError as fault:
            self._fail(node.line, key, str(fault))

    def _rest_of(self, cls: type, others: Mapping[str, Node], key: str) -> str:
        rest = rest_field(cls)
        if rest is None:
            self._unknown(cls, next(iter(others)), others, key)
        if rest in others:
            self._fail(others[rest].line, _join(key, rest), "is no setting", f"write them straight below {key!r}")
        return rest

    def _rest(self, cls: type, rest: str, others: Mapping[str, Node], key: str) -> dict[str, Any]:
        wanted = typing.get_args(field_types(cls)[rest])[1]
        for name, item in others.items():
            if wanted is not Any and not isinstance(item.value, dict) and not item.empty:
                self._unknown(cls, name, others, key)
        return {name: self._value(wanted, item, _join(key, name)) for name, item in others.items()}

    def _unknown(self, cls: type, name: str, others: Mapping[str, Node], key: str) -> NoReturn:
        known = sorted({field.name for field in attrs.fields(cls)} - {rest_field(cls)})
        hint = did_you_mean(name, known) or f"known here: {', '.join(known)}"
        self._fail(others[name].line, _join(key, name), "is no setting", hint)

    def field(self, cls: type, name: str, node: Node, key: str) -> Any:
        """Convert and check one field of ``cls``.

        Raises:
            ConfigError: a wrong type or a value out of range.
        """
        value = self._value(field_types(cls)[name], node, key)
        try:
            check_field(cls, name, value)
        except ValueError as fault:
            self._fail(node.line, key, str(fault))
        return value

    def _value(self, wanted: Any, node: Node, key: str) -> Any:
        if attrs.has(wanted):
            return self.build(wanted, node, key)
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if origin is types.UnionType:
            if node.empty:
                self._seen(key, node.line)
                return None
            return self._value(arguments[0], node, key)
        if origin is not None and issubclass(origin, Mapping):
            return self._mapping(arguments[1], node, key)
        self._seen(key, node.line)
        if origin is tuple:
            return self._list(arguments[0], node, key)
        return self._plain(node, key) if wanted is Any else self._scalar(wanted, node, key)

    def _mapping(self, wanted: Any, node: Node, key: str) -> dict[str, Any]:
        return {
            name: self._value(wanted, item, _join(key, name)) for name, item in self._entries(node, key).items()
        }

    def _entries(self, node: Node, key: str) -> dict[str, Node]:
        if node.empty:
            return {}
        if not isinstance(node.value, dict):
            self._fail(node.line, key, "must be a section with keys of its own")
        return node.value

    def _list(self, wanted: type, node: Node, key: str) -> tuple[Any, ...]:
        if not isinstance(node.value, list):
            self._fail(node.line, key, "must be a list", f"write `{key.rpartition('.')[2]}: [first, second]`")
        return tuple(self._scalar(wanted, item, key) for item in node.value)

    def _scalar(self, wanted: type, node: Node, key: str) -> Any:
        if not isinstance(node.value, str) or node.empty:
            self._fail(node.line, key, f"must be {_NAMES[wanted]}", "remove the line to take the default")
        if wanted is str:
            return node.value
        if node.quoted:
            self._fail(node.line, key, f"must be {_NAMES[wanted]}, not text", "remove the quotes")
        if wanted is bool and node.value in _BOOLS:
            return _BOOLS[node.value]
        if wanted is int and _INT.match(node.value) and len(node.value) <= _MAX_DIGITS:
            return int(node.value)
        if wanted is float and _FLOAT.match(node.value):
            return float(node.value)
        return self._fail(node.line, key, f"must be {_NAMES[wanted]}, not {node.value!r}")

    def _plain(self, node: Node, key: str) -> Any:
        """A value without a wanted type: true/false, null, decimal numbers, and text for all else."""
        if isinstance(node.value, dict):
            return {name: self._plain(item, _join(key, name)) for name, item in node.value.items()}
        if isinstance(node.value, list):
            return [self._plain(item, key) for item in node.value]
        if node.quoted:
            return node.value
        if node.value.lower() in _AMBIGUOUS:
            self._fail(
                node.line, key, f"has the value {node.value}: text, or a yes-or-no?", "write true, false or quotes"
            )
        if node.empty or node.value in _BOOLS:
            return _BOOLS.get(node.value)
        if _INT.match(node.value) and len(node.value) <= _MAX_DIGITS:
            return int(node.value)
        return float(node.value) if _FLOAT.match(node.value) else node.value

    def _fail(self, line: int, key: str, message: str, hint: str = "") -> NoReturn:
        place = f"{self._path}:{line}" if line else self._path
        raise ConfigError(f"{place}: {key or 'the file'} {message}", hint=hint, path=self._path, key=key)


_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
