"""The event log of one root."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from autopilot.events.append import Writer
from autopilot.events.encode import Encoded, encode
from autopilot.events.filters import Filter
from autopilot.events.head import Anchor, HeadFile
from autopilot.events.ids import unique_event_id
from autopilot.events.reader import Reader, cursor_since, end_cursor, follow
from autopilot.events.record import Record
from autopilot.events.rotate import GcReport, Retention
from autopilot.events.sinks import OnAppended, deliver
from autopilot.events.tail import tail
from autopilot.events.verify import VerifyReport, verify
from autopilot.models import Event, EventDraft
from autopilot.system.clock import Clock, SystemClock, format_instant
from autopilot.system.locks import FileLock

__all__ = ["SEGMENT_BYTES", "EventLog"]

SEGMENT_BYTES = 64 * 1024 * 1024


class EventLog:
    """Append events, and read them back, backwards, forwards or as they come.

    Any number of objects, in any number of processes, may use one folder. Reading takes no lock and changes
    nothing on disk; nothing is made before the first append. Threads may share one object, and it may be used on
    both sides of a fork.

    Args:
        folder: ``.autopilot/events``.
        durability: ``full``: an append returns when its lines survive a power cut; ``process``: when they
            survive the death of this process.
        clock: gives drafts their timestamps.
        segment_bytes: a segment that is at least this big is closed before the next append.
        source: of drafts: ``autopilot``, ``user`` or ``plugin:<name>``.
        on_appended: gets all events that this object appended, when they are in the log; its faults are only
            logged.
        redact: removes secrets from a text; applied to every payload before it is written.
        lock_path: the lock file; by default ``../state/locks/events``, seen from ``folder``.
        lock_timeout: seconds to wait for other writers; None waits for ever.
    """

    def __init__(
        self,
        folder: str,
        *,
        durability: str = "full",
        clock: Clock | None = None,
        segment_bytes: int = SEGMENT_BYTES,
        source: str = "autopilot",
        on_appended: OnAppended | None = None,
        redact: Callable[[str], str] | None = None,
        lock_path: str | None = None,
        lock_timeout: float | None = None,
    ) -> None:
        self.folder = os.path.abspath(folder)
        self._sync = durability != "process"
        self._clock = clock or SystemClock()
        self._segment_bytes = segment_bytes
        self._source = source
        self._on_appended = on_appended
        self._redact = redact
        self._lock_path = lock_path or os.path.join(os.path.dirname(self.folder), "state", "locks", "events")
        self._lock_timeout = lock_timeout
        self._writer: Writer | None = None
        self._pid = -1

    # ------------------------------------------------------------------ writing

    def append(self, events: Sequence[Event | EventDraft], *, trace_id: str | None = None) -> list[Event]:
        """Put events at the end of the log, all or none, with one write and one fsync.

        Args:
            events: events keep their id, time and source (so that a projection can be repeated); drafts get
                theirs here.
            trace_id: of the drafts: a task's id, or None.

        Returns:
            The events as they are in the log: chained, redacted, cut.

        Raises:
            StorageError: the disk refuses; nothing of them is in the log.
            BusyError: ``lock_timeout`` ran out.
            UsageError: a type, time or payload is malformed.
        """
        if not events:
            return []
        now = self._clock.now()
        stamp, epoch_s = format_instant(now), now.timestamp()
        lines = [self._encode(event, stamp, epoch_s, trace_id) for event in events]
        appended, own = self._use_writer().append(lines)
        deliver(self._on_appended, [*own, *appended])
        return appended

    def publish(self, events: Sequence[Event]) -> None:
        """``append``, in the form that a store wants (``autopilot.store.contract.Publish``)."""
        self.append(events)

    def rotate(self) -> None:
        """Close the newest segment and begin the next, unless it is empty.

        Raises: as ``append``.
        """
        deliver(self._on_appended, self._use_writer().rotate())

    def gc(self, *, older_than_days: float | None = None, keep_bytes: int | None = None) -> GcReport:
        """Remove old segments, whole, that either rule names; the newest always stays.

        Args:
            older_than_days: remove segments whose events are all older than this.
            keep_bytes: remove the oldest segments as long as the rest is at least this big.

        Raises: as ``append``.
        """
        policy = Retention(older_than_days=older_than_days, keep_bytes=keep_bytes)
        report, own = self._use_writer().collect(policy)
        deliver(self._on_appended, own)
        return report

    def close(self) -> None:
        """Give back file descriptors; a later append opens them again."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    # ------------------------------------------------------------------ reading

    def tail(
        self,
        count: int,
        *,
        types: str | Iterable[str] | None = None,
        task: str | None = None,
        since: datetime | None = None,
    ) -> list[Record]:
        """The last ``count`` events that pass the filters, oldest first. Costs what it reads, from the end.

        Args:
            types: globs over event types, such as ``task.*``.
            task: only events of this task.
            since: only events of this instant or later.

        Raises:
            StorageError: a segment may not be read.
        """
        return tail(self.folder, count, Filter(types=types, task=task, since=since))

    def read(
        self,
        cursor: str | None = None,
        *,
        types: str | Iterable[str] | None = None,
        task: str | None = None,
        since: datetime | None = None,
    ) -> Iterator[Record]:
        """All events after ``cursor`` (from the start of the log by default) up to the present end.

        Each record's ``cursor`` is where a later call goes on. Lines that are no events are left out.

        Raises:
            StorageError: a segment may not be read.
            UsageError: ``cursor`` is none.
        """
        return follow(
            Reader(self.folder, cursor or (cursor_since(self.folder, since) if since else None)),
            Filter(types=types, task=task, since=since),
            stop=lambda: True,
            wait=time.sleep,
            poll_s=0,
        )

    def follow(
        self,
        cursor: str | None = None,
        *,
        types: str | Iterable[str] | None = None,
        task: str | None = None,
        since: datetime | None = None,
        stop: Callable[[], bool] = lambda: False,
        wait: Callable[[float], object] = time.sleep,
        poll_s: float = 0.1,
    ) -> Iterator[Record]:
        """As ``read``, and then what is appended, over rotations, until ``stop`` says so.

        Args:
            cursor: where to begin; by default at ``since``, or else at the present end of the log. ``0:0`` is
                the log's start.
            stop: asked after each look at the end of the log.
            wait: blocks for at most ``poll_s`` seconds and may return early when something may have changed.

        Raises: as ``read``.
        """
        begin = cursor or (cursor_since(self.folder, since) if since else self.end())
        wanted = Filter(types=types, task=task, since=since)
        return follow(Reader(self.folder, begin), wanted, stop=stop, wait=wait, poll_s=poll_s)

    def lines(self) -> Iterator[bytes]:
        """Every whole line of the log as it is, without its newline, whether it is an event or not."""
        reader = Reader(self.folder)
        try:
            yield from (record.line for record in reader.records())
        finally:
            reader.close()

    def end(self) -> str:
        """The cursor after the last event."""
        return end_cursor(self.folder)

    def anchor(self) -> Anchor | None:
        """How the log stands, to be noted elsewhere for a later ``verify``; None before the first event."""
        tail = HeadFile(self.folder).read()
        return Anchor(events=tail.events, digest=tail.digest) if tail else verify(self.folder).head

    def verify(self, anchor: Anchor | None = None) -> VerifyReport:
        """Walk the chain from the first event that is left, and judge it. Takes no lock, changes nothing."""
        return verify(self.folder, anchor)

    # ------------------------------------------------------------------ inside

    def _encode(self, event: Event | EventDraft, stamp: str, epoch_s: float, trace_id: str | None) -> Encoded:
        if isinstance(event, EventDraft):
            own = (unique_event_id(epoch_s), stamp, self._source, trace_id)
        else:
            own = (event.id, event.timestamp, event.source, event.trace_id)
        return encode(
            id=own[0],
            event_type=event.event_type,
            timestamp=own[1],
            source=own[2],
            trace_id=own[3],
            payload=event.payload,
            redact=self._redact,
        )

    def _encode_own(self, draft: EventDraft) -> Encoded:
        now = self._clock.now()
        return encode(
            id=unique_event_id(now.timestamp()),
            event_type=draft.event_type,
            timestamp=format_instant(now),
            source="autopilot",
            trace_id=None,
            payload=draft.payload,
        )

    def _use_writer(self) -> Writer:
        if self._writer is not None and self._pid == os.getpid():
            return self._writer
        self.close()
        self._pid = os.getpid()
        self._writer = Writer(
            self.folder,
            FileLock(self._lock_path, timeout=self._lock_timeout),
            encode_own=self._encode_own,
            sync=self._sync,
            segment_bytes=self._segment_bytes,
            clock=self._clock,
        )
        return self._writer
