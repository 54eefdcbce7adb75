"""Every setting, with its default and its range. ``docs/reference/configuration.md`` is checked against these
classes, and ``load`` converts by them: a new setting is one more line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from autopilot.config.ranges import (
    above,
    at_least,
    executor_names,
    finite,
    one_of,
    variable_names,
    variable_values,
)

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


def _rest() -> Any:
    """The field that takes the keys which the class does not know."""
    return attrs.field(factory=dict, metadata={"rest": True})


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

    max_active: int = attrs.field(default=4, validator=at_least(1))
    poll_s: float = attrs.field(default=5.0, validator=above(0))
    aging_hours: float = attrs.field(default=24.0, validator=above(0))
    backoff_s: float = attrs.field(default=5.0, validator=at_least(0))
    backoff_max_s: float = attrs.field(default=900.0, validator=at_least(0))
    gate_deadline_s: float = attrs.field(default=2.0, validator=above(0))

    def __attrs_post_init__(self) -> None:
        if self.backoff_max_s < self.backoff_s:
            raise ValueError(f"backoff_max_s ({self.backoff_max_s:g}) is less than backoff_s ({self.backoff_s:g})")


@attrs.frozen(kw_only=True)
class LimitSettings:
    """``limits:`` of one attempt; a task's ``timeout_minutes`` overrides ``timeout_minutes``.

    Attributes:
        timeout_minutes: how long an attempt may take.
        idle_minutes: how long its executor may show no sign of life; 0 switches this off.
        grace_s: seconds between TERM and KILL.
        verify_minutes: how long each ``verify:`` command may take.
        linger_s: seconds between a program's final result and its exit.
        output_mib: size of each kept output file, beyond which only head and tail are kept.
        lease_ttl_s: how long a runner on another host may be silent before its task is taken back.
        beat_s: seconds between two signs of life of a runner.
    """

    timeout_minutes: float = attrs.field(default=60.0, validator=above(0))
    idle_minutes: float = attrs.field(default=0.0, validator=at_least(0))
    grace_s: float = attrs.field(default=10.0, validator=at_least(0))
    verify_minutes: float = attrs.field(default=10.0, validator=above(0))
    linger_s: float = attrs.field(default=30.0, validator=at_least(0))
    output_mib: float = attrs.field(default=8.0, validator=above(0))
    lease_ttl_s: float = attrs.field(default=30.0, validator=above(0))
    beat_s: float = attrs.field(default=10.0, validator=above(0))

    def __attrs_post_init__(self) -> None:
        if self.lease_ttl_s < 2 * self.beat_s:
            raise ValueError(
                f"lease_ttl_s ({self.lease_ttl_s:g}) must be at least twice beat_s ({self.beat_s:g}), "
                "or one late beat loses the task"
            )


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

    solved_task_usd: float = attrs.field(default=0.0, validator=at_least(0))
    hour_usd: float = attrs.field(default=0.0, validator=at_least(0))
    weights: Mapping[str, float] = attrs.field(factory=dict, validator=finite)
    on_unavailable: str = attrs.field(default="wait", validator=one_of("wait", "fail", "fallback"))
    order: tuple[str, ...] = attrs.field(default=(), validator=executor_names)


@attrs.frozen(kw_only=True)
class EventSettings:
    """``events:`` the log.

    Attributes:
        segment_mib: size at which a new segment of the log begins.
        retention_days: how long whole segments are kept; 0 keeps every segment.
    """

    segment_mib: float = attrs.field(default=64.0, validator=above(0))
    retention_days: float = attrs.field(default=0.0, validator=at_least(0))


@attrs.frozen(kw_only=True)
class PluginSettings:
    """``plugins:`` which plugins may load; names of entry points, blocked before they are imported.

    Attributes:
        disabled: these never load.
        only: when not empty, nothing else loads (the core's own plugins do).
        options: plugin name -> its own section, handed to it as it is.
    """

    disabled: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    options: Mapping[str, Mapping[str, Any]] = _rest()


@attrs.frozen(kw_only=True)
class TaskSettings:
    """``tasks:`` defaults for task files and what they may touch.

    Attributes:
        max_attempts: how many attempts a task may use up that does not say so itself.
        protected: globs of paths that no attempt may change.
        allow_protected_touches: a task may change a protected path that it declares in ``touches:``.
    """

    max_attempts: int = attrs.field(default=3, validator=at_least(1))
    protected: tuple[str, ...] = (
        ".git/config",
        ".git/config.worktree",
        ".git/hooks/**",
        # What git reads there; it writes `refs` itself whenever it tidies up.
        ".git/info/attributes",
        ".git/info/exclude",
        ".git/info/grafts",
        ".git/info/sparse-checkout",
        ".gitattributes",
        ".gitmodules",
        ".claude/",
        ".codex/",
        ".cursor/",
        ".kimi/",
        ".mcp.json",
        ".vscode/**",
        "AGENTS.md",
        "AGENTS.override.md",
        "CLAUDE.md",
        "CLAUDE.local.md",
        ".github/actions/**",
        ".github/workflows/**",
        ".gitlab-ci.yml",
        ".pre-commit-config.yaml",
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
    slots: int | None = attrs.field(default=None, validator=at_least(1))
    quota_pool: str | None = None
    tier: str | None = attrs.field(default=None, validator=one_of("high", "volume", ""))
    strong: tuple[str, ...] | None = None
    weak: tuple[str, ...] | None = None
    cost_usd: float | None = attrs.field(default=None, validator=at_least(0))
    env: tuple[str, ...] = attrs.field(default=(), validator=variable_names)
    set_env: Mapping[str, str] = attrs.field(factory=dict, validator=variable_values)
    options: Mapping[str, Any] = _rest()


@attrs.frozen(kw_only=True)
class Settings:
    """The whole config.

    Attributes:
        durability: ``full`` survives power cuts, ``process`` survives kill -9 only and skips fsync.
        store: the URL of the store.
        allow_network_fs: work on a network file system, whose locks may not hold between hosts.
    """

    durability: str = attrs.field(default="full", validator=one_of("full", "process"))
    store: str = "file:"
    allow_network_fs: bool = False
    dispatcher: DispatcherSettings = attrs.field(factory=DispatcherSettings)
    limits: LimitSettings = attrs.field(factory=LimitSettings)
    routing: RoutingSettings = attrs.field(factory=RoutingSettings)
    events: EventSettings = attrs.field(factory=EventSettings)
    plugins: PluginSettings = attrs.field(factory=PluginSettings)
    tasks: TaskSettings = attrs.field(factory=TaskSettings)
    executors: Mapping[str, ExecutorSettings] = attrs.field(factory=dict, validator=executor_names)

    def secrets(self) -> dict[str, str]:
        """Values of ``set_env`` that should not stand there, by name: hidden like those of the environment."""
        from autopilot.system.environment import secrets_in

        return {name: value for own in self.executors.values() for name, value in secrets_in(own.set_env).items()}
