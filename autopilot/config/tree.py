"""YAML as a tree of nodes that know their line; the restricted YAML of the config file.

Refused: anchors, aliases, tags, merge keys, duplicate keys, several documents, deep nesting. Scalars stay text
until somebody who knows the wanted type converts them, so that ``no`` and ``1.10`` mean what they say.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import attrs
import yaml

from autopilot.config.node import Node
from autopilot.errors import ConfigError

__all__ = ["read_tree"]

_MAX_DEPTH = 20


def read_tree(text: str, path: str) -> Node | None:
    """Parse a config file's text; None for one without content.

    Raises:
        ConfigError: it is no YAML, or uses a part of YAML that is refused here; names the line.
    """
    composer = _Composer(path, text)
    try:
        return composer.document()
    except yaml.YAMLError as fault:
        raise composer.error(
            _line(fault, text),
            f"this is no valid YAML: {_problem(fault)}",
            "check the indentation, and quote values that contain `: ` or ` #`",
        ) from None


def _line(fault: yaml.YAMLError, text: str) -> int:
    if isinstance(fault, yaml.reader.ReaderError):
        return text.count("\n", 0, fault.position) + 1
    mark = getattr(fault, "problem_mark", None)
    return mark.line + 1 if mark else 1


def _problem(fault: yaml.YAMLError) -> str:
    if isinstance(fault, yaml.reader.ReaderError):
        code = fault.character if isinstance(fault.character, int) else ord(fault.character)
        return f"the character U+{code:04X} is not allowed"
    problem = " ".join(str(getattr(fault, "problem", None) or fault).split())
    # libyaml looks ahead, and may meet a limit of its own before we meet ours.
    return f"nested deeper than {_MAX_DEPTH} levels" if "maximum nesting depth" in problem else problem


@functools.cache
def _loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Composer:
    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._events: Iterator[Any] = yaml.parse(text, Loader=_loader())

    def error(self, line: int, message: str, hint: str = "") -> ConfigError:
        return ConfigError(f"{self._path}:{line}: {message}", hint=hint, path=self._path)

    def document(self) -> Node | None:
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        node = self._node(next(self._events), 0)
        next(self._events)
        extra = next(self._events)
        if not isinstance(extra, yaml.StreamEndEvent):
            raise self.error(extra.start_mark.line + 1, "a second document starts here; only one is allowed")
        return node

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        self._refuse(event, line, depth)
        if isinstance(event, yaml.ScalarEvent):
            return Node(value=event.value, line=line, quoted=event.style is not None and event.style != "")
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(value=list(self._items(depth)), line=line)
        return Node(value=self._entries(depth), line=line)

    def _refuse(self, event: Any, line: int, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self.error(
                line, "anchors and aliases (& and *) are not allowed", "write the value out, or quote it"
            )
        if event.tag is not None:
            raise self.error(
                line, f"the tag {event.tag} is not allowed", "remove it, or quote a value that starts with !"
            )
        if depth > _MAX_DEPTH:
            raise self.error(line, f"nested deeper than {_MAX_DEPTH} levels")

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key.value, str):
                raise self.error(key.line, "a key must be a word")
            if key.value == "<<" and not key.quoted:
                raise self.error(key.line, "merge keys (<<) are not allowed", "write the values out")
            if key.value in entries:
                first = entries[key.value].line
                raise self.error(key.line, f"the key {key.value!r} is there twice (first in line {first})")
            value = self._node(next(self._events), depth + 1)
            entries[key.value] = attrs.evolve(value, line=key.line)
        return entries
