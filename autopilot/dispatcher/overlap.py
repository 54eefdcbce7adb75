"""Whether two globs can match one path: the check behind ``touches:``."""

from __future__ import annotations

import functools
from collections.abc import Iterable

__all__ = ["overlap", "overlapping"]


def overlapping(mine: Iterable[str], theirs: Iterable[str]) -> tuple[str, str] | None:
    """The first pair of globs, one of each side, that can match the same path; None if there is none."""
    others = tuple(theirs)
    return next(((a, b) for a in mine for b in others if overlap(a, b)), None)


def overlap(one: str, other: str) -> bool:
    """Whether some path matches both globs (``*``, ``?``, ``[…]`` within a part, ``**`` over parts).

    A pattern that names a folder (``src/`` or ``src``) also means everything below it. Character classes are
    taken as ``?``, so the answer errs on the side of an overlap.
    """
    return _parts_meet(_parts(one), _parts(other))


def _parts(pattern: str) -> tuple[str, ...]:
    return tuple(part for part in pattern.split("/") if part not in ("", "."))


@functools.lru_cache(maxsize=4096)
def _parts_meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        # One names a folder above the other, or both end here: everything below a named folder is meant.
        return True
    if one[0] == "**":
        return _parts_meet(one[1:], other) or _parts_meet(one, other[1:])
    if other[0] == "**":
        return _parts_meet(one, other[1:]) or _parts_meet(one[1:], other)
    return _names_meet(_atoms(one[0]), _atoms(other[0])) and _parts_meet(one[1:], other[1:])


def _atoms(part: str) -> str:
    """A name pattern with each character class replaced by ``?``."""
    result, rest = "", part
    while rest:
        end = rest.find("]", 2) if rest[0] == "[" else -1
        result, rest = (result + "?", rest[end + 1 :]) if end > 0 else (result + rest[0], rest[1:])
    return result


@functools.lru_cache(maxsize=4096)
def _names_meet(one: str, other: str) -> bool:
    if not one or not other:
        return not (one + other).strip("*")
    if one[0] == "*":
        return _names_meet(one[1:], other) or _names_meet(one, other[1:])
    if other[0] == "*":
        return _names_meet(one, other[1:]) or _names_meet(one[1:], other)
    same = one[0] == other[0] or "?" in (one[0], other[0])
    return same and _names_meet(one[1:], other[1:])
