"""Where an attempt works, and all that its runner is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from autopilot.dispatcher.gates import Running
from autopilot.models import AttemptSpec, Lease, Limits, PluginRef, Task, TaskRecord, Workspace

if TYPE_CHECKING:
    from autopilot.config.root import Root
    from autopilot.config.settings import LimitSettings, Settings
    from autopilot.plugins.manager import LoadedExecutor

__all__ = ["build_spec", "limits_of", "protected_touch", "run_folder", "running_of", "workdir_of", "workspace_of"]


def workdir_of(root: Root, task: Task) -> str:
    """The folder a task works in: its ``repo`` (relative to the project's folder), else the project's folder."""
    base = str(root.project)
    if not task.repo:
        return base
    folder = os.path.join(base, os.path.expanduser(task.repo))
    try:
        return os.path.realpath(folder)
    except (OSError, ValueError):
        # A link that nobody may follow, or a name that no folder can have here: the workspace gate says so.
        return os.path.normpath(folder)


def running_of(root: Root, task: Task, executor: str) -> Running:
    """What others must know of a task that is held."""
    return Running(
        task_id=task.id,
        executor=executor,
        task_type=task.task_type,
        workdir=workdir_of(root, task),
        touches=task.touches,
    )


def workspace_of(task: Task, workdir: str, *, changes_code: bool) -> Workspace:
    """The kind of work place: the task's word, else ``repo`` for a code executor in a git repository."""
    if task.workspace is not None:
        return task.workspace
    in_git = os.path.exists(os.path.join(workdir, ".git"))
    return Workspace.REPO if changes_code and in_git else Workspace.NONE


def run_folder(root: Root, task_id: str, token: int) -> str:
    """``.autopilot/runs/<id>/<attempt>``."""
    return os.path.join(str(root.runs), task_id, str(token))


def limits_of(task: Task, settings: LimitSettings) -> Limits:
    """The limits of an attempt, in seconds and bytes."""
    minutes = task.timeout_minutes if task.timeout_minutes is not None else settings.timeout_minutes
    return Limits(
        deadline_s=minutes * 60,
        idle_s=settings.idle_minutes * 60,
        grace_s=settings.grace_s,
        verify_s=settings.verify_minutes * 60,
        linger_s=settings.linger_s,
        output_bytes=int(settings.output_mib * 1024 * 1024),
    )


def protected_touch(task: Task, settings: Settings) -> str | None:
    """The first of a task's ``touches`` that names a protected path and is not allowed to."""
    from autopilot.dispatcher.overlap import overlap

    if settings.tasks.allow_protected_touches:
        return None
    for glob in _declared(task):
        if any(overlap(glob, pattern) for pattern in settings.tasks.protected):
            return glob
    return None


def _declared(task: Task) -> tuple[str, ...]:
    """The ``touches`` that say where: who writes ``**`` has declared nothing."""
    return tuple(glob for glob in task.touches if glob.split("*", 1)[0])


def build_spec(
    root: Root,
    settings: Settings,
    task: Task,
    lease: Lease,
    chosen: LoadedExecutor,
    *,
    record: TaskRecord,
    refs: Callable[[str], tuple[PluginRef, ...]],
    text: str,
) -> AttemptSpec:
    """Everything a runner needs for the attempt of ``lease``.

    Args:
        refs: tells which plugins implement a hook.
        text: of the task file, as it was judged.
    """
    workdir = workdir_of(root, task)
    own = settings.executors.get(chosen.info.name)
    workspace = workspace_of(task, workdir, changes_code="code" in chosen.info.capabilities)
    watched = workspace is not Workspace.NONE
    return AttemptSpec(
        root=str(root.folder),
        store_url=settings.store,
        task_id=task.id,
        token=lease.token,
        task_text=text,
        executor=chosen.info.name,
        executor_plugin=chosen.plugin,
        workdir=workdir,
        run_dir=run_folder(root, task.id, lease.token),
        workspace=str(workspace),
        limits=limits_of(task, settings.limits),
        verify=task.verify,
        prompt_plugins=refs("autopilot_prompt"),
        verify_plugins=refs("autopilot_verify"),
        executor_options=dict(own.options) if own else {},
        config_path=str(root.config_path),
        environment=(*chosen.environment, *(own.env if own else ())),
        environment_values=dict(own.set_env) if own else {},
        earlier_failure=record.earlier_failure,
        session_id=record.sessions.get(chosen.info.name),
        protected=settings.tasks.protected if watched else (),
        allowed=_declared(task) if settings.tasks.allow_protected_touches else (),
        durability=settings.durability,
        lease_ttl_s=settings.limits.lease_ttl_s,
        beat_s=settings.limits.beat_s,
    )
