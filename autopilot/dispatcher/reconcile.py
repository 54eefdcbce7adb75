"""The first part of a tick: bring every held task up to what has really happened.

Results are adopted, lost attempts taken back once nothing of them is alive, cancel requests and people's edits
honoured, half-written projections finished. All of it can be repeated by anybody at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import attrs

from autopilot.dispatcher.endings import Backoff, conclude, needs_onward, not_started, reclaimed
from autopilot.dispatcher.faults import Faults
from autopilot.errors import BusyError, LeaseLostError, NotFoundError, TaskFormatError, TransitionError
from autopilot.models import (
    AttemptResult,
    Decision,
    Ending,
    Event,
    EventDraft,
    InvalidTask,
    Lease,
    LeaseState,
    Outcome,
    OutcomeKind,
    Reason,
    Status,
    Task,
)
from autopilot.store.contract import Store, TaskSummary
from autopilot.system.clock import Clock, format_instant
from autopilot.system.failpoints import failpoint
from autopilot.system.processes import ProcessIdentity

__all__ = ["Adopted", "Means", "Reconciler"]


@attrs.frozen(kw_only=True)
class Adopted:
    """One attempt that ended, as committed by this tick."""

    task_id: str
    token: int
    executor: str
    status: Status
    outcome: str
    reason: Reason | None


@attrs.frozen(kw_only=True)
class Means:
    """What reconciling needs from outside, as functions, so that each can be replaced in a test.

    Attributes:
        verdict: ``alive``, ``dead``, ``expired`` or ``unknown`` for a lease's owner.
        starting: whether a runner of ours may still start this claim of ours.
        clear: end what is left of an attempt; None when nothing is alive, else the sentence why not yet.
        bury: the same for an attempt that has no lease any more.
        onward: the router's answer for the next attempt, with this result already counted.
        pool: the quota pool of an executor.
        log: append events that belong to no commit.
        forget: drop what was observed of all leases but these.
    """

    verdict: Callable[[Lease], str]
    starting: Callable[[Lease], bool]
    clear: Callable[[Lease], str | None]
    bury: Callable[[str, int], str | None]
    onward: Callable[[Task, Lease, AttemptResult], Decision | None]
    pool: Callable[[str], str]
    log: Callable[[Sequence[Event | EventDraft], str], None]
    forget: Callable[[list[Lease]], None]


class Reconciler:
    """Brings held tasks forward.

    Args:
        me: this dispatcher, whose claims are left alone while they may start.
        faults: takes what goes wrong with one task.

    Attributes:
        busy: what the last sweep could not settle, in sentences.
    """

    def __init__(
        self, store: Store, clock: Clock, backoff: Backoff, means: Means, me: ProcessIdentity, faults: Faults
    ) -> None:
        self._store = store
        self._clock = clock
        self._backoff = backoff
        self._means = means
        self._me = me
        self._faults = faults
        self._told: dict[tuple[str, int], str] = {}
        self._edits: dict[tuple[str, int], str] = {}
        self.busy: list[str] = []

    def sweep(self) -> list[Adopted]:
        """Reconcile every lease once; what ended by it."""
        self._store.project()
        held = [lease for lease in self._store.leases() if lease.state is not LeaseState.ENDED]
        self._forget_all_but(held)
        self.busy = []
        settled = [self._settle_alone(lease) for lease in held]
        return [ended for ended in settled if ended is not None]

    def _settle_alone(self, lease: Lease) -> Adopted | None:
        """One task whose lock somebody holds for too long, or that has a fault, keeps no other from its end."""
        try:
            return self.settle(lease)
        except BusyError as busy:
            self.busy.append(busy.message)
        except Exception as fault:
            self._faults.keep(lease.task_id, fault)
        return None

    def _forget_all_but(self, held: list[Lease]) -> None:
        self._means.forget(held)
        keys = {(lease.task_id, lease.token) for lease in held}
        self._told = {key: why for key, why in self._told.items() if key in keys}
        self._edits = {key: digest for key, digest in self._edits.items() if key in keys}

    def settle(self, lease: Lease) -> Adopted | None:
        """Bring one held task forward, if there is something to bring."""
        result = self._store.result(lease)
        if result is not None:
            return self._adopt(lease, result)
        if lease.state is LeaseState.CLAIMED and lease.owner == self._me:
            return self._look_after_own(lease)
        verdict = self._means.verdict(lease)
        if verdict in ("alive", "unknown"):
            return None
        return self._take_back(lease, verdict)

    def _look_after_own(self, lease: Lease) -> Adopted | None:
        """A claim of ours whose runner is gone, was never made, or does not come to its start for the time of the
        lease: nobody else would end it while we live."""
        why = "its runner ended before it could start; state/launcher.log may say why"
        if self._means.starting(lease):
            if self._clock.monotonic() - lease.beat <= lease.ttl_s:
                return None
            why = f"its runner did not begin within {lease.ttl_s:g} s, and may not any more"
        if lease.cancel is not None:
            return self._cancelled(lease)
        ending = not_started(lease, why, now=self._clock.now(), backoff=self._backoff)
        return self._finish(lease, ending, "released")

    def _adopt(self, lease: Lease, result: AttemptResult) -> Adopted | None:
        task = self._task_of(lease)
        onward = self._means.onward(task, lease, result) if needs_onward(result) else None
        ending = conclude(
            task,
            lease.record,
            result,
            now=self._clock.now(),
            backoff=self._backoff,
            onward=onward,
            pool=self._means.pool(result.executor),
            cancelled=lease.cancel is not None,
        )
        return self._finish(lease, ending, str(ending.result["outcome"]) if ending.result else "")

    def _finish(self, lease: Lease, ending: Ending, outcome: str) -> Adopted | None:
        try:
            self._store.finish(lease, ending)
        except LeaseLostError:
            self._tell_stale(lease)
            return None
        except TransitionError:
            return self._as_never_started(lease)
        return Adopted(
            task_id=lease.task_id,
            token=lease.token,
            executor=lease.executor,
            status=ending.status,
            outcome=outcome,
            reason=ending.record.reason,
        )

    def _tell_stale(self, lease: Lease) -> None:
        current = self._store.record(lease.task_id).token
        if current == lease.token:
            # Another dispatcher was quicker; its word counts, and it is the same word.
            return
        payload = {"attempt": lease.token, "current": current, "what": "end"}
        self._means.log([EventDraft(event_type="lease.stale", payload=payload)], lease.task_id)

    def _as_never_started(self, lease: Lease) -> Adopted | None:
        fresh = self._store.lease(lease.task_id)
        if fresh is None or fresh.token != lease.token:
            return None
        return self._release(fresh, "its attempt ended before it started")

    def _take_back(self, lease: Lease, verdict: str) -> Adopted | None:
        why_not = self._means.clear(lease)
        if why_not is not None:
            self._tell_deferred(lease, why_not)
            return None
        failpoint("reclaim.cleared")
        result = self._store.result(lease)
        if result is not None:
            return self._adopt(lease, result)
        fresh = self._store.lease(lease.task_id)
        if fresh is None or fresh.token != lease.token or fresh.owner != lease.owner:
            return None
        if lease.cancel is not None:
            return self._cancelled(lease)
        if lease.state is LeaseState.CLAIMED:
            return self._release(lease, "its dispatcher died before the attempt started")
        return self._lost(lease, verdict)

    def _cancelled(self, lease: Lease) -> Adopted | None:
        return self._conclude_without_runner(
            lease, OutcomeKind.CANCELLED, f"cancelled by {lease.cancel}; its runner was gone already"
        )

    def _lost(self, lease: Lease, verdict: str) -> Adopted | None:
        how = "its runner died" if verdict == "dead" else "its runner gave no sign of life and was ended"
        return self._conclude_without_runner(lease, OutcomeKind.LOST, how)

    def _conclude_without_runner(self, lease: Lease, kind: OutcomeKind, message: str) -> Adopted | None:
        now = self._clock.now()
        result = AttemptResult(
            task_id=lease.task_id,
            token=lease.token,
            executor=lease.executor,
            outcome=Outcome(kind=kind, message=message),
            started_at=lease.claimed_at,
            ended_at=now,
            duration_s=max(0.0, (now - lease.claimed_at).total_seconds()),
        )
        task = self._task_of(lease)
        ending = conclude(
            task, lease.record, result, now=now, backoff=self._backoff, pool=self._means.pool(lease.executor)
        )
        if kind is OutcomeKind.LOST:
            ending = attrs.evolve(ending, events=(reclaimed(lease, message), *ending.events))
        if lease.state is LeaseState.CLAIMED and ending.status is not Status.CANCELLED:
            return self._release(lease, message)
        return self._finish(lease, ending, str(kind))

    def _release(self, lease: Lease, why: str) -> Adopted | None:
        ending = Ending(status=Status.PENDING, record=lease.record, events=(reclaimed(lease, why),))
        return self._finish(lease, ending, "released")

    def _tell_deferred(self, lease: Lease, why: str) -> None:
        if self._told.get((lease.task_id, lease.token)) == why:
            return
        self._told[lease.task_id, lease.token] = why
        draft = EventDraft(event_type="reclaim.deferred", payload={"attempt": lease.token, "why": why})
        self._means.log([draft], lease.task_id)

    def _task_of(self, lease: Lease) -> Task:
        try:
            task = self._store.get(lease.task_id)
        except NotFoundError:
            task = None
        if task is None or isinstance(task, InvalidTask):
            # The file is gone or half saved: what is needed to end the attempt does not depend on it.
            return Task(id=lease.task_id, title=lease.task_id, status=Status.IN_PROGRESS)
        return task

    def honour_edit(self, lease: Lease, summary: TaskSummary) -> None:
        """Where a person changed the status of a held task: that is recorded, ``cancelled`` asks for a cancel, and
        the end of the attempt writes over it."""
        if summary.written in _WRITTEN_BY_US:
            return
        told = _edited(lease, summary)
        is_news = self._edits.get((lease.task_id, lease.token)) != told.id
        cancels = lease.cancel is None and summary.written is Status.CANCELLED
        if not (is_news or cancels) or not self._still_says(summary):
            return
        if is_news:
            self._means.log([told], lease.task_id)
            self._edits[lease.task_id, lease.token] = told.id
        if cancels:
            self._store.request_cancel(lease.task_id, by=_THE_FILE, digest=summary.digest)
            asked = EventDraft(
                event_type="task.cancel_requested", payload={"attempt": lease.token, "by": _THE_FILE}
            )
            self._means.log([asked], lease.task_id)

    def _still_says(self, summary: TaskSummary) -> bool:
        """Whether the file has the text that was seen: it may have been another attempt's."""
        try:
            return self._store.get(summary.id).digest == summary.digest
        except NotFoundError:
            return False

    def repair(self, task: Task) -> bool:
        """Set a task right whose file says that it runs, when nobody holds it; whether it was done.

        A task that has ended keeps its end: the file's text is older than that, saved or checked out too late.
        One whose lease was deleted may still run: that is ended first.

        Raises:
            BusyError: what runs cannot be ended yet.
        """
        record = self._store.record(task.id)
        # After the record: of the attempt that it tells of nobody is the owner, whatever has begun since.
        if self._store.lease(task.id) is not None:
            return False
        has_ended = record.projected in _ENDS
        why_not = None if has_ended else self._means.bury(task.id, record.token)
        if why_not is not None:
            raise BusyError(f"{task.id}: {why_not}")
        why = "it has ended" if has_ended else "nobody holds it"
        told = EventDraft(
            event_type="task.repaired", payload={"attempt": record.token, "was": str(task.status), "why": why}
        )
        try:
            if has_ended:
                end = {"status": record.projected.value, "attempt": record.token, "result": record.result}
                kept = {key: value for key, value in end.items() if value is not None}
                self._store.edit(task.id, kept, digest=task.digest)
                self._means.log([told], task.id)
            else:
                ending = Ending(status=Status.PENDING, record=record, events=(told,))
                self._store.move(task.id, ending, expected=task.status)
        except (BusyError, NotFoundError, TaskFormatError):
            return False
        return True


_THE_FILE = "the task's file"

_ENDS = frozenset({Status.DONE, Status.BLOCKED, Status.CANCELLED})

_WRITTEN_BY_US = frozenset({None, Status.PENDING, Status.CLAIMED, Status.IN_PROGRESS})
"""What stands in the file of a held task when nobody changed it: the lease's word, or still the one before."""


def _edited(lease: Lease, summary: TaskSummary) -> Event:
    # All of it is the file's word and the lease's, so that every dispatcher tells the same fact.
    saved = max(datetime.fromtimestamp(summary.saved, UTC), lease.claimed_at)
    return Event(
        id=f"evt-edited-{lease.task_id}-{lease.token}-{summary.digest[:16]}-{round(saved.timestamp() * 1e6)}",
        event_type="task.edited",
        timestamp=format_instant(saved),
        trace_id=lease.task_id,
        payload={"keys": ["status"], "digest": summary.digest},
    )
