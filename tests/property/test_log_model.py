"""The event log against a list: whatever is done to it, every acknowledged event is there, once, in order."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from autopilot.errors import StorageError
from autopilot.events.log import EventLog
from autopilot.events.reader import Reader
from autopilot.models import EventDraft
from autopilot.system import failpoints
from tests.campaign import FAST, size

WRITES = ("log.append.write", "log.heal.side", "log.heal.write")
POINTS = (
    *WRITES,
    "log.append.before_sync",
    "log.append.synced",
    "log.heal.truncate",
    "log.rotate.rename",
    "log.rotate.first",
    "log.gc.unlink",
)


class Crash(BaseException):
    """The process is gone: nothing after this runs, and its log object is thrown away."""


class Bomb:
    """Crashes at one failpoint, once; at one that writes, after a part of the data."""

    def __init__(self, point: str, part: float) -> None:
        self.point, self.part, self.armed = point, part, True

    def reach(self, name: str) -> None:
        if self.armed and name == self.point:
            self.armed = False
            raise Crash

    def write(self, fd: int, data: bytes, name: str) -> None:
        if self.armed and name == self.point:
            os.write(fd, data[: int(len(data) * self.part)])
        self.reach(name)
        while data:
            data = data[os.write(fd, data) :]

    def planted(self) -> ExitStack:
        stack = ExitStack()
        for module in ("append", "heal", "rotate"):
            stack.enter_context(mock.patch(f"autopilot.events.{module}.failpoint", self.reach))
        for module in ("append", "heal"):
            stack.enter_context(mock.patch(f"autopilot.events.{module}.write_all", self.write))
        return stack


class LogMachine(RuleBasedStateMachine):
    """``events`` is what must be in the log, ``pruned`` how many of them are gone from its front by policy."""

    @initialize(segment_bytes=st.sampled_from([400, 1500, 1 << 20]), full=st.booleans())
    def begin(self, segment_bytes, full):
        self.folder = tempfile.mkdtemp(dir=FAST)
        self.options = {"segment_bytes": segment_bytes, "durability": "full" if full else "process"}
        self.logs = [self.open(), self.open()]
        self.events: list[int] = []
        self.next = 0
        self.pruned = 0
        self.reader = Reader(f"{self.folder}/events")
        self.followed: list[int] = []
        self.undone: set[int] = set()
        self.anchor = None

    def open(self) -> EventLog:
        return EventLog(f"{self.folder}/events", **self.options)

    def teardown(self):
        failpoints.disarm()
        if hasattr(self, "folder"):
            for log in self.logs:
                log.close()
            self.reader.close()
            shutil.rmtree(self.folder)

    def drafts(self, count: int, size: int) -> list[EventDraft]:
        made = [
            EventDraft(event_type="task.created", payload={"n": self.next + n, "text": "ü" * size})
            for n in range(count)
        ]
        self.next += count
        return made

    def here(self) -> list[int]:
        return [record.data["payload"]["n"] for record in self.logs[0].read(types="task.created")]

    # ------------------------------------------------------------------ what is done

    @rule(who=st.integers(0, 1), count=st.integers(1, 4), size=st.sampled_from([0, 5, 300]))
    def append(self, who, count, size):
        drafts = self.drafts(count, size)
        returned = self.logs[who].append(drafts, trace_id="t")
        self.events += [event.payload["n"] for event in returned]
        assert [event.payload for event in returned] == [draft.payload for draft in drafts]

    @rule(who=st.integers(0, 1))
    def rotate(self, who):
        self.logs[who].rotate()

    @rule(who=st.integers(0, 1), keep=st.sampled_from([0, 500, 3000]))
    def gc(self, who, keep):
        self.logs[who].gc(keep_bytes=keep)
        self.forget_pruned()

    def forget_pruned(self):
        left = self.here()
        assert left == self.events[len(self.events) - len(left) :]
        self.pruned = len(self.events) - len(left)

    @rule(who=st.integers(0, 1))
    def reopen(self, who):
        self.logs[who].close()
        self.logs[who] = self.open()

    @rule(
        fragment=st.binary(min_size=1, max_size=40)
        | st.just(b'{"id":"evt-x","event_type":"task.cre')
        | st.just(b"\0" * 5000)
    )
    def tear(self, fragment):
        """What a killed writer, or a power cut, leaves behind."""
        os.makedirs(f"{self.folder}/events", exist_ok=True)
        with Path(self.folder, "events", "events.ndjson").open("ab") as file:
            file.write(fragment)
        # The log mends only what is torn; a whole junk line in the middle would be tampering.
        self.logs[0].append(self.drafts(1, 0))
        self.events.append(self.next - 1)

    @rule()
    def lose_the_head_file(self):
        Path(self.folder, "events", "events.head").unlink(missing_ok=True)

    @rule(
        who=st.integers(0, 1),
        point=st.sampled_from(POINTS),
        part=st.floats(0, 1),
        count=st.integers(1, 3),
        torn=st.booleans(),
        deed=st.sampled_from(["append", "rotate", "gc"]),
    )
    def crash(self, who, point, part, count, torn, deed):
        if torn and os.path.isdir(f"{self.folder}/events"):
            with Path(self.folder, "events", "events.ndjson").open("ab") as file:
                file.write(b'{"id":"evt-torn')
        drafts = self.drafts(count, 10) if deed == "append" else []
        log = self.logs[who]
        with Bomb(point, part).planted():
            try:
                if deed == "append":
                    log.append(drafts, trace_id="t")
                elif deed == "rotate":
                    log.rotate()
                else:
                    log.gc(keep_bytes=300)
                died = False
            except Crash:
                died = True
        wanted = [draft.payload["n"] for draft in drafts]
        self.logs[who] = self.open()
        if deed == "gc":
            self.forget_pruned()
        found = self.here()
        new = found[found.index(wanted[0]) :] if wanted and wanted[0] in found else []
        # Acknowledged: all of it. Died on the way: what was written whole, from the front.
        assert new == wanted[: len(new)] if died else new == wanted
        self.events += new

    @rule(
        who=st.integers(0, 1),
        point=st.sampled_from(POINTS),
        error=st.sampled_from(["ENOSPC", "EIO", "EDQUOT"]),
        count=st.integers(1, 3),
    )
    def refuse(self, who, point, error, count):
        drafts = self.drafts(count, 10)
        failpoints.arm(f"{point}={error}")
        try:
            self.logs[who].append(drafts)
            self.events += [draft.payload["n"] for draft in drafts]
        except StorageError:
            pass
        finally:
            failpoints.disarm()

    @rule(who=st.integers(0, 1), count=st.integers(1, 3))
    def refuse_what_was_seen(self, who, count):
        """The follower looks between the write and the fsync, which fails: the lines are cut back."""
        drafts = self.drafts(count, 10)

        def look_and_refuse(name):
            if name == "log.append.before_sync":
                self.look_on()
                raise OSError(errno.EIO, "broken")

        with mock.patch("autopilot.events.append.failpoint", look_and_refuse), pytest.raises(StorageError):
            self.logs[who].append(drafts)
        self.undone |= {draft.payload["n"] for draft in drafts}

    # ------------------------------------------------------------------ what is seen

    def look_on(self):
        self.followed += [
            record.data["payload"]["n"]
            for record in self.reader.records()
            if record.data["event_type"] == "task.created"
        ]

    @rule()
    def follow(self):
        self.look_on()
        self.followed = [n for n in self.followed if n not in self.undone]
        assert self.followed[-1:] == self.events[-1:] or len(self.events) == self.pruned
        assert sorted(set(self.followed)) == self.followed
        assert set(self.events[self.pruned :]) <= set(self.followed)

    @precondition(lambda self: self.events)
    @rule(count=st.integers(0, 12), data=st.data())
    def look(self, count, data):
        log = self.logs[0]
        tail = [record.data["payload"]["n"] for record in log.tail(count, types="task.*")]
        assert tail == (self.events[self.pruned :][-count:] if count else [])
        records = list(log.read())
        assert log.tail(10_000) == records
        if records:
            start = data.draw(st.integers(0, len(records) - 1))
            assert list(log.read(records[start].cursor)) == records[start + 1 :]
        assert all(record.event.id for record in records)

    @rule()
    def note_an_anchor(self):
        self.logs[0].append(self.drafts(1, 0))
        self.events.append(self.next - 1)
        self.anchor = self.logs[0].anchor()

    @invariant()
    def nothing_is_lost(self):
        if hasattr(self, "events"):
            assert self.here() == self.events[self.pruned :]

    @invariant()
    def the_chain_holds(self):
        if not hasattr(self, "events"):
            return
        report = self.logs[0].verify()
        assert report.ok, report
        assert report.duplicates == 0
        if self.anchor:
            faults = [fault.message for fault in self.logs[0].verify(self.anchor).faults]
            assert all("pruned since" in fault for fault in faults), faults


LogMachine.TestCase.settings = settings(
    max_examples=size(40, 2000),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLogAgainstAList = LogMachine.TestCase
