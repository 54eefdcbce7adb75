"""One try at a task: what the runner is told, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import attrs

from autopilot.models.outcome import Outcome

__all__ = ["AttemptResult", "AttemptSpec", "Limits", "PluginRef", "Verdict"]


@attrs.frozen(kw_only=True)
class PluginRef:
    """Where a plugin is to be imported from: enough for a child process to load just this one.

    Attributes:
        name: the entry point's name.
        value: the entry point's value, ``module`` or ``module:attribute``.
        distribution, version: the installed package, empty for built-in plugins.
        options: its own section of the config, which is no part of what it is.
    """

    name: str
    value: str
    distribution: str = ""
    version: str = ""
    options: Mapping[str, Any] = attrs.field(factory=dict, eq=False)


@attrs.frozen(kw_only=True)
class Limits:
    """What an attempt may use. Seconds and bytes.

    Attributes:
        deadline_s: wall limit of the executor.
        idle_s: how long it may print nothing; 0 switches this off.
        grace_s: between TERM and KILL.
        verify_s: limit of each verify command.
        linger_s: between the final result and the exit of the program.
        output_bytes: of each kept output file, beyond which only head and tail are kept.
    """

    deadline_s: float = 3600.0
    idle_s: float = 0.0
    grace_s: float = 10.0
    verify_s: float = 600.0
    linger_s: float = 30.0
    output_bytes: int = 8 * 1024 * 1024


@attrs.frozen(kw_only=True)
class Verdict:
    """What one verification found."""

    name: str
    ok: bool
    detail: str = ""
    exit_code: int | None = None
    duration_s: float = 0.0


@attrs.frozen(kw_only=True)
class AttemptSpec:
    """All that a runner needs to do one attempt; it crosses processes as JSON and holds no secret values.

    Attributes:
        task_text: of the task file, as it was judged; the attempt works from this and not from later edits.
        workdir: the folder that the executor works in.
        run_dir: ``.autopilot/runs/<id>/<attempt>``, private, made by the runner.
        workspace: the kind of work place that ``workdir`` is: none, repo or worktree.
        executor_plugin: supplies the executor.
        verify: commands that must exit 0, run by a shell: the user wrote them.
        prompt_plugins, verify_plugins: those that implement ``autopilot_prompt`` / ``autopilot_verify``.
        executor_options: the executor's section of the config.
        config_path: the config file, for plugins that read their own section; may not exist.
        environment: names of variables that the executor may see beyond the built-in allow-list.
        earlier_failure: what the last judged attempt said, for the prompt; empty on the first.
        session_id: the program's session of an earlier attempt on this executor, None to start afresh.
        protected: globs that the executor must not change.
        allowed: globs that it may change even so.
        store_plugin: opens ``store_url``; None for the built-in file store.
    """

    root: str
    store_url: str
    task_id: str
    token: int
    task_text: str
    executor: str
    executor_plugin: PluginRef
    workdir: str
    run_dir: str
    workspace: str = "none"
    limits: Limits = attrs.field(factory=Limits)
    verify: tuple[str, ...] = ()
    prompt_plugins: tuple[PluginRef, ...] = ()
    verify_plugins: tuple[PluginRef, ...] = ()
    executor_options: Mapping[str, Any] = attrs.field(factory=dict)
    config_path: str = ""
    environment: tuple[str, ...] = ()
    environment_values: Mapping[str, str] = attrs.field(factory=dict)
    earlier_failure: str = ""
    session_id: str | None = None
    protected: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    durability: str = "full"
    lease_ttl_s: float = 30.0
    beat_s: float = 10.0
    store_plugin: PluginRef | None = None


@attrs.frozen(kw_only=True)
class AttemptResult:
    """What the runner reports; the next tick of any dispatcher adopts it.

    Attributes:
        verified: True: every verification passed; False: none was configured; None: not reached or failed.
        verdicts: one per verification that ran.
        changed: paths that the attempt changed, where the workspace was watched (capped).
        violations: protected paths that were changed.
        killed: how many processes had to be killed after the executor's end.
    """

    task_id: str
    token: int
    executor: str
    outcome: Outcome
    started_at: datetime
    ended_at: datetime
    duration_s: float
    verified: bool | None = None
    verdicts: tuple[Verdict, ...] = ()
    changed: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    killed: int = 0
