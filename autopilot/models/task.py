"""A task: one unit of work, as its Markdown file tells it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

from autopilot.models.status import Priority, Status

__all__ = ["InvalidTask", "Reason", "Task", "TaskDraft", "Workspace"]


class Workspace(StrEnum):
    """Where an attempt works."""

    WORKTREE = "worktree"
    REPO = "repo"
    NONE = "none"


@attrs.frozen(kw_only=True)
class Reason:
    """Why a task is where it is, or does not run.

    Attributes:
        code: a stable word for programs, such as ``dependency_failed``.
        message: one sentence for people.
        hint: what to do about it; empty where there is nothing to do.
    """

    code: str
    message: str
    hint: str = ""


@attrs.frozen(kw_only=True)
class Task:
    """One unit of work.

    Attributes:
        id: checked by ``autopilot.taskfile.ids``; equals the file's name without ``.md``.
        executor: the executor that the user insists on, or None for the router's choice.
        command: for shell executors: a shell line (str) or an argv (tuple); None for prose tasks.
        timeout_minutes: the wall limit of one attempt, in minutes; None takes the config's.
        depends_on: ids of tasks that must be done first.
        verify: shell commands that must exit 0 before the task is done.
        requires: capabilities that an executor must have.
        touches: globs of paths that this task will change; overlapping tasks do not run together.
        max_attempts: how many attempts may be used up (rate limits and lost runners use none).
        on_unavailable: ``wait``, ``fail`` or ``fallback``; what to do when the named executor is unhealthy;
            None takes the config's.
        not_before: do not start earlier (a parked task, or the user's wish).
        attempt: the number of the last attempt that was claimed, 0 if none; it never shrinks.
        result: what Autopilot wrote after the last attempt (keys: executor, outcome, verified, cost_usd,
            branch, reason); None before.
        origin: who made the task when it was not a person at this machine; such tasks run no shell.
        extra: keys that Autopilot does not know, kept as they are.
        schema: the file format's number; files of a newer one are listed and never run.
        body: the Markdown below the frontmatter.
        path: the file, where the task came from one.
        digest: SHA-256 (hex) of the file's bytes, empty where there is no file.
    """

    id: str
    title: str
    status: Status = Status.PENDING
    priority: Priority = Priority.MEDIUM
    executor: str | None = None
    task_type: str = "general"
    command: str | tuple[str, ...] | None = None
    timeout_minutes: float | None = None
    tags: tuple[str, ...] = ()
    repo: str | None = None
    depends_on: tuple[str, ...] = ()
    acceptance_criteria: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()
    requires: frozenset[str] = frozenset()
    touches: tuple[str, ...] = ()
    model: str | None = None
    max_attempts: int = 3
    budget_usd: float | None = None
    workspace: Workspace | None = None
    review: str | None = None
    on_unavailable: str | None = None
    not_before: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    attempt: int = 0
    result: Mapping[str, Any] | None = None
    origin: str | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict)
    schema: int = 1
    body: str = ""
    path: str = ""
    digest: str = ""


@attrs.frozen(kw_only=True)
class TaskDraft:
    """A task to be: the whole text of a new task file, ready to be stored under ``id``."""

    id: str
    text: bytes


@attrs.frozen(kw_only=True)
class InvalidTask:
    """A file in the tasks folder that cannot be read as a task; it is listed, and never run.

    Attributes:
        id: the file's name without ``.md`` (may not be a valid id).
        line, column: counted from 1, 0 where unknown.
        digest: SHA-256 (hex) of the bytes that were read; empty where the file could not be read.
    """

    id: str
    path: str
    message: str
    hint: str = ""
    line: int = 0
    column: int = 0
    digest: str = ""
