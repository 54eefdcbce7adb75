"""What must hold before a task is routed: each gate says yes, wait for this, or never as it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import datetime, timedelta

import attrs

from autopilot.dispatcher.board import ENDED, Board
from autopilot.dispatcher.graph import find_cycles
from autopilot.dispatcher.overlap import overlapping
from autopilot.models import Gate, Reason, Status, Task, TaskRecord, Workspace
from autopilot.system.clock import format_instant

__all__ = ["REMOVABLE", "Dependencies", "Refusal", "Running", "refusals"]

REMOVABLE = frozenset(
    {
        "dependency_failed",
        "dependency_cycle",
        "unknown_executor",
        "workspace_unavailable",
        "protected_path",
        "origin_not_approved",
    }
)
"""Reasons of blocked tasks that are looked at again, because their cause can go away by itself."""

_LOOK_AGAIN_S = 30.0
_LONGEST_PARKING = timedelta(days=8, minutes=5)
"""The longest rest that routing believes in, and what clocks may disagree."""


@attrs.frozen(kw_only=True)
class Refusal:
    """One gate that is closed.

    Attributes:
        block: the task cannot run as it is; it becomes ``blocked`` with ``reason``.
        keys: board keys to wait for; until: an instant (epoch seconds) to wait for.
    """

    gate: str
    reason: Reason
    block: bool = False
    keys: tuple[Hashable, ...] = ()
    until: float | None = None

    def shown(self) -> Gate:
        """As ``why`` shows it."""
        return Gate(name=self.gate, ok=False, detail=self.reason.message, hint=self.reason.hint)


@attrs.frozen(kw_only=True)
class Running:
    """A task that is held now, as far as others must know it."""

    task_id: str
    executor: str
    task_type: str
    workdir: str
    touches: tuple[str, ...]


class Dependencies:
    """Who waits for whom; cycles are found once for each version of the board."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._version = -1
        self._cycles: Mapping[str, tuple[str, ...]] = {}

    def cycle_of(self, task_id: str) -> tuple[str, ...] | None:
        """The cycle that a task lies on, or that one of its dependencies leads into; None without one."""
        if self._version != self._board.version:
            self._version = self._board.version
            tasks = self._board.tasks
            self._cycles = find_cycles(
                (name for name, summary in tasks.items() if summary.depends_on), self._edges
            )
        return self._cycles.get(task_id)

    def _edges(self, task_id: str) -> tuple[str, ...]:
        summary = self._board.tasks.get(task_id)
        if summary is None or summary.status is Status.DONE:
            return ()
        return summary.depends_on

    def refusal(self, task: Task) -> Refusal | None:
        """Why a task must wait for another, or never can run because of another."""
        open_ones = [name for name in task.depends_on if self._board.status(name) is not Status.DONE]
        if not open_ones:
            return None
        cycle = self.cycle_of(task.id)
        if cycle:
            path = " → ".join(cycle)
            reason = Reason(
                code="dependency_cycle",
                message=f"its dependencies form a cycle: {path}",
                hint="remove one of these from `depends_on`",
            )
            return Refusal(gate="dependencies", reason=reason, block=True, keys=_keys(task.depends_on))
        return self._failed(task, open_ones) or self._unfinished(task, open_ones)

    def _failed(self, task: Task, open_ones: list[str]) -> Refusal | None:
        for name in open_ones:
            status = self._board.status(name)
            if status in (Status.BLOCKED, Status.CANCELLED):
                reason = Reason(
                    code="dependency_failed",
                    message=f"dependency {name} is {status}",
                    hint=f"autopilotctl why {name}; then retry it, or remove it from `depends_on`",
                )
                return Refusal(gate="dependencies", reason=reason, block=True, keys=_keys(task.depends_on))
        return None

    def _unfinished(self, task: Task, open_ones: list[str]) -> Refusal:
        missing = [name for name in open_ones if self._board.status(name) is None]
        if missing:
            broken = [name for name in missing if name in self._board.invalid]
            code = "dependency_invalid" if broken else "dependency_missing"
            name = (broken or missing)[0]
            message = (
                f"dependency {name} cannot be read as a task" if broken else f"dependency {name} does not exist"
            )
            hint = f"autopilotctl task show {name}" if broken else f"create {name}, or remove it from `depends_on`"
        else:
            name = open_ones[0]
            more = f" and {len(open_ones) - 1} more" if len(open_ones) > 1 else ""
            code, hint = "dependency_open", f"nothing to do; it runs when {name} is done"
            message = f"waits for {name} ({self._board.status(name)}){more}"
        return Refusal(
            gate="dependencies",
            reason=Reason(code=code, message=message, hint=hint),
            keys=_keys(task.depends_on),
        )


def _keys(names: tuple[str, ...]) -> tuple[Hashable, ...]:
    return tuple(("task", name) for name in names)


@attrs.frozen(kw_only=True)
class Circumstances:
    """What the gates look at beside the task.

    Attributes:
        running: tasks that are held now.
        project: the folder that contains the root; workdir: where the task would work.
        protects: tells which of a task's ``touches`` are protected paths.
    """

    now: datetime
    dependencies: Dependencies
    running: tuple[Running, ...]
    project: str
    workdir: str
    protects: Callable[[Task], str | None]


