"""A piece of a config file, before anybody knows its type."""

from __future__ import annotations

import attrs

__all__ = ["Node"]


@attrs.frozen(kw_only=True)
class Node:
    """A piece of the file.

    Attributes:
        value: the text of a scalar, the items of a list, or the entries of a mapping.
        line: where it begins, from 1.
        quoted: a scalar that was written in quotes or as a block: always text.
    """

    value: str | list[Node] | dict[str, Node]
    line: int
    quoted: bool = False

    @property
    def empty(self) -> bool:
        """Nothing, ``~`` or ``null`` was written."""
        return not self.quoted and self.value in ("", "~", "null")
