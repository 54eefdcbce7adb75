"""The attempts of a task, as their run folders tell them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from autopilot.errors import NotFoundError

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control
    from autopilot.models import AttemptResult, InvalidTask, Task

__all__ = ["attempt_numbers", "attempt_rows", "last_attempt", "read_result", "run_folder"]

_RESULT_LIMIT = 16 * 1024 * 1024


def run_folder(control: Control, task_id: str, number: int) -> str:
    """Where an attempt keeps its files.

    Raises:
        StorageError: a link stands in the place of the folder, or of the task's.
    """
    return _real(control, os.path.join(control.root.runs, task_id, str(number)))


def attempt_numbers(control: Control, task_id: str) -> list[int]:
    """The attempts that have a run folder, the first one first."""
    try:
        names = os.listdir(_real(control, os.path.join(control.root.runs, task_id)))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isdecimal())


def _real(control: Control, folder: str) -> str:
    from autopilot.store.layout import Layout

    Layout(control.root.folder).refuse_links(folder)
    return folder


def read_result(control: Control, task_id: str, number: int) -> AttemptResult | None:
    """What the attempt's runner reported; None while it runs, and where it died without a word."""
    import json

    from autopilot.models import AttemptResult
    from autopilot.models.wire import load
    from autopilot.system.durable import read_file

    try:
        text = read_file(os.path.join(run_folder(control, task_id, number), "result.json"), limit=_RESULT_LIMIT)
        return load(AttemptResult, json.loads(text))
    except (FileNotFoundError, ValueError):
        return None


def attempt_rows(control: Control, task: Task | InvalidTask) -> list[dict[str, Any]]:
    """The objects of ``attempts`` in ``task show -o json``, the first attempt first."""
    lease = control.store.lease(task.id)
    running = lease.token if lease is not None and lease.state != "ended" else 0
    numbers = {*attempt_numbers(control, task.id), *([running] if running else [])}
    rows = [_row(control, task.id, number, running=number == running) for number in sorted(numbers)]
    if rows and not rows[-1]["executor"]:
        rows[-1]["executor"] = lease.executor if running and lease else _last_executor(task, rows[-1]["attempt"])
    return rows


def _last_executor(task: Task | InvalidTask, number: int) -> str | None:
    """Who had an attempt whose runner died without a word, by what its end wrote into the file."""
    result = getattr(task, "result", None) or {}
    return result.get("executor") if getattr(task, "attempt", 0) == number else None


def last_attempt(control: Control, task_id: str) -> int:
    """The number of the newest attempt with a run folder.

    Raises:
        NotFoundError: there was none.
    """
    numbers = attempt_numbers(control, task_id)
    if not numbers:
        raise NotFoundError(
            f"task {task_id} has no attempt yet", hint=f"`autopilotctl why {task_id}` says what it waits for"
        )
    return numbers[-1]


def _row(control: Control, task_id: str, number: int, *, running: bool) -> dict[str, Any]:
    from autopilot.dispatcher.endings import judge
    from autopilot.models.wire import dump

    folder = run_folder(control, task_id, number)
    result = read_result(control, task_id, number)
    if result is None:
        return {**_EMPTY, "attempt": number, "outcome": None if running else "lost", "run_dir": folder}
    judged = judge(result)
    told = dump(result)
    return {
        "attempt": number,
        "executor": result.executor,
        "outcome": str(judged.kind),
        "message": judged.message,
        "hint": judged.hint,
        "exit_code": judged.exit_code,
        "verified": result.verified,
        "cost_usd": judged.cost_usd,
        "duration_s": result.duration_s,
        "started_at": told["started_at"],
        "ended_at": told["ended_at"],
        "verdicts": told["verdicts"],
        "changed": told["changed"],
        "violations": told["violations"],
        "run_dir": folder,
    }


_EMPTY: dict[str, Any] = {
    "attempt": 0,
    "executor": None,
    "outcome": None,
    "message": "",
    "hint": "",
    "exit_code": None,
    "verified": None,
    "cost_usd": None,
    "duration_s": None,
    "started_at": None,
    "ended_at": None,
    "verdicts": [],
    "changed": [],
    "violations": [],
    "run_dir": "",
}
