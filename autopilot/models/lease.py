"""The lease: the right to run one task, and the record that outlives it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from autopilot.models.event import Event, EventDraft
from autopilot.models.status import Status
from autopilot.models.task import Reason
from autopilot.system.processes import ProcessIdentity

__all__ = ["NO_BEAT", "Ending", "Lease", "LeaseSignal", "LeaseState", "TaskRecord"]


class LeaseState(StrEnum):
    """How far a lease is. Only ``CLAIMED`` and ``STARTED`` hold the task and count as slots."""

    CLAIMED = "claimed"
    STARTED = "started"
    ENDED = "ended"


NO_BEAT = -1.0
"""The beat of a lease whose sign of life cannot be read: only that it does not change says anything."""


@attrs.frozen(kw_only=True)
class TaskRecord:
    """What must be remembered of a task between attempts and has no place in the Markdown.

    Attributes:
        token: the number of the last attempt; only ever grows.
        seq: the last sequence number given to an event of this attempt.
        used: attempts that were used up (``max_attempts`` counts these).
        lost: attempts lost in a row; unavailable: the same for ``unavailable``.
        failed_on: executors that failed this task in judged work, in order, without repeats.
        sessions: executor name -> the program's session id, for resumes.
        earlier_failure: what the last judged failure said.
        spent_usd: the known cost of all attempts.
        not_before: do not start earlier (parking, back-off).
        reason: why it is parked or blocked.
        projected: the status that was last written into the Markdown; a different one there is a person's edit.
        result: what was last written under ``result:`` there.
    """

    task_id: str
    token: int = 0
    seq: int = 0
    used: int = 0
    lost: int = 0
    unavailable: int = 0
    failed_on: tuple[str, ...] = ()
    sessions: Mapping[str, str] = attrs.field(factory=dict)
    earlier_failure: str = ""
    spent_usd: float = 0.0
    not_before: datetime | None = None
    reason: Reason | None = None
    projected: Status = Status.PENDING
    result: Mapping[str, Any] | None = None


@attrs.frozen(kw_only=True)
class Lease:
    """The right to run one task until a deadline, held by one owner.

    Attributes:
        record: what is remembered of the task; ``record.token`` is this attempt's number, the fencing token.
        owner: the process that holds it: the dispatcher until the runner has registered itself.
        guardian: the process that catches the orphans of the owner, where there is one.
        claimed_at: wall time, for people.
        beat: CLOCK_MONOTONIC seconds of the owner's last sign of life, in the owner's boot; ``NO_BEAT`` where it
            cannot be read.
        ttl_s: seconds after ``beat`` when the lease runs out.
        cancel: a cancel was requested (by whom), else None.
        ending: the committed end, in state ENDED only; it waits for its projection.
        outbox: events that were committed with this state and may not be in the log yet.
        view: the status to show for the task while the lease lives.
    """

    record: TaskRecord
    state: LeaseState
    executor: str
    owner: ProcessIdentity
    guardian: ProcessIdentity | None = None
    claimed_at: datetime
    beat: float
    ttl_s: float
    cancel: str | None = None
    ending: Ending | None = None
    outbox: tuple[Event, ...] = ()

    @property
    def task_id(self) -> str:
        """The task."""
        return self.record.task_id

    @property
    def token(self) -> int:
        """The attempt's number."""
        return self.record.token


@attrs.frozen(kw_only=True)
class LeaseSignal:
    """What a runner learns when it renews its lease."""

    cancel: str | None = None


@attrs.frozen(kw_only=True)
class Ending:
    """How a task leaves its present status: one commit, then its projections.

    Attributes:
        status: the new status.
        record: the record to keep (counters, parking, reason); token and seq are the store's own business.
        result: what to write under ``result:`` in the Markdown; None leaves it as it is.
        events: facts to be logged with the commit.
        at: when it was committed; the store fills it in.
    """

    status: Status
    record: TaskRecord
    result: Mapping[str, Any] | None = None
    events: tuple[EventDraft, ...] = ()
    at: datetime | None = None
