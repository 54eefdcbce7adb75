"""A task as the command line shows it: the objects of ``task list -o json``, and their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from autopilot.cli.output import Column
from autopilot.models import InvalidTask

if TYPE_CHECKING:
    from autopilot.models import Reason, Task
    from autopilot.store.contract import Store

__all__ = ["COLUMNS", "invalid_row", "task_row"]

_BY_HAND = {
    "code": "blocked_by_hand",
    "message": "somebody wrote `status: blocked` into the file",
    "hint": "when the cause is gone: autopilotctl task retry {id}",
}


def task_row(task: Task | InvalidTask, store: Store) -> dict[str, Any]:
    """The object of one task; ``status`` is the lease's view where it is held."""
    if isinstance(task, InvalidTask):
        return invalid_row(task)
    return {
        "id": task.id,
        "title": task.title,
        "status": str(task.status),
        "priority": str(task.priority),
        "executor": task.executor or _holder(task, store),
        "task_type": task.task_type,
        "attempt": task.attempt,
        "result": dict(task.result) if task.result is not None else None,
        "reason": _reason(task, store),
        "tags": list(task.tags),
        "depends_on": list(task.depends_on),
        "not_before": _instant(task.not_before),
        "created_at": _instant(task.created_at),
        "updated_at": _instant(task.updated_at),
        "path": task.path,
    }


def invalid_row(broken: InvalidTask) -> dict[str, Any]:
    """The object of a file that cannot be read as a task: the same keys, and where the fault is."""
    place = ":".join(str(number) for number in (broken.line, broken.column) if number)
    where = f"line {place}: " if place else ""
    return {
        "id": broken.id,
        "title": "",
        "status": "invalid",
        "priority": None,
        "executor": None,
        "task_type": None,
        "attempt": 0,
        "result": None,
        "reason": {"code": "task_invalid", "message": where + broken.message, "hint": broken.hint},
        "tags": [],
        "depends_on": [],
        "not_before": None,
        "created_at": None,
        "updated_at": None,
        "path": broken.path,
        "line": broken.line,
        "column": broken.column,
    }


def _holder(task: Task, store: Store) -> str | None:
    if task.status not in ("claimed", "in_progress"):
        return None
    lease = store.lease(task.id)
    return lease.executor if lease else None


def _reason(task: Task, store: Store) -> Mapping[str, str] | None:
    if task.status == "blocked":
        return _as_mapping(store.record(task.id).reason) or _blocked_reason(task)
    if task.status == "pending" and (task.attempt or task.not_before):
        return _as_mapping(store.record(task.id).reason)
    return None


def _blocked_reason(task: Task) -> Mapping[str, str]:
    written = (task.result or {}).get("reason")
    if isinstance(written, Mapping) and {"code", "message"} <= set(written):
        return {key: str(written.get(key, "")) for key in ("code", "message", "hint")}
    return {key: text.format(id=task.id) for key, text in _BY_HAND.items()}


def _as_mapping(reason: Reason | None) -> Mapping[str, str] | None:
    if reason is None:
        return None
    return {"code": reason.code, "message": reason.message, "hint": reason.hint}


def _instant(value: Any) -> str | None:
    if value is None:
        return None
    from autopilot.system.clock import format_instant

    return format_instant(value)


def _status(row: Mapping[str, Any]) -> str:
    result = row["result"] or {}
    if row["status"] == "done" and result.get("verified") is False:
        return "done (unverified)"
    if row["status"] == "pending" and row["not_before"] and row["reason"]:
        return "pending (parked)"
    return str(row["status"])


COLUMNS = (
    Column("ID", "id"),
    Column("STATUS", _status),
    Column("PRIORITY", "priority"),
    Column("TYPE", "task_type"),
    Column("EXECUTOR", lambda row: row["executor"] or (row["result"] or {}).get("executor")),
    Column("TRY", lambda row: row["attempt"] or None),
    Column("TITLE", lambda row: row["title"] or (row["reason"] or {}).get("message"), wide=True),
)
