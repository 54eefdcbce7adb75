"""P17, P19: a disk that refuses the log's bytes gets no partial line, and what was committed is told later, once.

A real store on a real log. What waits does so in the lease, under the ids that it got when it was committed, so
that whoever comes next can tell it, also twice.
"""

from __future__ import annotations

import json
import re
import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autopilot.errors import StorageError
from autopilot.events.log import EventLog
from autopilot.models import Ending, EventDraft, Status
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.system import failpoints
from autopilot.system.processes import identify
from autopilot.testing.stores import draft

TASK_EVENT = re.compile(r"evt-one\.1\.\d+")
POINTS = ("log.append.write", "log.append.before_sync", "log.append.synced")
ERRORS = ("ENOSPC", "EIO", "EFBIG", "EDQUOT", "EROFS")
PARTS = (0, 1, 150, 400)
"""Bytes of the refused lines that still fit below a limit on the size of files."""


class Place:
    """One root, as several processes would open it."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / ".autopilot"
        self.newest = self.root / "events/events.ndjson"
        self.log = EventLog(str(self.root / "events"))
        self.store = self.open_store()

    def open_store(self) -> FileStore:
        return FileStore(str(self.root), publish=self.log.publish, durability="process", watch=False)

    def outbox(self) -> list[str]:
        data = json.loads((self.root / "state/leases/one.json").read_text())
        return [event["id"] for event in data["outbox"]]

    def told(self) -> list[str]:
        return [found.event.event_type for found in self.log.read(task="one")]

    def claim(self):
        return self.store.claim(
            "one",
            executor="local",
            owner=identify(),
            limits=SlotLimits(total=1),
            ttl_s=30.0,
            events=fact("a.claimed"),
        )


def fact(kind: str) -> tuple[EventDraft, ...]:
    return (EventDraft(event_type=kind, payload={"note": "x" * 200}),)


@pytest.fixture
def place(tmp_path) -> Iterator[Place]:
    made = Place(tmp_path)
    made.store.create(draft("one"), fact("a.created"))
    # Longer than any other file of the root, so that a limit on the size of files is the log's alone.
    made.log.append([EventDraft(event_type="a.b", payload={"text": "x" * 50_000})])
    yield made
    failpoints.disarm()
    made.store.close()
    made.log.close()


@contextmanager
def refused_at(place: Place, how: str) -> Iterator[None]:
    """The log's disk refuses: at a failpoint, or the kernel does after a part of the bytes."""
    point, _, what = how.partition("=")
    before = place.newest.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if point == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + int(what), hard))
    else:
        failpoints.arm(",".join(f"{how}@{n}" for n in range(1, 9)))
    try:
        yield
        assert place.newest.read_bytes() == before, "a part of a line is left"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        failpoints.disarm()


REFUSALS = [f"{point}={error}" for point in POINTS for error in ERRORS] + [f"limit={part}" for part in PARTS]


def assert_told_once(place: Place) -> None:
    assert Counter(place.told()) == {"a.created": 1, "a.claimed": 1, "a.started": 1, "a.done": 1}
    ids = [found.event.id for found in place.log.read(task="one")]
    assert all(TASK_EVENT.fullmatch(event_id) for event_id in ids[1:]), ids
    report = place.log.verify()
    assert report.ok
    assert report.duplicates == 0


@pytest.mark.parametrize("how", REFUSALS)
def test_what_the_log_refused_waits_in_the_lease_and_is_told_once(place, how):
    with refused_at(place, how), pytest.raises(StorageError):
        place.claim()
    assert place.store.leases() == []
    lease = place.claim()

    with refused_at(place, how):
        lease = place.store.start(lease, owner=identify(), events=fact("a.started"))
        waiting = place.outbox()
    assert len(waiting) == 1
    assert place.told() == ["a.created", "a.claimed"]
    place.store.renew(lease)
    assert place.told() == ["a.created", "a.claimed", "a.started"]

    with refused_at(place, how):
        place.store.finish(lease, Ending(status=Status.DONE, record=lease.record, events=fact("a.done")))
        assert place.store.get("one").status is Status.DONE
        waiting = place.outbox()
        place.store.project()
        assert place.outbox() == waiting, "the disk still refuses"
    other = place.open_store()
    assert other.project() == 1
    assert other.project() == 0
    other.close()
    assert place.log.tail(1)[0].event.id in waiting
    assert_told_once(place)


@pytest.mark.parametrize("repeats", [1, 3])
def test_a_repeated_projection_has_the_same_ids_so_readers_can_drop_it(place, repeats):
    """As after a crash between the log and the lease: the same commit is told again."""
    place.claim()
    lease = place.store.lease("one")
    for _ in range(repeats):
        place.log.publish(lease.outbox)
    told = [(found.event.id, found.event.timestamp) for found in place.log.read(types="a.claimed")]
    assert len(told) == repeats + 1
    assert len(set(told)) == 1
    report = place.log.verify()
    assert report.ok
    assert report.duplicates == repeats


def test_retention_takes_nothing_that_was_not_told_yet(place):
    """P21: what waits is in the lease and not in a segment, so the oldest rule of all cannot drop it."""
    lease = place.store.start(place.claim(), owner=identify(), events=fact("a.started"))
    with refused_at(place, "log.append.write=ENOSPC"):
        place.store.finish(lease, Ending(status=Status.DONE, record=lease.record, events=fact("a.done")))
    place.log.rotate()
    assert place.log.gc(keep_bytes=0).removed
    assert place.told() == []
    assert place.store.project() == 1
    assert place.told() == ["a.done"]
    assert place.log.verify().ok
