"""What the file store promises, written down once more, as plainly as possible: states, leases and people."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import StrEnum

import attrs

from autopilot.errors import (
    AlreadyExistsError,
    BusyError,
    LeaseLostError,
    NotFoundError,
    StorageError,
    TaskFormatError,
    TransitionError,
)
from autopilot.models import ALLOWED_TRANSITIONS, Event, Lease, LeaseState, Status
from autopilot.store.liveness import GRACE_S, Liveness
from autopilot.system.failpoints import write_all
from autopilot.system.processes import ProcessIdentity, identify
from autopilot.testing.stores import gone_owner

__all__ = ["LIMIT", "TTL_S", "FileLog", "Held", "Owner", "Refused", "StoreModel", "TaskModel"]

LIMIT = 2
TTL_S = 30.0
_MARGIN_S = 0.5
_NEVER = float("-inf")

Refused = type[Exception] | None


class FileLog:
    """An event log in a file, so that the events of the dead outlive them. It can be out of order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.broken = False

    def publish(self, events: Sequence[Event]) -> None:
        if self.broken:
            raise StorageError("the log's disk is full")
        text = "".join(f"\n{json.dumps([event.id, event.event_type, event.timestamp])}\n" for event in events)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            write_all(fd, text.encode(), "publish.write")
        finally:
            os.close(fd)

    def read(self) -> dict[str, list[str]]:
        """The events by id. One that was torn is not there, and its writer was never told that it is."""
        found: dict[str, list[str]] = {}
        if os.path.exists(self.path):
            with open(self.path) as file:
                for event in filter(None, map(_event, file)):
                    known = found.setdefault(event[0], event)
                    # A task that was deleted and made again before it ever moved has left no trace but this.
                    assert known == event or event[1] == "task.created", f"two facts with the id {event[0]}"
        return found


def _event(line: str) -> list[str] | None:
    try:
        return json.loads(line)
    except ValueError:
        return None


class Owner(StrEnum):
    """Who holds a lease: a process that lives, one that is dead, one on a host that cannot be seen from here."""

    HERE = "here"
    GONE = "gone"
    ELSEWHERE = "elsewhere"

    def identity(self) -> ProcessIdentity:
        if self is Owner.GONE:
            return gone_owner()
        return identify() if self is Owner.HERE else attrs.evolve(identify(), host="elsewhere", boot="its own")


@attrs.define(eq=False)
class Held:
    """The model of a lease.

    Attributes:
        beat: when its owner was heard of last.
        seen: the beat that a watcher saw last, and when it first saw that one.
        looked: when it looked last at this owner.
        back: when it came back from being away, with this beat before it; None where it was too close to say.
        told: its end is in the log.
        cancelled: somebody asked for a cancel.
    """

    token: int
    state: LeaseState
    owner: Owner
    beat: float = 0.0
    seen: tuple[float, float] = (-1.0, 0.0)
    looked: float | None = None
    back: float | None = _NEVER
    status: Status | None = None
    told: bool = False
    cancelled: bool = False

    def verdict(self, now: float) -> Liveness | None:
        """What a watcher must find now; None where it is too close to say."""
        if self.owner is Owner.GONE:
            return Liveness.DEAD
        away = 0.0 if self.looked is None else now - self.looked
        self.looked = now
        if self.seen[0] != self.beat:
            self.seen, self.back = (self.beat, now), _NEVER
        if self.back == _NEVER and (seldom := _exceeds(away, TTL_S / 2)) is not False:
            self.back = now if seldom else None
        if self.owner is Owner.ELSEWHERE:
            late, otherwise = _exceeds(now - self.seen[1], TTL_S + GRACE_S), Liveness.UNKNOWN
        else:
            late, otherwise = _exceeds(now - self.beat, TTL_S), Liveness.ALIVE
        hasty = None if self.back is None else _exceeds(now - self.back, TTL_S / 2)
        if late is False or hasty is False:
            return otherwise
        return Liveness.EXPIRED if late and hasty else None


def _exceeds(seconds: float, limit: float) -> bool | None:
    """None where it is too close to say."""
    return None if abs(seconds - limit) < _MARGIN_S else seconds > limit


@attrs.define(eq=False)
class TaskModel:
    """The model of a task.

    Attributes:
        status: what stands in the file; None where it is malformed.
        missing: a person took the file away while somebody holds the task.
        frozen: the bytes of a file in a newer format: ours to read, never to write.
        written: the lease whose state was written into this text last; a person's new text has none.
    """

    status: Status | None = Status.PENDING
    missing: bool = False
    frozen: bytes | None = None
    token: int = 0
    lease: Held | None = None
    written: Held | None = None
    marks: int = 0

    @property
    def readable(self) -> bool:
        return self.status is not None and not self.missing

    @property
    def holder(self) -> Held | None:
        """The lease, if it holds the task and takes a slot."""
        return self.lease if self.lease is not None and self.lease.state is not LeaseState.ENDED else None

    def view(self) -> Status | None:
        if self.status is None or self.lease is None:
            return self.status
        if self.lease.state is LeaseState.ENDED:
            return self.lease.status
        return Status.CLAIMED if self.lease.state is LeaseState.CLAIMED else Status.IN_PROGRESS


