"""Plays scenarios on a real root with ``durability: full``, and says at which instant what was acknowledged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import attrs

from autopilot.events.log import EventLog
from autopilot.models import Ending, EventDraft, Lease, Status, TaskDraft
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.testing.stores import gone_owner, result_of, text_of
from tests.crash.power.recorder import Recorder
from tests.crash.power.turns import Turns

__all__ = ["BODY", "CARELESS", "SCENARIOS", "Site", "Step", "Trace", "fact", "play", "scenario"]

BODY = b"\r\nA body with \xe2\x82\xac, CRLF\r\nand no newline at the end"
CARELESS = "test.careless"
"""The type of events of writers that do not fsync: nothing is promised of them."""


@attrs.define(eq=False)
class Step:
    """One call, from the operation ``begin`` to ``end``; None where it never returned.

    Attributes:
        task: which task it moves, if any.
        settles: the status that this task has after the next start, when this step is its last one.
        token: what the step gave or kept.
        events: ids of its events, which were in the log when it returned.
        proof: raises AssertionError where the next start does not find what the step has achieved.
    """

    name: str
    begin: int
    task: str = ""
    settles: Status | None = None
    proof: Callable[[Found], None] | None = None
    end: int | None = None
    token: int = 0
    events: frozenset[str] = frozenset()


@attrs.frozen
class Found:
    """What the next start finds.

    Attributes:
        begun: names of the steps that were acknowledged or under way.
    """

    root: str
    store: FileStore
    log: EventLog
    begun: frozenset[str]


@attrs.frozen
class Trace:
    """A scenario that was played.

    Attributes:
        start: how many operations were over, and durable, before the cuts begin.
        mend: what a person does to the root before the next start.
    """

    recorder: Recorder
    steps: tuple[Step, ...]
    start: int
    mend: Callable[[str], None]


class Hand:
    """A store and its log, as one process has them.

    Args:
        segment_bytes: size of the log's segments.
    """

    def __init__(self, site: Site, *, segment_bytes: int = 1 << 20) -> None:
        self._site = site
        self.log = EventLog(f"{site.root}/events", segment_bytes=segment_bytes, lock_timeout=10.0)
        self.store = FileStore(site.root, publish=self.log.publish, durability="full", watch=False)

    def create(self, task_id: str) -> None:
        with self._site.step("create", task_id, settles=Status.PENDING, proof=body_of(task_id)):
            self.store.create(TaskDraft(id=task_id, text=text_of(task_id) + BODY), (fact("task.created"),))

    def claim(self, task_id: str) -> Lease:
        with self._site.step("claim", task_id, settles=Status.PENDING) as step:
            lease = self.store.claim(
                task_id,
                executor="local",
                owner=gone_owner(),
                limits=SlotLimits(total=9),
                ttl_s=30.0,
                events=(fact("task.claimed"),),
            )
            step.token = lease.token
        return lease

    def start(self, lease: Lease) -> Lease:
        with self._site.step("start", lease.task_id, settles=Status.PENDING) as step:
            started = self.store.start(lease, owner=gone_owner(), events=(fact("attempt.started"),))
            step.token = lease.token
        return started

    def make_run(self, task_id: str, token: int) -> None:
        """As the runner makes its folder, without an fsync."""
        os.makedirs(self.store._layout.run(task_id, token), exist_ok=True)

    def report(self, lease: Lease) -> None:
        self.make_run(lease.task_id, lease.token)
        with self._site.step("report", lease.task_id, settles=Status.DONE):
            self.store.report(lease, result_of(lease))

    def finish(self, lease: Lease, status: Status = Status.DONE) -> None:
        kept, outcome = attrs.evolve(lease.record, used=lease.record.used + 1), f"told by {lease.token}"
        ending = Ending(status=status, record=kept, result={"outcome": outcome}, events=(fact(f"task.{status}"),))
        proof = used(lease.task_id, kept.used, outcome)
        with self._site.step("finish", lease.task_id, settles=status, proof=proof):
            self.store.finish(lease, ending)

    def move(self, task_id: str, expected: Status, status: Status) -> None:
        with self._site.step(f"to {status}", task_id, settles=status):
            ending = Ending(status=status, record=self.store.record(task_id), events=(fact(f"task.{status}"),))
            self.store.move(task_id, ending, expected=expected)

    def running(self, task_id: str) -> Lease:
        self.create(task_id)
        return self.start(self.claim(task_id))

    def append(self, *numbers: int) -> None:
        drafts = [EventDraft(event_type="message.published", payload={"message": n}) for n in numbers]
        with self._site.step("append") as step:
            step.events = frozenset(event.id for event in self.log.append(drafts))

    def close(self) -> None:
        self.store.close()
        self.log.close()


class Site(Hand):
    """One root, and the first process that works on it."""

    def __init__(self, recorder: Recorder) -> None:
        self.root = f"{recorder.base}/.autopilot"
        self.recorder = recorder
        self.steps: list[Step] = []
        self.start_at = 0
        self.mend: Callable[[str], None] = lambda root: None
        self._hands: list[Hand] = []
        super().__init__(self)

    def hand(self, *, segment_bytes: int = 1 << 20) -> Hand:
        """Another process on the same root."""
        self._hands.append(Hand(self, segment_bytes=segment_bytes))
        return self._hands[-1]

    def careless(self, text: str) -> None:
        """An append by a writer that does not fsync."""
        log = EventLog(f"{self.root}/events", durability="process")
        log.append([EventDraft(event_type=CARELESS, payload={"text": text})])
        log.close()

    def from_here(self) -> None:
        """What was done until now is on the disk, and no matter of this scenario."""
        self.durable_until_here()
        self.recorder.count_from_here()

    def durable_until_here(self) -> None:
        """What was done until now is on the disk; what comes next is, as far as its own fsyncs see to it."""
        self.start_at = len(self.recorder.ops)

    @contextmanager
    def step(
        self,
        name: str,
        task: str = "",
        *,
        settles: Status | None = None,
        proof: Callable[[Found], None] | None = None,
    ) -> Iterator[Step]:
        """One call; what is done in it is acknowledged when it ends."""
        step = Step(name, len(self.recorder.ops), task, settles, proof)
        self.steps.append(step)
        yield step
        step.end = len(self.recorder.ops)
        step.events = step.events or self._logged(task)

    def _logged(self, task: str) -> frozenset[str]:
        # Of others' events, one that works at the same time may not have made its own durable yet.
        return frozenset(
            record.data["id"]
            for record in self.log.read(task=task or None)
            if record.data["event_type"] != CARELESS
        )

    def at_once(self, seed: int, *works: Callable[[], None]) -> None:
        """Have several processes work, one operation of this or that after the other."""
        turns = Turns(seed)
        self.recorder.on_op = turns.switch
        turns.run(*works)
        self.recorder.on_op = lambda: None

    def close(self) -> None:
        for hand in self._hands:
            hand.close()
        super().close()


def fact(kind: str) -> EventDraft:
    """An event of a step."""
    return EventDraft(event_type=kind, payload={"why": "a test"})


def body_of(task_id: str) -> Callable[[Found], None]:
    """The file is there with what nobody but its author may change."""

    def proof(found: Found) -> None:
        with open(f"{found.root}/tasks/{task_id}.md", "rb") as file:
            data = file.read()
        assert data.endswith(BODY), f"the body of {task_id} is damaged"
        assert b"x-team:   blue   # kept, too\n" in data, f"{task_id} lost a key"

    return proof


def used(task_id: str, count: int, outcome: str) -> Callable[[Found], None]:
    """The end of an attempt is not forgotten, and its result is where people read it."""

    def proof(found: Found) -> None:
        ended = found.store.record(task_id).used
        assert ended >= count, f"an end of {task_id} was forgotten"
        kept = found.store.get(task_id).result or {}
        assert ended > count or kept.get("outcome") == outcome, f"the file of {task_id} shows {kept}"

    return proof


SCENARIOS: dict[str, Callable[[Site], None]] = {}


def scenario(play: Callable[[Site], None]) -> Callable[[Site], None]:
    """Register a scenario under its function's name."""
    SCENARIOS[play.__name__] = play
    return play


def play(name: str, base: str, *, without: int | None = None) -> Trace:
    """Play a scenario in the empty folder ``base``. ``without``: see ``Recorder``."""
    recorder = Recorder(base, without=without)
    with recorder.listening():
        site = Site(recorder)
        SCENARIOS[name](site)
        site.close()
    return Trace(recorder, tuple(site.steps), site.start_at, site.mend)
