"""A text that a person wrote, while Autopilot wrote its own keys into the file."""

from __future__ import annotations

from autopilot.errors import TaskFormatError
from autopilot.taskfile.codec import parse_frontmatter
from autopilot.taskfile.edit import edit
from autopilot.taskfile.fields import OWNED_KEYS

__all__ = ["merge", "same_but_owned"]


def same_but_owned(one: bytes, other: bytes) -> bool:
    """Whether two texts differ in nothing but the keys that Autopilot writes.

    Raises:
        TaskFormatError: they differ, and one cannot be read.
    """
    nothing = dict.fromkeys(OWNED_KEYS)
    return one == other or edit(one, nothing) == edit(other, nothing)


def merge(base: bytes, mine: bytes, theirs: bytes) -> bytes | None:
    """``mine``, with what Autopilot wrote meanwhile; an owned key that the person changed stays the person's.

    Args:
        base: what both began with.
        mine: the person's text.
        theirs: the file now.

    Returns:
        The merged text; None where more than owned keys changed between ``base`` and ``theirs``, or may have.

    Raises:
        TaskFormatError: ``mine`` cannot be read.
    """
    try:
        if not same_but_owned(base, theirs):
            return None
    except TaskFormatError:
        return None
    before, written, now = map(parse_frontmatter, (base, mine, theirs))
    untouched = [key for key in OWNED_KEYS if written.get(key) == before.get(key)]
    return edit(mine, {key: now.get(key) for key in untouched if now.get(key) != written.get(key)})
