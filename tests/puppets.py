"""Executors of any name that never really run, and control planes that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from autopilot.config.root import Root
from autopilot.config.settings import Settings
from autopilot.dispatcher.control import Control
from autopilot.executors.contract import AttemptContext, Executor
from autopilot.models import AttemptSpec, ExecutorInfo, Health, Lease, Outcome, PluginRef
from autopilot.plugins.executors import LoadedExecutor
from autopilot.plugins.manager import PluginManager
from autopilot.system.clock import Clock

__all__ = ["Puppet", "Stage", "control_of", "puppet"]


class Puppet(Executor):
    """An executor of any name and capability; it never really runs."""

    def __init__(self, name: str, capabilities: frozenset[str], health: Callable[[], Health]) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]
        self.capabilities = capabilities  # type: ignore[misc]
        self._health = health

    def probe(self) -> Health:
        return self._health()

    def run(self, context: AttemptContext) -> Outcome:
        raise NotImplementedError


def puppet(
    name: str,
    *capabilities: str,
    health: Callable[[], Health] = lambda: Health(ok=True, reason="ready"),
    slots: int | None = None,
    pool: str = "",
    tier: str = "",
) -> LoadedExecutor:
    """A puppet as the plugin manager would have loaded it."""
    made = Puppet(name, frozenset(capabilities or ("code",)), health)
    return LoadedExecutor(
        executor=made,
        info=ExecutorInfo(name=name, capabilities=made.capabilities, quota_pool=pool, tier=tier),
        plugin=PluginRef(name=name, value="nowhere"),
        slots=slots,
    )


class Stage:
    """In place of a launcher: what it starts, a subclass says; its runners have ended when ``start`` returns."""

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        raise NotImplementedError

    def poll(self) -> list[Any]:
        return []

    def has(self, task_id: str, token: int) -> bool:
        return False

    def close(self) -> None:
        """Nothing to let go of."""


def control_of(
    root: Root,
    *,
    clock: Clock,
    settings: Settings,
    executors: Mapping[str, LoadedExecutor],
    launcher: Any,
    made: bool = True,
) -> Control:
    """A control plane as a new process would have it, with a real store, log and router.

    Args:
        made: make the root's folders, too.
    """
    control = Control(root, clock=clock, environ={})
    parts = control.__dict__
    parts["settings"] = settings
    parts["plugins"] = PluginManager(settings.plugins, found=[])
    parts["executors"] = executors
    parts["launcher"] = launcher
    if made:
        control.ensure_root()
    return control
