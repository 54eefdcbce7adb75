"""What people do: cancel, retry, pause; and telling once of each file that cannot be read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from autopilot.dispatcher.hold import Hold, HoldMode, clear_hold, write_hold
from autopilot.errors import AlreadyExistsError, BusyError, TransitionError
from autopilot.models import (
    ALLOWED_TRANSITIONS,
    Ending,
    Event,
    EventDraft,
    InvalidTask,
    Status,
    Task,
    TaskRecord,
)
from autopilot.system.clock import format_instant
from autopilot.system.durable import ensure_folder, read_file, replace_file
from autopilot.system.sanitize import visible
from autopilot.taskfile import SCHEMA, lookalike, newer_format

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["cancel", "fresh_record", "impose_hold", "lift_hold", "refuse_lookalike", "report_invalid", "retry"]

_KEPT_DIGESTS = 10_000


def refuse_lookalike(control: Control, task_id: str) -> None:
    """Refuse to create a task whose id a reader would take for an existing one.

    Raises:
        AlreadyExistsError: there is such a task.
    """
    other = lookalike(task_id, control.store.ids())
    if other is not None:
        raise AlreadyExistsError(
            f"the id {task_id} looks like that of the task {visible(other)}; nothing was changed",
            hint="choose an id that nobody can take for it",
        )


def cancel(control: Control, task: Task, by: str) -> str:
    """See ``Control.cancel``."""
    if task.status in (Status.CLAIMED, Status.IN_PROGRESS) and control.store.request_cancel(task.id, by=by):
        control.append(
            [EventDraft(event_type="task.cancel_requested", payload={"attempt": task.attempt, "by": by})],
            trace_id=task.id,
        )
        control.store.notify()
        return "requested"
    if Status.CANCELLED not in ALLOWED_TRANSITIONS[task.status]:
        raise TransitionError(
            f"task {task.id} is {task.status} and cannot be cancelled",
            hint="it has ended already" if task.status in (Status.DONE, Status.CANCELLED) else "",
        )
    _refuse_newer(task)
    record = attrs.evolve(control.store.record(task.id), not_before=None, reason=None)
    event = EventDraft(event_type="task.cancelled", payload={"by": by})
    control.store.move(
        task.id, Ending(status=Status.CANCELLED, record=record, events=(event,)), expected=task.status
    )
    control.store.notify()
    return "cancelled"


def _refuse_newer(task: Task) -> None:
    if task.schema > SCHEMA:
        raise newer_format(task.schema, task.path)


def retry(control: Control, task: Task, force: bool, by: str) -> Task:
    """See ``Control.retry``."""
    _refuse_newer(task)
    if task.status is Status.PENDING:
        return _unpark(control, task, by)
    if task.status in (Status.CLAIMED, Status.IN_PROGRESS):
        raise BusyError(
            f"task {task.id} is {task.status}: its attempt {task.attempt} has not ended",
            hint=f"autopilotctl task wait {task.id}, or cancel it first",
        )
    if task.status is not Status.BLOCKED and not force:
        raise TransitionError(
            f"task {task.id} is {task.status}",
            hint=f"to run it once more: autopilotctl task retry --force {task.id}",
        )
    return _requeue(control, task, by, forced=force)


def _unpark(control: Control, task: Task, by: str) -> Task:
    record = control.store.record(task.id)
    if record.not_before is None and task.not_before is None:
        raise TransitionError(
            f"task {task.id} is pending already", hint=f"autopilotctl why {task.id} tells what it waits for"
        )
    control.store.edit(task.id, {"not_before": None})
    return _requeue(control, task, by, forced=False)


def _requeue(control: Control, task: Task, by: str, *, forced: bool) -> Task:
    record = fresh_record(control.store.record(task.id))
    event = EventDraft(
        event_type="task.requeued", payload={"attempt": record.token, "why": "retry", "by": by, "forced": forced}
    )
    result = {key: value for key, value in (task.result or {}).items() if key != "reason"}
    ending = Ending(status=Status.PENDING, record=record, result=result, events=(event,))
    moved = control.store.move(task.id, ending, expected=task.status)
    control.store.notify()
    return moved if isinstance(moved, Task) else control.read_task(task.id)


def fresh_record(record: TaskRecord) -> TaskRecord:
    """The record of a task that a person sends round again: the token stays, the counters begin anew; what
    earlier attempts said and where their sessions are is kept, it helps the next one."""
    return attrs.evolve(
        record, used=0, lost=0, unavailable=0, failed_on=(), spent_usd=0.0, not_before=None, reason=None
    )


def impose_hold(control: Control, mode: str, by: str, event_type: str) -> None:
    """Put a pause or drain in force, log it, and wake the dispatchers."""
    control.ensure_root()
    hold = Hold(mode=HoldMode(mode), by=by, at=format_instant(control.clock.now()))
    write_hold(control.root.state, hold)
    control.append([EventDraft(event_type=event_type, payload={"by": by})])
    control.store.notify()


def lift_hold(control: Control, by: str) -> bool:
    """Lift a pause or drain; whether there was one."""
    if not clear_hold(control.root.state):
        return False
    control.append([EventDraft(event_type="dispatcher.resumed", payload={"by": by})])
    control.store.notify()
    return True


def report_invalid(control: Control, invalid: Iterable[InvalidTask]) -> None:
    """See ``Control.report_invalid``. Which contents were told of is a cache; without it, one repeat with
    the same event id."""
    told = _told(control)
    fresh = [broken for broken in invalid if f"{broken.id} {broken.digest}" not in told]
    if not fresh:
        return
    now = format_instant(control.clock.now())
    control.log.append(
        [
            Event(
                id=f"evt-invalid-{broken.id}-{(broken.digest or 'unreadable')[:16]}",
                event_type="task.invalid",
                timestamp=now,
                trace_id=broken.id,
                payload={
                    "path": os.path.basename(broken.path),
                    "digest": broken.digest,
                    "line": broken.line,
                    "column": broken.column,
                    "message": broken.message,
                    "hint": broken.hint,
                },
            )
            for broken in fresh
        ]
    )
    told.extend(f"{broken.id} {broken.digest}" for broken in fresh)
    path = _told_path(control)
    ensure_folder(os.path.dirname(path))
    replace_file(path, json.dumps(told[-_KEPT_DIGESTS:]).encode(), point="told", sync=False)


def _told_path(control: Control) -> str:
    return os.path.join(control.root.state, "cache", "invalid.json")


def _told(control: Control) -> list[str]:
    try:
        told = json.loads(read_file(_told_path(control)))
    except (OSError, ValueError):
        return []
    return told if isinstance(told, list) else []
