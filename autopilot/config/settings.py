"""Every setting, with its default. ``docs/reference/configuration.md`` is checked against these classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = [
    "DispatcherSettings",
    "EventSettings",
    "ExecutorSettings",
    "LimitSettings",
    "PluginSettings",
    "RoutingSettings",
    "Settings",
    "TaskSettings",
]


@attrs.frozen(kw_only=True)
class DispatcherSettings:
    """``dispatcher:`` how ticks run.

    Attributes:
        max_active: attempts that may run at once over all dispatchers of the root.
        poll_s: seconds between ticks of ``dispatch run`` when nothing changes.
        aging_hours: each priority level is worth this many hours of waiting, so that nothing starves.
        backoff_s, backoff_max_s: the pause before a retry, doubling from the first to the second.
        gate_deadline_s: how long a plugin's gate or scorer may take.
    """

    max_active: int = 4
    poll_s: float = 5.0
    aging_hours: float = 24.0
    backoff_s: float = 5.0
    backoff_max_s: float = 900.0
    gate_deadline_s: float = 2.0


@attrs.frozen(kw_only=True)
class LimitSettings:
    """``limits:`` of one attempt; a task's ``timeout_minutes`` overrides ``timeout_minutes``."""

    timeout_minutes: float = 60.0
    idle_minutes: float = 0.0
    grace_s: float = 10.0
    verify_minutes: float = 10.0
    linger_s: float = 30.0
    output_mib: float = 8.0
    lease_ttl_s: float = 30.0
    beat_s: float = 10.0


@attrs.frozen(kw_only=True)
class RoutingSettings:
    """``routing:`` the router's parameters; see ``docs/explanation/routing.md`` for what each does.

    Attributes:
        solved_task_usd: what a solved task is worth; 0 leaves cost out of the choice.
        hour_usd: what an hour of waiting is worth; 0 leaves time out of the choice.
        weights: plugin name -> weight of its scorer's terms, 1 by default.
        on_unavailable: ``wait``, ``fail`` or ``fallback``, for tasks that name an unhealthy executor.
        order: executor names, for ties.
    """

    solved_task_usd: float = 0.0
    hour_usd: float = 0.0
    weights: Mapping[str, float] = attrs.field(factory=dict)
    on_unavailable: str = "wait"
    order: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class EventSettings:
    """``events:`` the log. ``retention_days`` 0 keeps every segment."""

    segment_mib: float = 64.0
    retention_days: float = 0.0


@attrs.frozen(kw_only=True)
class PluginSettings:
    """``plugins:`` which plugins may load; names of entry points, blocked before they are imported.

    Attributes:
        only: when not empty, nothing else loads.
        options: plugin name -> its own section, handed to it as it is.
    """

    disabled: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class TaskSettings:
    """``tasks:`` defaults for task files and what they may touch."""

    max_attempts: int = 3
    protected: tuple[str, ...] = (
        ".git/config",
        ".git/hooks/**",
        ".git/info/**",
        ".claude/**",
        ".codex/**",
        ".cursor/**",
        ".mcp.json",
        ".vscode/**",
        "AGENTS.md",
        "CLAUDE.md",
        ".github/workflows/**",
        ".autopilot/config.yaml",
    )
    allow_protected_touches: bool = False


@attrs.frozen(kw_only=True)
class ExecutorSettings:
    """``executors.<name>:`` what the core reads there; every other key is the executor's own option.

    Attributes:
        enabled: false hides it from routing.
        slots: attempts at once, over all dispatchers.
        quota_pool, tier, strong, weak, cost_usd: override what the executor declares.
        env: names of environment variables to pass on (values are never written here) ...
        set_env: ... and plain, non-secret values to set.
        options: all the other keys.
    """

    enabled: bool = True
    slots: int | None = None
    quota_pool: str | None = None
    tier: str | None = None
    strong: tuple[str, ...] | None = None
    weak: tuple[str, ...] | None = None
    cost_usd: float | None = None
    env: tuple[str, ...] = ()
    set_env: Mapping[str, str] = attrs.field(factory=dict)
    options: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Settings:
    """The whole config.

    Attributes:
        durability: ``full`` survives power cuts, ``process`` survives kill -9 only and skips fsync.
        store: the URL of the store.
    """

    durability: str = "full"
    store: str = "file:"
    dispatcher: DispatcherSettings = attrs.field(factory=DispatcherSettings)
    limits: LimitSettings = attrs.field(factory=LimitSettings)
    routing: RoutingSettings = attrs.field(factory=RoutingSettings)
    events: EventSettings = attrs.field(factory=EventSettings)
    plugins: PluginSettings = attrs.field(factory=PluginSettings)
    tasks: TaskSettings = attrs.field(factory=TaskSettings)
    executors: Mapping[str, ExecutorSettings] = attrs.field(factory=dict)
