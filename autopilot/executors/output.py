"""Output that may be endless, kept in a bounded file and bounded memory: the head live, the tail at the end."""

from __future__ import annotations

import os

from autopilot.system.failpoints import write_all
from autopilot.system.redact import Redactor

__all__ = ["CappedFile", "left_out"]

HEAD_BYTES = 64 * 1024
TAIL_BYTES = 256 * 1024
_SLICE = 64 * 1024


def left_out(count: int) -> bytes:
    """The line that stands for ``count`` bytes that were not kept."""
    return f"\n[… {count} bytes left out …]\n".encode()


class CappedFile:
    """Writes what a program prints, redacted, at once, until the file is full; from then on only the last part is
    kept in memory, and appended at ``close``.

    A disk that refuses never stops the attempt: the file is then incomplete, ``fault`` says why, and ``text``
    still knows head and tail. Past the limit a byte costs one copy in memory, so that a flood is swallowed fast.

    Args:
        path: made private to the user (0600); an existing file is replaced.
        limit_bytes: what the file may have in all (marker apart), tail included.
        head_bytes: what ``text`` keeps of the beginning.
        tail_bytes: what ``text`` and a full file keep of the end; at most half of the limit.

    Attributes:
        total: bytes that the program printed.
        fault: why the file is incomplete, empty where it is not.
    """

    def __init__(
        self,
        path: str,
        redactor: Redactor,
        *,
        limit_bytes: int,
        head_bytes: int = HEAD_BYTES,
        tail_bytes: int = TAIL_BYTES,
    ) -> None:
        self.total = 0
        self.fault = ""
        self._redactor = redactor
        self._stream = redactor.stream()
        self._tail_bytes = min(tail_bytes, limit_bytes // 2)
        self._live_bytes = max(limit_bytes - self._tail_bytes, 0)
        self._written = 0
        self._head = bytearray()
        self._head_bytes = head_bytes
        self._head_end = 0  # how many printed bytes the head stands for
        self._ring = bytearray()
        self._ring_bytes = self._tail_bytes + redactor.overlap
        self._text: str | None = None
        self._fd = self._open(path)

    def _open(self, path: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            return os.open(path, flags, 0o600)
        except OSError as fault:
            self.fault = os.strerror(fault.errno or 0)
            return -1

    def write(self, data: bytes) -> None:
        """Take what the program printed."""
        self.total += len(data)
        self._keep_tail(data)
        for at in range(0, len(data), _SLICE):
            if self._written >= self._live_bytes:
                return
            self._put(self._stream.feed(data[at : at + _SLICE]))

    def _keep_tail(self, data: bytes) -> None:
        if len(data) >= self._ring_bytes:
            self._ring = bytearray(data[-self._ring_bytes :])
            return
        self._ring += data
        if len(self._ring) > 2 * self._ring_bytes:
            del self._ring[: -self._ring_bytes]

    def _put(self, safe: bytes) -> None:
        if len(self._head) < self._head_bytes:
            self._head += safe
            self._head_end = self._stream.consumed
        self._write_file(safe)
        self._written += len(safe)

    def _write_file(self, data: bytes) -> None:
        if self._fd < 0:
            return
        try:
            write_all(self._fd, data, "output.write")
        except OSError as fault:
            self.fault = os.strerror(fault.errno or 0)
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        """Append what was held back and the tail. May be called twice."""
        if self._text is not None:
            return
        if self._written < self._live_bytes:
            self._put(self._stream.close())
        for part in self._rest_after(self._stream.consumed):
            self._write_file(part)
        self._text = self._compose()
        self._ring = bytearray()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _rest_after(self, position: int) -> list[bytes]:
        """What is to follow the first ``position`` printed bytes: the ring's part of it, after a marker where
        there is a gap."""
        ring = bytes(self._ring[-self._ring_bytes :])
        start = self.total - len(ring)
        if position >= self.total:
            return []
        if start <= position:
            return [self._redactor.tail(ring, position - start)]
        # The ring may begin inside a secret, which would not be recognised: its first bytes are left out.
        skip = min(self._redactor.overlap, len(ring))
        return [left_out(start + skip - position), self._redactor.tail(ring, skip)]

    def _compose(self) -> str:
        return b"".join([bytes(self._head), *self._rest_after(self._head_end)]).decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """Head and tail, redacted, with a marker for what is missing between them. After ``close``."""
        return self._text or ""