class StoreModel(dict[str, TaskModel]):
    """The tasks that a person or a lease knows of. ``tokens``: of those that are gone for good."""

    def __init__(self, log: FileLog) -> None:
        super().__init__()
        self.log = log
        self.tokens: dict[str, int] = {}
        self.must_be_told: set[str] = set()

    def files(self) -> list[str]:
        return sorted(task_id for task_id, task in self.items() if not task.missing)

    def held(self) -> int:
        return sum(task.holder is not None for task in self.values())

    # ------------------------------------------------------------------ what must be refused, and with what

    def refusal_of_create(self, task_id: str) -> Refused:
        task = self.get(task_id)
        if task is not None and not (task.missing and task.lease is None):
            return AlreadyExistsError
        return StorageError if self.log.broken else None

    def refusal_of_edit(self, task_id: str) -> Refused:
        task = self.get(task_id)
        if task is None or task.missing:
            return NotFoundError
        return TaskFormatError if task.status is None or task.frozen else None

    def refusal_of_claim(self, task_id: str) -> Refused:
        task = self.get(task_id)
        if task is None or task.missing:
            return NotFoundError
        if task.status is None:
            return TaskFormatError
        if task.lease is not None or task.status is not Status.PENDING or task.frozen or self.held() >= LIMIT:
            return BusyError
        return StorageError if self.log.broken else None

    def is_current(self, lease: Lease) -> bool:
        task = self.get(lease.task_id)
        held = task.holder if task else None
        return held is not None and held.token == lease.token and held.state is lease.state

    def refusal_of_finish(self, lease: Lease, status: Status) -> Refused:
        if not self.is_current(lease) or self[lease.task_id].lease.cancelled != (lease.cancel is not None):
            return LeaseLostError
        old = Status.CLAIMED if lease.state is LeaseState.CLAIMED else Status.IN_PROGRESS
        allowed = status in ALLOWED_TRANSITIONS[old] and status is not Status.IN_PROGRESS
        return None if allowed else TransitionError

    def refusal_of_move(self, task_id: str, status: Status, expected: Status) -> Refused:
        task = self.get(task_id)
        if task is None or task.missing:
            return NotFoundError
        if task.status is None:
            return TaskFormatError
        if task.lease is not None or task.status is not expected or task.frozen:
            return BusyError
        if status in (Status.CLAIMED, Status.IN_PROGRESS):
            return TransitionError
        return None if status is expected or status in ALLOWED_TRANSITIONS[expected] else TransitionError

    # ------------------------------------------------------------------ what each step leaves

    def settle(self, task_id: str) -> None:
        """What every step does first: finish an end that could not be projected when it was committed."""
        task = self.get(task_id)
        if task is None or task.lease is None or task.holder is not None:
            return
        lease = task.lease
        # A person's word that it runs is none to keep: nobody holds it any more.
        if task.readable and (task.written is not lease or task.status in (Status.CLAIMED, Status.IN_PROGRESS)):
            task.status, task.written = task.status if task.frozen else lease.status, lease
        lease.told = lease.told or not self.log.broken
        if lease.told and (task.missing or task.status is not None):
            task.lease = None
            self.forget_if_gone(task_id)

    def settle_all(self) -> None:
        for task_id in list(self):
            self.settle(task_id)

    def forget_if_gone(self, task_id: str) -> None:
        if self[task_id].missing and self[task_id].lease is None:
            self.tokens[task_id] = self.pop(task_id).token

    def created(self, task_id: str) -> None:
        self[task_id] = TaskModel(token=self.tokens.get(task_id, 0))

    def claimed(self, lease: Lease, owner: Owner) -> None:
        task = self[lease.task_id]
        assert lease.token > task.token, "a token was given twice"
        task.token = lease.token
        task.status = Status.CLAIMED
        task.lease = Held(token=lease.token, state=LeaseState.CLAIMED, owner=owner, beat=lease.beat)
        task.written = task.lease
        self.must_be_told.add(f"evt-{lease.task_id}.{lease.token}.1")

    def started(self, lease: Lease, owner: Owner, beat: float) -> None:
        held = self[lease.task_id].lease
        if owner is not held.owner:
            held.looked = None
        held.state, held.owner, held.beat = LeaseState.STARTED, owner, beat
        self.must_be_told.add(f"evt-{lease.task_id}.{lease.token}.2")

    def ended(self, task_id: str, token: int, status: Status) -> None:
        self[task_id].lease = Held(token=token, state=LeaseState.ENDED, owner=Owner.HERE, status=status)
        self.settle(task_id)

    def found_ended(
        self, task_id: str, token: int, status: Status, *, retired: bool, told: bool, written: bool
    ) -> None:
        """The end of a step whose doer died, as far as it came."""
        task = self[task_id]
        ended = Held(token=token, state=LeaseState.ENDED, owner=Owner.HERE, status=status, told=told)
        if written and not task.frozen:
            task.status, task.written = status, ended
        if retired:
            assert task.missing or task.status is not None, "an end was forgotten before it was written"
        task.lease = None if retired else ended
        self.forget_if_gone(task_id)
