"""Text of strangers on a terminal: what would move the cursor, reorder or hide text is shown as an escape."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

__all__ = ["escaped", "visible"]

LINE_LIMIT = 2000
"""Characters that a line may have unless the caller says otherwise."""

# C0 but \t and \n, DEL, C1 (8-bit controls among them), soft hyphen, Arabic letter mark, Mongolian vowel
# separator, zero-width and direction marks, line and paragraph separators, bidi controls, invisible operators,
# BOM, interlinear annotations, lone surrogates, tags.
_DANGEROUS = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str, *, limit: int = LINE_LIMIT) -> str:
    """``text`` as it may be printed: newlines and tabs stay, every other control becomes ``\\x1b``, ``\\u202e``.

    Everything that came from an agent, a task or a peer goes through here before it reaches a terminal.

    Args:
        limit: characters a line may have; the rest becomes ``… (+N characters)``. 0 for no limit.
    """
    safe = escaped(text, _escape)
    if limit <= 0 or len(safe) <= limit:
        return safe
    return "\n".join(_cut(line, limit) for line in safe.split("\n"))


def escaped(text: str, escape: Callable[[str], str]) -> str:
    """``text`` with every character that ``visible`` would show put into other words, newlines and tabs left."""
    # All that is dangerous is unprintable, and most text is printable: it never pays for the pattern.
    harmless = text.replace("\n", "").replace("\t", "").isprintable()
    return text if harmless else _pattern().sub(lambda match: escape(match[0]), text)


@functools.cache
def _pattern() -> re.Pattern[str]:
    return re.compile(_DANGEROUS)


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[:limit]}… (+{len(line) - limit} characters)"
