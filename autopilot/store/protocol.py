"""The lease protocol as pure functions: what each step makes of a lease, its record and its events.

Both stores of this package are these rules plus a place to keep the values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import attrs

from autopilot.errors import (
    AlreadyExistsError,
    BusyError,
    LeaseLostError,
    NotFoundError,
    TaskFormatError,
    TransitionError,
)
from autopilot.models import (
    Ending,
    Event,
    EventDraft,
    InvalidTask,
    Lease,
    LeaseState,
    Status,
    Task,
    TaskRecord,
    check_transition,
)
from autopilot.store.contract import SlotLimits
from autopilot.system.clock import Clock, format_instant
from autopilot.system.processes import ProcessIdentity
from autopilot.taskfile import edit

__all__ = [
    "MOST_CREATE_EVENTS",
    "as_edited",
    "changed",
    "check_claimable",
    "check_current",
    "check_movable",
    "check_slots",
    "claimed",
    "creation_events",
    "ended",
    "fresh_record",
    "holds",
    "markdown_values",
    "missing",
    "moved",
    "overlay",
    "projected",
    "started",
    "still_held",
    "taken",
    "view",
    "view_status",
]

MOST_CREATE_EVENTS = 15
"""A task that was never moved has no record; its first record starts counting behind these."""

SCHEMA = 1
"""The newest task file format that this version may change."""


def holds(lease: Lease | None) -> bool:
    """Whether somebody holds the task and takes up a slot."""
    return lease is not None and lease.state is not LeaseState.ENDED


def view_status(lease: Lease) -> Status:
    """The status to show for a task while its lease lives."""
    if lease.ending is not None:
        return lease.ending.status
    return Status.CLAIMED if lease.state is LeaseState.CLAIMED else Status.IN_PROGRESS


def overlay(task: Task, lease: Lease | None, record: TaskRecord | None = None) -> Task:
    """The task as its lease tells it, or where there is none as file and record tell it."""
    status, attempt, not_before = view(task.status, task.attempt, task.not_before, lease, record)
    if (status, attempt, not_before) == (task.status, task.attempt, task.not_before) and lease is None:
        return task
    ending = lease.ending if lease is not None else None
    result = task.result if ending is None or ending.result is None else ending.result
    return attrs.evolve(task, status=status, attempt=attempt, not_before=not_before, result=result)


def view(
    status: Status, attempt: int, not_before: datetime | None, lease: Lease | None, record: TaskRecord | None
) -> tuple[Status, int, datetime | None]:
    """Status, attempt and earliest start to show for a task whose file has the given ones."""
    if lease is not None:
        return view_status(lease), lease.token, _later(not_before, lease.record.not_before)
    if record is not None and status is Status.PENDING:
        return status, attempt, _later(not_before, record.not_before)
    return status, attempt, not_before


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one and other else one or other


def fresh_record(task_id: str, attempt: int, status: Status, now: datetime) -> TaskRecord:
    """The record of a task that has none: it was never moved, or its record was deleted.

    ``seq`` counts on behind the events that may be in the log already. Where attempts were made and their
    record is lost, how many there were is not known, and the clock's seconds stand in.
    """
    seq = int(now.timestamp()) if attempt else MOST_CREATE_EVENTS
    return TaskRecord(task_id=task_id, token=attempt, seq=seq, projected=status)


_ENDS = frozenset({Status.DONE, Status.BLOCKED, Status.CANCELLED})


def as_edited(record: TaskRecord, task: Task | InvalidTask | None) -> TaskRecord:
    """The record, seen with the file: where a person set an ended task back to pending, the counters begin anew.

    The token stays, so that the next attempt is fenced off from the earlier ones; what those said and where their
    sessions are helps the next one.
    """
    if record.projected not in _ENDS or not isinstance(task, Task) or task.status is not Status.PENDING:
        return record
    return attrs.evolve(
        record,
        used=0,
        lost=0,
        unavailable=0,
        failed_on=(),
        spent_usd=0.0,
        not_before=None,
        reason=None,
        projected=Status.PENDING,
    )


def stamp(record: TaskRecord, drafts: Sequence[EventDraft], clock: Clock) -> tuple[TaskRecord, tuple[Event, ...]]:
    """Give events their ids and time; the record counts them."""
    now = format_instant(clock.now())
    events = tuple(_event(record, number, draft, now) for number, draft in enumerate(drafts, record.seq + 1))
    return attrs.evolve(record, seq=record.seq + len(events)), events


def _event(record: TaskRecord, number: int, draft: EventDraft, now: str) -> Event:
    return Event(
        id=f"evt-{record.task_id}.{record.token}.{number}",
        event_type=draft.event_type,
        timestamp=now,
        trace_id=record.task_id,
        payload=draft.payload,
    )


def creation_events(
    task_id: str, record: TaskRecord | None, drafts: Sequence[EventDraft], clock: Clock
) -> tuple[TaskRecord, tuple[Event, ...]]:
    """The events of a creation. ``record`` is what is left of an earlier task of this id, None mostly."""
    if len(drafts) > MOST_CREATE_EVENTS:
        raise ValueError(f"at most {MOST_CREATE_EVENTS} events at a creation, not {len(drafts)}")
    return stamp(record or TaskRecord(task_id=task_id), drafts, clock)


# ---------------------------------------------------------------------- refusals


def missing(task_id: str) -> NotFoundError:
    """There is no file of this id."""
    return NotFoundError(f"there is no task {task_id!r}", hint="`autopilotctl task list` shows all ids")


def taken(task_id: str) -> AlreadyExistsError:
    """A creation of an id that has a file."""
    return AlreadyExistsError(
        f"there is a task {task_id!r} already; nothing was changed", hint="choose another id, or edit that task"
    )


def still_held(lease: Lease) -> AlreadyExistsError:
    """A creation of an id whose file is gone while its attempt goes on."""
    return AlreadyExistsError(
        f"attempt {lease.token} of an earlier task {lease.task_id!r} has not ended; nothing was changed",
        hint="its end would be taken for the new task's: choose another id, or wait",
    )


def changed(task_id: str) -> BusyError:
    """An edit of what is not any more as its author read it."""
    return BusyError(
        f"the file of task {task_id} changed since it was read",
        hint="read it again and repeat the edit",
        code="changed",
    )


# ---------------------------------------------------------------------- checks


def check_claimable(task: Task, lease: Lease | None, digest: str) -> None:
    """Refuse a claim of a task that is held, changed, not pending, or of a newer format.

    Raises:
        BusyError: with the code that the contract names.
    """
    _refuse_held(lease)
    if digest and task.digest != digest:
        raise BusyError(f"the file of task {task.id} changed since it was judged", code="changed")
    if task.status is not Status.PENDING:
        raise BusyError(f"task {task.id} is {task.status}, not pending", code="not_pending")
    if task.schema > SCHEMA:
        raise BusyError(
            f"task {task.id} has format {task.schema}, newer than {SCHEMA}",
            hint="upgrade autopilot to run it",
            code="not_pending",
        )


def _refuse_held(lease: Lease | None) -> None:
    if lease is None:
        return
    if holds(lease):
        raise BusyError(f"task {lease.task_id} is held: {view_status(lease)}, attempt {lease.token}", code="held")
    raise BusyError(
        f"the end of attempt {lease.token} of task {lease.task_id} is not written everywhere yet",
        hint="`autopilotctl doctor` tells what it waits for",
    )


def check_slots(leases: Sequence[Lease], executor: str, limits: SlotLimits) -> None:
    """Refuse a claim for which no slot is free.

    Raises:
        BusyError: code ``no_slot``.
    """
    running = [lease for lease in leases if holds(lease)]
    if len(running) >= limits.total:
        raise BusyError(f"all {limits.total} slots are taken", code="no_slot")
    own = sum(lease.executor == executor for lease in running)
    if limits.executor is not None and own >= limits.executor:
        raise BusyError(f"all {limits.executor} slots of executor {executor} are taken", code="no_slot")


def check_current(current: Lease | None, lease: Lease) -> Lease:
    """The stored lease, if the caller's is still the same one.

    Who judged a claim must not end the attempt that its runner has started meanwhile, so state and owner count
    as well as the token.

    Raises:
        LeaseLostError: it is gone, ended, of a newer token, or in other hands.
    """
    if current is None or current.token != lease.token or not holds(current):
        raise LeaseLostError(
            f"attempt {lease.token} of task {lease.task_id} does not hold it any more",
            hint="stop working on it; what it did is kept in its run folder",
        )
    if current.state is not lease.state or current.owner != lease.owner:
        raise LeaseLostError(
            f"attempt {lease.token} of task {lease.task_id} is now {current.state} by process {current.owner.pid}",
            hint="read the lease again and judge it afresh",
            code="lease_changed",
        )
    return current


def check_movable(task: Task, lease: Lease | None, new: Status, expected: Status) -> None:
    """Refuse to move a task that is held or not where the caller thinks.

    Stating the same status again is allowed where nobody can hold it (to park, wake or explain a task).

    Raises:
        BusyError, TransitionError.
    """
    _refuse_held(lease)
    if task.status is not expected:
        raise BusyError(f"task {task.id} is {task.status}, not {expected} any more", code="not_expected")
    if task.schema > SCHEMA:
        raise BusyError(
            f"task {task.id} has format {task.schema}, newer than {SCHEMA}",
            hint="upgrade autopilot to change it",
            code="newer_format",
        )
    _check_end(task.id, expected, new)


def _check_end(task_id: str, old: Status, new: Status) -> None:
    if new in (Status.CLAIMED, Status.IN_PROGRESS):
        raise TransitionError(f"task {task_id} can become {new} by claim and start only", hint="claim it instead")
    if new is not old:
        check_transition(task_id, old, new)


# ---------------------------------------------------------------------- steps


def claimed(
    record: TaskRecord,
    *,
    token: int,
    executor: str,
    owner: ProcessIdentity,
    ttl_s: float,
    events: Sequence[EventDraft],
    clock: Clock,
) -> Lease:
    """The lease of a new attempt: the right begins with a fresh beat."""
    begun = attrs.evolve(record, token=token, seq=0, not_before=None, reason=None, projected=Status.CLAIMED)
    counted, outbox = stamp(begun, events, clock)
    return Lease(
        record=counted,
        state=LeaseState.CLAIMED,
        executor=executor,
        owner=owner,
        claimed_at=clock.now(),
        beat=clock.monotonic(),
        ttl_s=ttl_s,
        outbox=outbox,
    )


def started(
    current: Lease | None,
    lease: Lease,
    *,
    owner: ProcessIdentity,
    guardian: ProcessIdentity | None,
    events: Sequence[EventDraft],
    clock: Clock,
) -> Lease:
    """The lease in its runner's hands. The claim's events are not carried on: a claim that returned has
    published them, and a runner is only started then.

    Raises:
        LeaseLostError: the token is old, or it was started already.
    """
    held = check_current(current, lease)
    if held.state is not LeaseState.CLAIMED:
        raise LeaseLostError(f"attempt {lease.token} of task {lease.task_id} was started already")
    record, outbox = stamp(held.record, events, clock)
    return attrs.evolve(
        held,
        record=record,
        state=LeaseState.STARTED,
        owner=owner,
        guardian=guardian,
        beat=clock.monotonic(),
        outbox=outbox,
    )


def ended(current: Lease | None, lease: Lease, ending: Ending, *, carried: Sequence[Event], clock: Clock) -> Lease:
    """The lease with its committed end. ``carried``: events of earlier steps that may not be in the log.

    Who judged the lease before somebody asked for its cancel must judge it again: that somebody was told yes.

    Raises:
        LeaseLostError, TransitionError.
    """
    held = check_current(current, lease)
    if held.cancel != lease.cancel:
        raise LeaseLostError(
            f"a cancel of attempt {lease.token} of task {lease.task_id} was asked for since it was judged",
            hint="read the lease again and judge it afresh",
            code="lease_changed",
        )
    _check_end(held.task_id, view_status(held), ending.status)
    return _with_ending(held, held.record, ending, carried, clock)


def moved(record: TaskRecord, ending: Ending, *, owner: ProcessIdentity, clock: Clock) -> Lease:
    """The lease of a change that nobody's attempt brought: born ended.

    Raises:
        BusyError: the ending is made of a record from before the last attempt, whose counts it would take back.
    """
    if ending.record.token != record.token:
        raise BusyError(
            f"task {record.task_id} has had attempt {record.token} since it was read",
            hint="read it again and repeat the change",
            code="changed",
        )
    born = Lease(
        record=record,
        state=LeaseState.ENDED,
        executor="",
        owner=owner,
        claimed_at=clock.now(),
        beat=clock.monotonic(),
        ttl_s=0.0,
    )
    return _with_ending(born, record, ending, (), clock)


def _with_ending(lease: Lease, old: TaskRecord, ending: Ending, carried: Sequence[Event], clock: Clock) -> Lease:
    kept = attrs.evolve(
        ending.record,
        task_id=old.task_id,
        token=old.token,
        seq=old.seq,
        projected=ending.status,
        result=ending.record.result if ending.result is None else ending.result,
    )
    record, events = stamp(kept, ending.events, clock)
    return attrs.evolve(
        lease,
        record=record,
        state=LeaseState.ENDED,
        cancel=None,
        ending=Ending(status=ending.status, record=record, result=ending.result, at=clock.now()),
        outbox=(*carried, *events),
    )


# ---------------------------------------------------------------------- projection


def markdown_values(lease: Lease, task: Task, *, again: bool = False) -> dict[str, Any]:
    """What a lease writes into the frontmatter, which holds ``task`` now.

    Args:
        again: somebody may have written it already; then there is nothing to write, and what a person changed
            since stays. ``updated_at`` tells: it is the instant of the commit.
    """
    at = lease.claimed_at if lease.ending is None else lease.ending.at
    if task.schema > SCHEMA or (again and task.updated_at == at and task.status not in _HELD):
        return {}
    values: dict[str, Any] = {"status": view_status(lease).value}
    if lease.token != task.attempt:
        values["attempt"] = lease.token
    if at is not None:
        values["updated_at"] = format_instant(at)
    if lease.ending is not None and lease.ending.result is not None:
        values["result"] = dict(lease.ending.result)
    return values


_HELD = frozenset({Status.CLAIMED, Status.IN_PROGRESS})


def projected(data: bytes, values: Mapping[str, Any]) -> tuple[bytes, str]:
    """A file's text with ``markdown_values``, and what of them was left out: a sentence, mostly empty.

    What an attempt came to must not stop its end: a result that no file can hold stays in the log only.

    Raises:
        TaskFormatError: the text cannot be read.
    """
    try:
        return edit(data, values), ""
    except TaskFormatError as fault:
        if values.get("result") is None:
            raise
        return edit(data, {**values, "result": None}), fault.message
