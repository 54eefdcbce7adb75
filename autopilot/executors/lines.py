"""Bytes to lines, with a bound on what one line may cost."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["LineSplitter"]

LONGEST_LINE = 1024 * 1024


class LineSplitter:
    """Splits a stream at newlines; a line longer than ``longest`` bytes is cut there, and its rest dropped.

    Lines are decoded as UTF-8, with U+FFFD for what is none. Only ``\\n`` (and ``\\r\\n``) ends a line: U+2028 and
    form feeds are characters like others.
    """

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[str]:
        """The lines that ``data`` completes."""
        first, *others = data.split(b"\n")
        self._extend(first)
        for part in others:
            yield self._take()
            self._extend(part)

    def close(self) -> Iterator[str]:
        """The last line, where it had no newline."""
        if self._pending:
            yield self._take()

    def _extend(self, part: bytes) -> None:
        self._pending += part[: self._longest - len(self._pending)]

    def _take(self) -> str:
        line = self._pending.decode("utf-8", "replace").removesuffix("\r")
        self._pending.clear()
        return line
