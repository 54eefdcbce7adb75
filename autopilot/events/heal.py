"""Mending a torn end: the fragment is kept aside and its place is taken by an event that says so.

The event is written *over* the fragment and the rest cut off. A crash at any instant then leaves either the
fragment, or the event with a rest of the fragment behind it: torn again, and healed again. There is no instant
at which the fragment is gone and nothing tells of it.
"""

from __future__ import annotations

import hashlib
import os

from autopilot.models import EventDraft
from autopilot.system.durable import sync_folder
from autopilot.system.failpoints import failpoint, write_all

__all__ = ["healed", "keep_fragment", "overwrite", "read_fragment"]

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


def read_fragment(fd: int, start: int) -> bytes:
    """Everything of the file from ``start`` on."""
    pieces = []
    while piece := os.pread(fd, 1 << 20, start):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)


def healed(number: int, fragment: bytes, missing: int) -> EventDraft:
    """The event that tells of it."""
    digest = hashlib.sha256(fragment).hexdigest()
    payload = {"segment": number, "bytes": len(fragment), "sha256": digest, "missing_events": missing}
    return EventDraft(event_type="log.healed", payload=payload)


def keep_fragment(path: str, fragment: bytes, *, sync: bool) -> None:
    """Append the fragment to ``<segment>.torn``, durably before anything else happens to it."""
    fd = os.open(f"{path}.torn", os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_FOLLOW, 0o600)
    try:
        write_all(fd, fragment, "log.heal.side")
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)
    sync_folder(os.path.dirname(path), sync=sync)


def overwrite(path: str, offset: int, data: bytes) -> None:
    """Write ``data`` at ``offset`` and end the file there. The fsync of the append that comes next covers it."""
    fd = os.open(path, os.O_WRONLY | _NO_FOLLOW)
    try:
        os.lseek(fd, offset, os.SEEK_SET)
        write_all(fd, data, "log.heal.write")
        failpoint("log.heal.truncate")
        os.ftruncate(fd, offset + len(data))
    finally:
        os.close(fd)
