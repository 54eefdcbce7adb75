"""The names that somebody who mistyped one may have meant."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """``did you mean a or b?``, with at most so many; empty where nothing is alike."""
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(known), n=most)
    return f"did you mean {' or '.join(close)}?" if close else ""
