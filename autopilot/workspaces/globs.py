"""Globs over relative POSIX paths, as ``protected:`` and ``.gitignore`` write them."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["literal_prefix", "matcher"]


def matcher(patterns: Iterable[str], *, fold_case: bool = False) -> re.Pattern[str]:
    """One expression that fully matches the paths that any of ``patterns`` names.

    ``*`` and ``?`` stay within a component, ``**`` spans components, a pattern without an inner ``/`` matches at
    any depth, and what names a folder names everything below it. ``x/**`` names ``x`` too, for the case that
    somebody puts a file or link there.
    """
    return re.compile(
        "|".join(f"(?:{_translate(pattern)})" for pattern in patterns) or r"(?!)",
        re.DOTALL | (re.IGNORECASE if fold_case else 0),
    )


def literal_prefix(pattern: str) -> str | None:
    """The path before the first component with a wildcard; None for a pattern that matches at any depth."""
    parts = _parts(pattern)
    if parts[0] == "**":
        return None
    literal = []
    for part in parts:
        if re.search(r"[*?\[]", part):
            break
        literal.append(part)
    return "/".join(literal)


def _parts(pattern: str) -> list[str]:
    anchored = "/" in pattern.rstrip("/")
    parts = [part for part in pattern.split("/") if part not in ("", ".")] or ["**"]
    return parts if anchored or parts[0] == "**" else ["**", *parts]


def _translate(pattern: str) -> str:
    parts = _parts(pattern)
    while len(parts) > 1 and parts[-1] == "**":
        parts.pop()
    pieces = [r"(?:[^/]+/)*" if part == "**" else _component(part) + "/" for part in parts[:-1]]
    last = r".*" if parts[-1] == "**" else _component(parts[-1])
    return "".join(pieces) + last + r"(?:/.*)?"


def _component(part: str) -> str:
    out, at = "", 0
    while at < len(part):
        character = part[at]
        at += 1
        if character == "*":
            out += r"[^/]*"
        elif character == "?":
            out += r"[^/]"
        elif character == "[":
            piece, at = _bracket(part, at)
            out += piece
        else:
            out += re.escape(character)
    return out


def _bracket(part: str, at: int) -> tuple[str, int]:
    # The first character of a set may be a closing bracket, also after the negation.
    negated = part[at : at + 1] in ("!", "^")
    start = at + negated
    end = part.find("]", start + 1)
    if end < 0:
        return re.escape("["), at
    inner = re.sub(r"([\\\[\]^&~|])", r"\\\1", part[start:end])
    return f"(?!/)[{'^' if negated else ''}{inner}]", end + 1
