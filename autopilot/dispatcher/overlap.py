"""Whether two globs can match one path: the check behind ``touches:``."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

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
    return tuple(_atoms(part) for part in pattern.split("/") if part not in ("", "."))


def _atoms(part: str) -> str:
    """A name pattern with each character class replaced by ``?``."""
    result, at = [], 0
    while at < len(part):
        end = part.find("]", at + 2) if part[at] == "[" else -1
        result.append("?" if end > 0 else part[at])
        at = max(at, end) + 1
    return "".join(result)


@functools.lru_cache(maxsize=4096)
def _parts_meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    places = _places(other)

    @functools.cache
    def alike(name: str) -> int:
        return functools.reduce(operator.or_, (at for its, at in places.items() if _names_meet(name, its)), 0)

    # Where either ends, it names a folder above the other, or the same: everything below a named folder is meant.
    *passed, last = _together(one, places, "**", alike)
    return last > 0 or any(reached >> len(other) for reached in passed)


@functools.lru_cache(maxsize=4096)
def _names_meet(one: str, other: str) -> bool:
    places = _places(other)
    anything, question = -1, places.get("?", 0)
    *_, last = _together(
        one, places, "*", lambda atom: anything if atom == "?" else places.get(atom, 0) | question
    )
    return last >> len(other) & 1 > 0


def _places(items: Sequence[str]) -> dict[str, int]:
    """Where each of the items stands, as the bits of a number."""
    found: dict[str, int] = {}
    for place, item in enumerate(items):
        found[item] = found.get(item, 0) | 1 << place
    return found


def _together(
    one: Sequence[str], places: Mapping[str, int], wild: str, alike: Callable[[str], int]
) -> Iterator[int]:
    """Read two patterns along one path: before each item of ``one``, and after its last, the places in the other
    that can have been reached by then, as the bits of a number.

    Numbers, and no call for each pair of items: a pattern may be as long as a task file.

    Args:
        places: of the items of the other pattern.
        wild: the item that stands for any number of things.
        alike: where the other has an item that goes with this one, when neither is wild.
    """
    wilds = places.get(wild, 0)
    end = functools.reduce(operator.or_, places.values(), 0) + 1
    reached = _past(wilds, 1)
    for item in one:
        yield reached
        if not reached:
            return
        if item == wild:
            reached = 2 * end - (reached & -reached)
        else:
            reached = reached & wilds | (reached & alike(item) & ~wilds & ~end) << 1
        reached = _past(wilds, reached)
    yield reached


def _past(wilds: int, reached: int) -> int:
    """These places, and those behind the wild ones among them, which may stand for nothing."""
    # The carry of a sum runs through a row of ones to the place behind it.
    return reached | ((reached & wilds) + wilds ^ wilds)
