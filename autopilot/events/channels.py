"""Messages between processes, on top of the log: channels with a time to live, and cursors that survive."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from autopilot.errors import NotFoundError, UsageError
from autopilot.events.encode import MAX_PAYLOAD, payload_text
from autopilot.events.log import EventLog
from autopilot.events.reader import parse_cursor
from autopilot.models import Event, EventDraft
from autopilot.system.clock import Clock, SystemClock, parse_instant
from autopilot.system.durable import ensure_folder, read_file, replace_file

__all__ = ["Channels", "Cursors"]

_PUBLISHED = "message.published"
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", re.ASCII)


class Channels:
    """Publish and subscribe. A message is an event: it is in the chain, and goes when its segment goes.

    Args:
        log: where the messages are.
        clock: decides which messages have expired, where ``subscribe`` is not told.
    """

    def __init__(self, log: EventLog, *, clock: Clock | None = None) -> None:
        self._log = log
        self._clock = clock or SystemClock()

    def publish(self, channel: str, message: Any, ttl_s: float | None = None) -> Event:
        """Put a message (any JSON value) on a channel; return its event.

        Args:
            ttl_s: readers drop the message after so many seconds; None keeps it for good.

        Raises:
            UsageError: the channel's name or the TTL is malformed, or the message is no JSON or too long for the
                log (code ``too_large``).
            StorageError: the disk refuses.
        """
        if ttl_s is not None and not 0 < ttl_s < float("inf"):
            raise UsageError(
                f"a TTL of {ttl_s} seconds makes no sense", hint="give a number of seconds above 0, or none"
            )
        payload = {"channel": _checked(channel), "message": message, "ttl_s": ttl_s}
        if len(payload_text(_PUBLISHED, payload)) > MAX_PAYLOAD:
            # The log would cut it: a fact may lose its tail, a message may not.
            raise UsageError(
                f"the message is too long: an event holds {MAX_PAYLOAD:,} bytes of JSON",
                hint="put it into a file, and publish where that is",
                code="too_large",
            )
        return self._log.append([EventDraft(event_type=_PUBLISHED, payload=payload)])[0]

    def subscribe(
        self,
        channel: str,
        since: str | None = None,
        *,
        now: datetime | None = None,
        follow: bool = False,
        stop: Callable[[], bool] = lambda: False,
        wait: Callable[[float], object] = time.sleep,
    ) -> Iterator[tuple[str, Any]]:
        """The messages of a channel that have not expired, each with the cursor that goes on after it.

        Args:
            since: a cursor; the start of the log by default, ``EventLog.end()`` for what is yet to come.
            now: which messages have expired; the clock's time at each message by default.
            follow: wait for more messages until ``stop`` says so, instead of ending at the end of the log.
            stop, wait: as ``EventLog.follow``.

        Raises:
            UsageError: the channel's name or the cursor is malformed.
        """
        channel = _checked(channel)
        start = since or "0:0"
        ended = stop if follow else (lambda: True)
        for record in self._log.follow(start, types=_PUBLISHED, stop=ended, wait=wait):
            event = record.event
            if event.payload.get("channel") == channel and not _expired(event, now or self._clock.now()):
                yield record.cursor, event.payload.get("message")


def _checked(channel: str) -> str:
    if not _CHANNEL.fullmatch(channel):
        raise UsageError(
            f"{channel!r} is no channel name",
            hint="use up to 80 of a-z 0-9 . _ - and begin with a letter or digit",
        )
    return channel


def _expired(event: Event, now: datetime) -> bool:
    ttl_s = event.payload.get("ttl_s")
    if not isinstance(ttl_s, int | float):
        return False
    try:
        return now >= parse_instant(event.timestamp) + timedelta(seconds=ttl_s)
    except (ValueError, OverflowError):
        return False


class Cursors:
    """Named cursors that survive their process: where a subscriber goes on next time.

    Args:
        folder: ``.autopilot/state/cursors``. It is no cache: without it subscribers start again.
        sync: whether a saved cursor must survive a power cut.
    """

    def __init__(self, folder: str, *, sync: bool = True) -> None:
        self._folder = folder
        self._sync = sync

    def load(self, name: str) -> str | None:
        """The cursor of this name, None where none was saved.

        Raises:
            UsageError: the name is malformed, or the file holds no cursor.
        """
        try:
            text = read_file(self._path(name), limit=200).decode("ascii", "replace").strip()
        except FileNotFoundError:
            return None
        parse_cursor(text)
        return text

    def save(self, name: str, cursor: str) -> None:
        """Save a cursor under a name, in one step.

        Raises:
            UsageError: the name or the cursor is malformed.
            StorageError: the disk refuses; the old one is still there.
        """
        parse_cursor(cursor)
        path = self._path(name)
        ensure_folder(self._folder, sync=self._sync)
        replace_file(path, f"{cursor}\n".encode(), point="cursor.save", sync=self._sync)

    def remove(self, name: str) -> None:
        """Forget a cursor.

        Raises:
            NotFoundError: there is none of this name.
        """
        try:
            os.unlink(self._path(name))
        except FileNotFoundError:
            raise NotFoundError(f"there is no cursor {name!r}") from None

    def _path(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name!r} is no cursor name", hint="use letters, digits, dots, dashes and underscores"
            )
        return os.path.join(self._folder, name)
