"""Closing a full segment, and removing old ones whole. A segment is never rewritten."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs

from autopilot.events.head import Tail
from autopilot.events.segments import closed_numbers, closed_path, newest_path, open_reading, origin, stamp
from autopilot.models import EventDraft
from autopilot.system.clock import format_instant
from autopilot.system.durable import sync_folder
from autopilot.system.failpoints import failpoint

__all__ = ["GcReport", "Retention", "close_newest", "old_segments", "pruned", "remove_segments", "rotated"]

_LONGEST_DAYS = 100_000


@attrs.frozen(kw_only=True)
class Retention:
    """Which closed segments may go: those that *either* rule names, from the oldest on.

    Attributes:
        older_than_days: every event in the segment is older than this many days, whatever a clock that was ahead
            wrote into it; None for no such rule.
        keep_bytes: without it the rest of the log, the newest segment included, is still this big; None for no
            such rule.
    """

    older_than_days: float | None = None
    keep_bytes: int | None = None

    def __str__(self) -> str:
        rules = []
        if self.older_than_days is not None:
            rules.append(f"older than {self.older_than_days:g} days")
        if self.keep_bytes is not None:
            rules.append(f"beyond {self.keep_bytes} bytes")
        return " or ".join(rules)


@attrs.frozen(kw_only=True)
class GcReport:
    """What a collection removed. ``events`` counts the removed ones."""

    removed: tuple[str, ...] = ()
    events: int = 0
    bytes: int = 0


@attrs.frozen(kw_only=True)
class OldSegment:
    """A closed segment that is to go, and how the log stood before and after it."""

    number: int
    path: str
    size: int
    before: Tail
    after: Tail


def rotated(tail: Tail, previous: str) -> EventDraft:
    """The first event of the segment that ``tail`` stands at the start of."""
    payload = {
        "segment": tail.number,
        "previous": previous,
        "head": tail.digest,
        "events": tail.events,
        "latest": tail.latest,
    }
    return EventDraft(event_type="log.rotated", payload=payload)


def close_newest(folder: str, tail: Tail) -> Tail:
    """Rename the newest segment to its number; where the log stands then. The caller makes the next one, and both
    names durable. A name that is taken (somebody restored an old file) is left alone, and the segment grows on."""
    target = closed_path(folder, tail.number)
    if os.path.lexists(target):
        return tail
    failpoint("log.rotate.rename")
    os.rename(newest_path(folder), target)
    failpoint("log.rotate.renamed")
    _carry_fragments(newest_path(folder), target)
    return attrs.evolve(tail, number=tail.number + 1, size=0)


def _carry_fragments(old: str, new: str) -> None:
    try:
        os.rename(f"{old}.torn", f"{new}.torn")
    except OSError:
        pass


def old_segments(folder: str, policy: Retention, now: datetime) -> list[OldSegment]:
    """The closed segments that may go, oldest first; the caller holds the log's lock."""
    numbers = closed_numbers(folder)
    paths = [closed_path(folder, number) for number in numbers]
    sizes = [os.lstat(path).st_size for path in paths]
    starts = [_start(path) for path in [*paths, newest_path(folder)]]
    present = format_instant(now)
    left = sum(sizes) + os.lstat(newest_path(folder)).st_size
    found = []
    for index, number in enumerate(numbers):
        before, after = starts[index], starts[index + 1]
        left -= sizes[index]
        if before is None or after is None:
            break
        if not _may_go(policy, _written_by(after, starts[index + 1 :], present), left, now):
            break
        found.append(
            OldSegment(
                number=number, path=paths[index], size=sizes[index], before=before.stands, after=after.stands
            )
        )
    return found


@attrs.frozen
class _Start:
    """How the log stood where a segment begins, and when that was written."""

    stands: Tail
    at: str


def _start(path: str) -> _Start | None:
    fd = open_reading(path)
    if fd is None:
        return None
    try:
        stands, at = origin(fd), stamp(fd)
        return None if stands is None or at is None else _Start(stands, at)
    finally:
        os.close(fd)


def _written_by(after: _Start, later: Sequence[_Start | None], present: str) -> str:
    """An instant by which all of the segment before ``after`` was written.

    Args:
        later: the starts that were written after that segment, the next one first.
    """
    if after.stands.latest <= present:
        return after.stands.latest
    # Some clock was ahead, and retention must not stop for as long as that: the next one that was not will do.
    return next((start.at for start in later if start and start.at <= present), after.stands.latest)


def _may_go(policy: Retention, written_by: str, left: int, now: datetime) -> bool:
    if policy.keep_bytes is not None and left >= policy.keep_bytes:
        return True
    if policy.older_than_days is None:
        return False
    return written_by < format_instant(now - timedelta(days=min(policy.older_than_days, _LONGEST_DAYS)))


def pruned(segments: list[OldSegment], policy: Retention) -> EventDraft:
    """The event that lets ``verify`` begin after what is gone."""
    removed: list[dict[str, Any]] = [
        {
            "segment": old.number,
            "file": os.path.basename(old.path),
            "events": old.after.events,
            "head": old.after.digest,
        }
        for old in segments
    ]
    size = sum(old.size for old in segments)
    return EventDraft(event_type="log.pruned", payload={"removed": removed, "bytes": size, "reason": str(policy)})


def remove_segments(segments: list[OldSegment], *, sync: bool) -> GcReport:
    """Delete, oldest first, so that a crash leaves no gap, and with ``sync`` a power cut neither. A segment that
    one brings back does no harm: the log says that it was pruned, and the next collection takes it again."""
    for number, old in enumerate(segments):
        sync_folder(os.path.dirname(old.path), sync=sync and number > 0)
        failpoint("log.gc.unlink")
        os.unlink(old.path)
        try:
            os.unlink(f"{old.path}.torn")
        except FileNotFoundError:
            pass
    return GcReport(
        removed=tuple(os.path.basename(old.path) for old in segments),
        events=segments[-1].after.events - segments[0].before.events,
        bytes=sum(old.size for old in segments),
    )
