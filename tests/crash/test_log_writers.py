"""T7: many writers of one log are killed and stopped at random, while it is rotated, pruned and followed.

The oracle is outside of the log: each writer counts its acknowledged events in memory that it shares with the
test. Followers in processes of their own check each line's hash, and that every writer's events come once and in
order.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.sharedctypes import RawArray
from pathlib import Path

import attrs
import pytest

from autopilot.events.channels import Cursors
from autopilot.events.log import EventLog
from autopilot.events.record import Record
from autopilot.events.segments import closed_numbers, closed_path
from autopilot.models import EventDraft
from autopilot.system.clock import parse_instant
from tests.campaign import FAST, FULL, record, size
from tests.exhaustion import lockers

WRITERS = size(6, 8)
KILLS = size(60, 1000)
EVENTS = size(10_000, 1_000_000)
NAIVE_KILLS = size(20, 200)
"""No more: who keeps nothing in order writes gigabytes meanwhile."""
MOST_WRITERS = 20 * KILLS + 1000
PAUSE_S = 0.12
SEGMENT_BYTES = 1 << 20
LONGEST_TEXT = 2_000_000
LEAD = 2
"""How many closed segments writers may be ahead of the slowest follower."""
KEPT_BYTES = (LEAD + 2) * (SEGMENT_BYTES + LONGEST_TEXT) + WRITERS * LONGEST_TEXT
"""More than writers can be ahead, with an append of each under way: retention never overtakes a follower."""


def open_log(folder: str) -> EventLog:
    return EventLog(f"{folder}/events", durability="process", segment_bytes=SEGMENT_BYTES)


class NaiveLog:
    """What most programs do: whole lines with one write to a file that is open for appending, and nothing else."""

    def __init__(self, folder: str) -> None:
        self._fd = os.open(f"{folder}/naive.ndjson", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, drafts: Sequence[EventDraft]) -> None:
        os.write(self._fd, b"".join(json.dumps(draft.payload).encode() + b"\n" for draft in drafts))


@attrs.define(eq=False)
class Board:
    """What the processes of one campaign share: counts, in memory that survives whoever is killed.

    Attributes:
        acked: per writer, how many of its events were acknowledged.
        reached: per follower, the number of the segment that it reads.
        ended: the first item is set when there is nothing more to come.
        test: the process that started all others.
    """

    folder: str
    test: int = attrs.field(factory=os.getpid)
    acked: Sequence[int] = attrs.field(factory=lambda: RawArray("Q", MOST_WRITERS))
    reached: Sequence[int] = attrs.field(factory=lambda: RawArray("Q", 2))
    ended: Sequence[int] = attrs.field(factory=lambda: RawArray("Q", 1))

    def events(self) -> int:
        return sum(self.acked)

    def is_orphaned(self) -> bool:
        """Whether the test is gone, and its children should go as well."""
        return os.getppid() != self.test


def start_reader(work: Callable[[], object], report: str) -> int:
    """Do it in a process of its own, which leaves its result, or what went wrong, in the file ``report``."""
    child = os.fork()
    if child == 0:
        try:
            found = {"result": work()}
        except BaseException:
            found = {"fault": traceback.format_exc()[-2000:]}
        Path(report).write_text(json.dumps(found))
        os._exit(0)
    return child


def result_of(child: int, report: str):
    os.waitpid(child, 0)
    found = json.loads(Path(report).read_text())
    assert "fault" not in found, found["fault"]
    return found["result"]


# ---------------------------------------------------------------------- writers


def batches(rng: random.Random) -> Iterator[tuple[int, int]]:
    """How many events at once, and how long their texts are: 10 bytes to 2 MB."""
    while True:
        luck = rng.random()
        if luck < 0.02:
            yield 1, rng.randrange(1_000_000, LONGEST_TEXT)
        elif luck < 0.04:
            yield rng.choice([1, 2, 5]), rng.randrange(10_000, 100_000)
        else:
            yield rng.choice([1, 1, 1, 5, 40]), rng.choice([10, 10, 300])


def write_for_ever(board: Board, log, writer: int) -> None:
    """Until somebody kills it."""
    rng = random.Random(writer)
    numbers = itertools.count()
    for count, length in batches(rng):
        text = "x" * length
        if isinstance(log, EventLog):
            keep_house(board, log, rng)
        log.append(
            [
                EventDraft(event_type="task.created", payload={"writer": writer, "n": n, "text": text})
                for n in itertools.islice(numbers, count)
            ]
        )
        board.acked[writer] += count
        if board.is_orphaned():
            return


def keep_house(board: Board, log: EventLog, rng: random.Random) -> None:
    """Rotate and collect now and then, and wait for followers that are far behind."""
    luck = rng.random()
    if luck < 0.004:
        log.rotate()
    elif luck < 0.02:
        log.gc(keep_bytes=KEPT_BYTES)
    while os.path.exists(closed_path(log.folder, min(board.reached) + LEAD + 1)) and not board.is_orphaned():
        time.sleep(0.005)


# ---------------------------------------------------------------------- readers


def check_everything(board: Board, follower: int, records: Iterator[Record]) -> dict:
    """Follow until the survivor's event: the chain holds, and every writer's events come once and in order."""
    try:
        return checked(board, follower, records)
    finally:
        board.reached[follower] = 1 << 62  # whatever came of it, nobody waits for this one any more


def checked(board: Board, follower: int, records: Iterator[Record]) -> dict:
    seen = [0] * MOST_WRITERS
    ids: set[int] = set()
    digest, count, healed = "0" * 64, 0, 0
    for found in records:
        event = found.event
        assert event.prev == digest, f"event {count} in segment {found.segment} after {board.reached[follower]}"
        digest = hashlib.sha256(found.line).hexdigest()
        count += 1
        ids.add(hash(event.id))
        board.reached[follower] = found.segment
        if event.event_type == "task.created":
            writer, n = event.payload["writer"], event.payload["n"]
            assert n == seen[writer], f"event {n} of writer {writer} instead of {seen[writer]}"
            seen[writer] += 1
        healed += event.event_type == "log.healed"
        if event.event_type == "test.ended":
            assert len(ids) == count, "an id came twice"
            return {"seen": seen, "events": count, "healed": healed, "head": f"{count}:{digest}"}
    raise AssertionError("the log ended before the last event")


def following(board: Board) -> Iterator[Record]:
    return open_log(board.folder).follow("0:0", stop=board.is_orphaned, poll_s=0.01)


def coming_back(board: Board) -> Iterator[Record]:
    """A subscriber that is started anew, and goes on where its saved cursor says."""
    cursors = Cursors(f"{board.folder}/cursors", sync=False)
    while not board.is_orphaned():
        cursor = cursors.load("subscriber") or "0:0"
        for found in itertools.islice(open_log(board.folder).read(cursor), 1000):
            yield found
            cursor = found.cursor
        cursors.save("subscriber", cursor)
        time.sleep(0.001)


def look_at_ends(board: Board) -> int:
    """``tail`` and ``since``, again and again: what they give is a piece of the chain, up to the present end."""
    looks = 0
    rng = random.Random(4711)
    while not board.ended[0] and not board.is_orphaned():
        log = open_log(board.folder)
        tail = log.tail(rng.choice([1, 20, 500]))
        for before, after in itertools.pairwise(tail):
            assert after.event.prev == hashlib.sha256(before.line).hexdigest()
        if tail:
            since = min(found.event.timestamp for found in tail)
            missing = {found.line: found.segment for found in tail}
            for found in log.read(since=parse_instant(since)):
                missing.pop(found.line, None)
                if not missing:
                    break
            # Retention may have been quicker than this reader, whom nobody waits for.
            kept = min(closed_numbers(log.folder), default=0)
            assert not {line: number for line, number in missing.items() if number >= kept}
        looks += 1
        time.sleep(0.05)
    return looks


# ---------------------------------------------------------------------- chaos


class Chaos:
    """Keeps ``WRITERS`` writers alive and kills one after another; some are stopped first, or only stopped."""

    def __init__(self, board: Board, make_log: Callable[[str], object]) -> None:
        self._board, self._make_log = board, make_log
        self._rng = random.Random(20261128)
        self._alive: list[int] = []
        self.born = self.kills = self.stops = 0

    def run(self, kills: int, events: int) -> None:
        try:
            while self.kills < kills or self._board.events() < events:
                while len(self._alive) < WRITERS:
                    self._start()
                time.sleep(self._rng.uniform(0, PAUSE_S))
                self._strike()
        finally:
            while self._alive:
                self._kill(self._alive.pop())

    def _start(self) -> None:
        writer, self.born = self.born, self.born + 1
        child = os.fork()
        if child == 0:
            try:
                write_for_ever(self._board, self._make_log(self._board.folder), writer)
            finally:
                traceback.print_exc()
                os._exit(9)
        self._alive.append(child)

    def _strike(self) -> None:
        victim = self._writing() if self._rng.random() < 0.5 else self._rng.choice(self._alive)
        stopped = self._rng.random() < 0.3
        if stopped:
            self.stops += 1
            os.kill(victim, signal.SIGSTOP)
            time.sleep(self._rng.uniform(0, PAUSE_S / 2))
        if stopped and self._rng.random() < 0.5:
            os.kill(victim, signal.SIGCONT)
        else:
            self._alive.remove(victim)
            self._kill(victim)
            self.kills += 1

    def _writing(self) -> int:
        """The writer that holds the log's lock just now, where the system tells: kills are to hit appends."""
        holders = lockers()
        return next((pid for pid in self._alive if pid in holders), self._alive[0])

    def _kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        assert os.waitpid(pid, 0)[1] == signal.SIGKILL, "a writer died of itself"