def refusals(task: Task, record: TaskRecord, around: Circumstances) -> Iterator[tuple[str, Refusal | None]]:
    """Every gate in order, with its refusal or None. Lazy: the tick stops at the first refusal."""
    yield "format", _newer_format(task)
    yield "time", _too_early(task, record, around.now)
    yield "dependencies", around.dependencies.refusal(task)
    yield "attempts", _no_attempt_left(task, record)
    yield "budget", _budget_spent(task, record)
    yield "origin", _not_approved(task, around)
    yield "workspace", _no_workspace(task, around)
    yield "protected paths", _protected(task, around)
    yield "overlaps", _overlaps(task, around)


def _newer_format(task: Task) -> Refusal | None:
    if task.schema <= 1:
        return None
    reason = Reason(
        code="newer_format",
        message=f"the file says schema {task.schema}, and this version knows schema 1",
        hint="upgrade autopilot-core; until then it is only listed",
    )
    return Refusal(gate="format", reason=reason)


def _too_early(task: Task, record: TaskRecord, now: datetime) -> Refusal | None:
    instants = [instant for instant in (task.not_before, record.not_before) if instant is not None]
    if not instants or max(instants) <= now or _set_back(max(instants), record, now):
        return None
    until = max(instants)
    why = f": {record.reason.message}" if record.reason else ""
    code = record.reason.code if record.reason else "not_before"
    reason = Reason(
        code=code,
        message=f"not before {format_instant(until)}{why}",
        hint="nothing to do; it goes on by itself",
    )
    return Refusal(gate="time", reason=reason, until=until.timestamp())


def _set_back(until: datetime, record: TaskRecord, now: datetime) -> bool:
    """Whether we parked it, for longer than we ever do: then the clock was set back since."""
    return until == record.not_before and until > now + _LONGEST_PARKING


def _no_attempt_left(task: Task, record: TaskRecord) -> Refusal | None:
    if record.used < task.max_attempts:
        return None
    reason = Reason(
        code="attempts_exhausted",
        message=f"{record.used} of {task.max_attempts} attempts are used up",
        hint=f"autopilotctl task retry {task.id}, or raise `max_attempts`",
    )
    return Refusal(gate="attempts", reason=reason, block=True)


def _budget_spent(task: Task, record: TaskRecord) -> Refusal | None:
    if task.budget_usd is None or record.spent_usd < task.budget_usd:
        return None
    reason = Reason(
        code="budget_exceeded",
        message=f"{record.spent_usd:.2f} USD of its budget of {task.budget_usd:.2f} USD are spent",
        hint="raise `budget_usd`, then: autopilotctl task retry " + task.id,
    )
    return Refusal(gate="budget", reason=reason, block=True)


def _not_approved(task: Task, around: Circumstances) -> Refusal | None:
    if task.origin is None:
        return None
    if task.command is not None or task.verify:
        wish, what = "run commands on this machine", "`command` and `verify`"
    elif os.path.commonpath([around.project, around.workdir]) != around.project:
        wish, what = f"work in {around.workdir}, outside of this project", "`repo`"
    else:
        return None
    reason = Reason(
        code="origin_not_approved",
        message=f"it came from {task.origin} and wants to {wish}",
        hint=f"read its {what}; to approve, remove the `origin` line from the file",
    )
    return Refusal(gate="origin", reason=reason, block=True)


def _no_workspace(task: Task, around: Circumstances) -> Refusal | None:
    if task.workspace is Workspace.WORKTREE:
        reason = Reason(
            code="workspace_unavailable",
            message="this version has no git worktrees yet",
            hint="set `workspace: repo` or `workspace: none`",
        )
        return Refusal(gate="workspace", reason=reason, block=True)
    closed = _closed(around.workdir)
    if closed is None:
        return None
    return Refusal(gate="workspace", reason=closed, until=around.now.timestamp() + _LOOK_AGAIN_S)


def _closed(folder: str) -> Reason | None:
    """Why nothing can work in a folder; None where something can."""
    try:
        # Its own name in it can be looked up only by those who may enter it.
        os.stat(os.path.join(folder, "."))
    except (FileNotFoundError, NotADirectoryError):
        return Reason(
            code="repo_missing",
            message=f"its folder {folder} does not exist",
            hint="mend `repo`, or make the folder",
        )
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else str(fault)
        return Reason(
            code="repo_closed",
            message=f"its folder {folder} cannot be entered: {why}",
            hint="mend `repo`, or the owner and mode of that folder and of those above it",
        )
    return None


def _protected(task: Task, around: Circumstances) -> Refusal | None:
    pattern = around.protects(task) if task.touches else None
    if pattern is None:
        return None
    reason = Reason(
        code="protected_path",
        message=f"it declares that it touches a protected path: {pattern}",
        hint="narrow `touches`, or set tasks.allow_protected_touches in the config",
    )
    return Refusal(gate="protected paths", reason=reason, block=True)


def _overlaps(task: Task, around: Circumstances) -> Refusal | None:
    if not task.touches:
        return None
    for other in around.running:
        if other.task_id == task.id or other.workdir != around.workdir:
            continue
        pair = overlapping(task.touches, other.touches)
        if pair:
            reason = Reason(
                code="overlap",
                message=f"{other.task_id} is running and touches {pair[1]}, which overlaps {pair[0]}",
                hint=f"nothing to do; it runs when {other.task_id} has ended",
            )
            return Refusal(gate="overlaps", reason=reason, keys=(ENDED, ("task", other.task_id)))
    return None
