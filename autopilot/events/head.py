"""The head of the log: one small record beside the segments that says how far they go.

It is a cache (a writer who finds another's lines needs not read them) and a witness (a last line that was
changed, or cut off, no longer agrees with it). It is overwritten in place after each append, without fsync:
after a power cut it may be old, and then the segments are read. Deleting it loses no event.
"""

from __future__ import annotations

import os
import re
import struct
import zlib

import attrs

from autopilot.errors import UsageError

__all__ = ["GENESIS", "Anchor", "HeadFile", "Tail"]

GENESIS = "0" * 64
"""``prev`` of the first event of all."""

_NAME = "events.head"
_COUNT = re.compile(r"[0-9]{1,18}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
# number, size, events, digest, latest; then a CRC-32 of these. Fixed in size, and within one page of memory.
_FIELDS = struct.Struct("<QQQ32s27s")
_CHECKSUM = struct.Struct("<I")
_WIDTH = _FIELDS.size + _CHECKSUM.size


@attrs.frozen(kw_only=True)
class Anchor:
    """A point of the log that somebody notes elsewhere; ``verify`` then finds a log that was cut before it.

    Attributes:
        events: how many events the log had, pruned ones included.
        digest: SHA-256 (hex) of the last one's line.
    """

    events: int
    digest: str

    def __str__(self) -> str:
        return f"{self.events}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """Read what ``str`` gave.

        Raises:
            UsageError: it is something else.
        """
        events, _, digest = text.strip().partition(":")
        if not _COUNT.fullmatch(events) or not _DIGEST.fullmatch(digest):
            raise UsageError(
                f"{text!r} is no anchor",
                hint="an anchor is `<events>:<sha256>`; `autopilotctl events verify` prints it as head",
            )
        return cls(events=int(events), digest=digest)


@attrs.frozen
class Tail:
    """How far the log goes.

    Attributes:
        number: of the newest segment, from 1.
        size: bytes of whole lines in it.
        events: events of the whole log so far, pruned ones included.
        digest: SHA-256 (hex) of the last line, without its newline.
        latest: the latest timestamp so far, empty at the start.
    """

    number: int = 1
    size: int = 0
    events: int = 0
    digest: str = GENESIS
    latest: str = ""


class HeadFile:
    """Reads and overwrites the record; a fault of either is no fault of the log, so none is raised."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, _NAME)
        self._fd = -1

    def read(self) -> Tail | None:
        """The record, or None where there is none to rely on."""
        return _parse(self._bytes())

    def is_damaged(self) -> bool:
        """Whether there is something that no writer leaves, and no power cut: those leave nothing, or zeros."""
        found = self._bytes()
        return bool(found.strip(b"\0")) and _parse(found) is None and self._bytes() == found

    def _bytes(self) -> bytes:
        fd = -1
        try:
            fd = self._fd if self._fd >= 0 else os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            return os.pread(fd, _WIDTH, 0)
        except OSError:
            return b""
        finally:
            if fd >= 0 and fd != self._fd:
                os.close(fd)

    def write(self, tail: Tail) -> None:
        """Overwrite the record; what does not fit (a hand wrote the segment) is not recorded."""
        try:
            digest, latest = bytes.fromhex(tail.digest), tail.latest.encode("ascii")
            body = _FIELDS.pack(tail.number, tail.size, tail.events, digest, latest)
            if self._fd < 0:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._fd = os.open(self._path, flags, 0o600)
            os.pwrite(self._fd, body + _CHECKSUM.pack(zlib.crc32(body)), 0)
        except (OSError, ValueError, struct.error):
            pass

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self._fd = self._fd, -1
        try:
            if fd >= 0:
                os.close(fd)
        except OSError:
            pass


def _parse(data: bytes) -> Tail | None:
    if len(data) != _WIDTH or _CHECKSUM.pack(zlib.crc32(data[:-4])) != data[-4:]:
        return None
    number, size, events, digest, latest = _FIELDS.unpack_from(data)
    return Tail(number, size, events, digest.hex(), latest.rstrip(b"\0").decode("ascii", "replace"))