@pytest.fixture
def board():
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        yield Board(folder)


def lost(board: Board, seen: Sequence[int]) -> int:
    return sum(max(0, acked - found) for acked, found in zip(board.acked, seen, strict=True))


@pytest.mark.timeout(0 if FULL else 300)
def test_kill_9_loses_nothing_acknowledged_and_readers_miss_nothing(board):
    reports = [f"{board.folder}/report-{n}" for n in range(3)]
    readers = [
        start_reader(lambda: check_everything(board, 0, following(board)), reports[0]),
        start_reader(lambda: check_everything(board, 1, coming_back(board)), reports[1]),
        start_reader(lambda: look_at_ends(board), reports[2]),
    ]
    chaos = Chaos(board, open_log)
    start = time.monotonic()
    try:
        chaos.run(KILLS, EVENTS)
    finally:
        log = open_log(board.folder)
        log.append([EventDraft(event_type="test.ended")])
        board.ended[0] = 1
    one, other, looks = map(result_of, readers, reports)
    assert one == other
    assert lost(board, one["seen"]) == 0
    report = log.verify()
    assert report.ok, report.faults[:3]
    assert str(report.head) == one["head"]
    closed = closed_numbers(log.folder)
    record(
        "T7",
        "writers",
        writers=WRITERS,
        events=one["events"],
        acknowledged=board.events(),
        kills=chaos.kills,
        stops=chaos.stops,
        rotations=closed[-1],
        pruned=closed[0] - 1,
        healed=one["healed"],
        looks=looks,
        lost=0,
        seconds=round(time.monotonic() - start),
    )
    assert closed[0] > 1, "retention had nothing to do"


@pytest.mark.timeout(0 if FULL else 300)
def test_a_naive_log_in_the_same_harness(board):
    """So that the zeros above mean something."""
    chaos = Chaos(board, NaiveLog)
    for kills in range(NAIVE_KILLS, 40 * NAIVE_KILLS, NAIVE_KILLS):
        chaos.run(kills, 0)
        seen, torn = read_naively(f"{board.folder}/naive.ndjson")
        if torn:
            break
    record(
        "T7",
        "naive baseline of the writers",
        writers=WRITERS,
        acknowledged=board.events(),
        kills=chaos.kills,
        torn_lines=torn,
        lost=lost(board, seen),
    )
    assert torn > 0


def read_naively(path: str) -> tuple[list[int], int]:
    """How many events of each writer there are, and how many lines cannot be read."""
    seen, torn = [0] * MOST_WRITERS, 0
    with open(path, "rb") as file:
        for line in file:
            try:
                seen[json.loads(line)["writer"]] += 1
            except ValueError:
                torn += 1
    return seen, torn
