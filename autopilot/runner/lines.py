"""JSON lines over pipes and sockets, bounded: what one process of an attempt tells another."""

from __future__ import annotations

import json
import os
from typing import Any

__all__ = ["LineReader", "encode_line"]

_CHUNK = 65536


def encode_line(message: Any) -> bytes:
    """One message as one line; ASCII only, so that no character inside it can be taken for its end."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


class LineReader:
    """Cuts what arrives on a descriptor into messages.

    A line over ``limit`` bytes is dropped as it comes and counted, and so is one that is no JSON object: the
    other side may be anything.

    Attributes:
        ended: the other side closed.
        dropped: lines that were not understood.
    """

    def __init__(self, fd: int, *, limit: int) -> None:
        self.fd = fd
        self.ended = False
        self.dropped = 0
        self._limit = limit
        self._kept = bytearray()
        self._skipping = False

    def read(self) -> list[dict[str, Any]]:
        """The messages completed by one read; empty too when a non-blocking descriptor has nothing."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return []
        except OSError:  # a reset peer is an ended one
            data = b""
        if not data:
            self.ended = True
        return self.feed(data)

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages completed by ``data``."""
        *complete, rest = data.split(b"\n")
        messages = []
        for piece in complete:
            message = self._finish(piece)
            if message is not None:
                messages.append(message)
        self._keep(rest)
        return messages

    def _finish(self, piece: bytes) -> dict[str, Any] | None:
        self._keep(piece)
        line, skipped = bytes(self._kept), self._skipping
        self._kept.clear()
        self._skipping = False
        message = None if skipped else _parse(line)
        if message is None:
            self.dropped += 1
        return message

    def _keep(self, piece: bytes) -> None:
        if self._skipping or len(self._kept) + len(piece) > self._limit:
            self._skipping = True
            self._kept.clear()
        else:
            self._kept += piece


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None
