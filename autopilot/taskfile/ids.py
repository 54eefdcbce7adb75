"""Task ids: they become file names, git branches and parts of event ids, so they are checked in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from random import Random

from autopilot.errors import TaskFormatError
from autopilot.system.clock import Clock
from autopilot.taskfile.scalars import shown

__all__ = ["ID_PATTERN", "check_id", "lookalike", "lookalikes", "new_id", "skeleton"]

ID_PATTERN = r"[a-z0-9][a-z0-9._-]{0,79}"
"""What an id looks like; ``check_id`` refuses a few that match it all the same."""

_SHAPE = re.compile(ID_PATTERN)
_VALID = re.compile(
    r"(?!(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|\Z))"  # devices on Windows, whatever the suffix
    r"[a-z0-9]"
    # Two dots could climb out of a folder, Windows drops a final one, and git keeps its locks as `*.lock`.
    r"(?:[a-z0-9_-]|\.(?!\.|lock\Z|\Z)){0,79}"
)
_RULE = "1 to 80 of a-z, 0-9, `.`, `_` and `-`, beginning with a letter or digit"

# The rows for ASCII letters and digits of Unicode's confusables.txt (UTS #39), after case folding.
_LOOKALIKES = str.maketrans({"0": "o", "1": "l", "m": "rn"})


def check_id(text: str) -> str:
    """Return ``text`` if it can be a task's id.

    Raises:
        TaskFormatError: it cannot; the hint proposes one that can.
    """
    if _VALID.fullmatch(text):
        return text
    raise TaskFormatError(f"{shown(text)} is no valid task id: {_why(text)}", hint=_proposal(text))


def _why(text: str) -> str:
    if not text:
        return "it is empty"
    if len(text) > 80:
        return f"it has {len(text)} characters, 80 are allowed"
    if not _SHAPE.fullmatch(text):
        return f"an id is {_RULE}"
    if ".." in text:
        return "it contains `..`"
    if text.endswith("."):
        return "it ends with a dot"
    if text.endswith(".lock"):
        return "it ends with `.lock`, which git refuses in branch names"
    return "it is the name of a device on Windows"


def _proposal(text: str) -> str:
    slug = re.sub(r"[^a-z0-9_]+", "-", text[:200].casefold()).strip("-_")[:60].rstrip("-_")
    if re.match(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])$", slug):
        slug = f"task-{slug}"
    return f"for example: {slug}" if slug else "leave the id out to get a new one, such as req-20261122-1f0c9a3b"


def new_id(clock: Clock, rng: Random) -> str:
    """A fresh id, ``req-YYYYMMDD-xxxxxxxx``: today in UTC and eight random hexadecimal digits.

    Args:
        rng: ``random.SystemRandom()`` in production. Two ids of one day collide with a chance of one in
            4 billion; creating a task never overwrites, so the caller then draws again.
    """
    return f"req-{clock.now():%Y%m%d}-{rng.getrandbits(32):08x}"


def skeleton(text: str) -> str:
    """What a reader sees of an id: ids with equal skeletons look alike, and only one of them may exist.

    Valid ids are ASCII and lower case, so what is left to confuse is ``0``/``o``, ``1``/``l`` and ``m``/``rn``.
    Names of files that are no valid ids (``Fix.md``, a full-width ``１``) are normalised first.
    """
    if not text.isascii():
        import unicodedata

        text = unicodedata.normalize("NFKC", text)
    return text.casefold().translate(_LOOKALIKES)


def lookalike(text: str, others: Iterable[str]) -> str | None:
    """The first of ``others`` that a reader would take for ``text`` and that is another id; None mostly."""
    wanted = skeleton(text)
    return next((other for other in others if other != text and skeleton(other) == wanted), None)


def lookalikes(ids: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each id that a reader would take for an earlier one of ``ids``, with that one."""
    seen: dict[str, str] = {}
    for text in ids:
        first = seen.setdefault(skeleton(text), text)
        if first != text:
            yield text, first
