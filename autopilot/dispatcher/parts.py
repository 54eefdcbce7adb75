"""The parts of one root's control plane, each made when it is first used."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, cast

from autopilot.config.root import Root, make_root
from autopilot.errors import PluginError, SetupError
from autopilot.models import Event, EventDraft
from autopilot.system.clock import Clock, SystemClock

if TYPE_CHECKING:
    from autopilot.config.settings import Settings
    from autopilot.dispatcher.memory import Memory
    from autopilot.dispatcher.sinks import SinkFeed
    from autopilot.events.log import EventLog
    from autopilot.plugins.manager import LoadedExecutor, PluginManager
    from autopilot.runner.launcher import Launcher
    from autopilot.store.contract import Store

__all__ = ["Parts"]


class Parts:
    """One root and all of its parts.

    Args:
        root: where everything lies; it need not exist for reading.
        environ: what executors' programs are looked up in and get their variables from.
    """

    def __init__(
        self, root: Root, *, clock: Clock | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self.root = root
        self.clock: Clock = clock or SystemClock()
        self.environ = os.environ if environ is None else environ

    @classmethod
    def open(cls, root: Root, *, clock: Clock | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """The control plane of ``root``; nothing is read or made yet."""
        return cls(root, clock=clock, environ=environ)

    # ---------------------------------------------------------------- parts

    @cached_property
    def settings(self) -> Settings:
        """The config.

        Raises:
            ConfigError: a setting is wrong.
        """
        from autopilot.config.load import load_settings

        return load_settings(self.root.config_path, environ=self.environ)

    @cached_property
    def network(self) -> str | None:
        """The kind of network file system that the root lies on, None for a local one."""
        from autopilot.system.filesystems import network_filesystem

        return network_filesystem(self.root.folder)

    @cached_property
    def _afar(self) -> bool:
        """Whether other hosts may work on this root, unseen."""
        return self.settings.allow_network_fs and self.network is not None

    @cached_property
    def log(self) -> EventLog:
        """The event log."""
        from autopilot.events.log import EventLog
        from autopilot.system import locks

        return EventLog(
            self.root.events,
            durability=self.settings.durability,
            clock=self.clock,
            segment_bytes=int(self.settings.events.segment_mib * 1024 * 1024),
            redact=self._redact,
            lock_timeout=locks.PATIENCE_S,
        )

    @cached_property
    def _redact(self) -> Any:
        from autopilot.system.environment import secrets_in
        from autopilot.system.redact import Redactor

        return Redactor({**secrets_in(self.environ), **self.settings.secrets()}).text

    @cached_property
    def store(self) -> Store:
        """The store of the config's URL.

        Raises:
            PluginError: nobody knows the URL's scheme.
        """
        url = self.settings.store
        if url.startswith("file:"):
            from autopilot.store.filestore import FileStore

            return FileStore(
                self.root.folder,
                publish=self._publish,
                clock=self.clock,
                durability=self.settings.durability,
                watch=not self._afar,
            )
        config = {"root": self.root.folder, "durability": self.settings.durability, "publish": self._publish}
        answer = self.plugins.first("autopilot_store", url=url, config=config)
        if answer is None:
            raise PluginError(
                f"no plugin knows the store {url}",
                hint="install the package for it, or set `store: file:` in the config",
            )
        return cast("Store", answer.value)

    @cached_property
    def plugins(self) -> PluginManager:
        """The plugins; their faults become events."""
        from autopilot.plugins.manager import PluginManager
        from autopilot.store import plugin as stores

        return PluginManager(
            self.settings.plugins,
            builtins=(("core-stores", stores),),
            on_fault=self._plugin_fault,
            call_deadline_s=self.settings.dispatcher.gate_deadline_s,
        )

    @cached_property
    def executors(self) -> Mapping[str, LoadedExecutor]:
        """Every executor that could be loaded and is not switched off, by name."""
        return self.plugins.executors(self.settings.executors)

    @cached_property
    def memory(self) -> Memory:
        """What routing has learnt, folded from the event log."""
        from autopilot.dispatcher.memory import Memory

        return Memory(self.root.events, os.path.join(self.root.state, "cache", "history.json"))

    @cached_property
    def sinks(self) -> SinkFeed | None:
        """The feed of plugins that receive events; None where there is none."""
        from autopilot.dispatcher.sinks import SinkFeed

        if not self.plugins.refs("autopilot_event"):
            return None
        return SinkFeed(
            self.root.events,
            self.root.state,
            lambda event: _ignore(self.plugins.call("autopilot_event", event=event)),
        )

    @cached_property
    def launcher(self) -> Launcher:
        """The warm process that forks runners; started on the first attempt."""
        from autopilot.runner.launcher import Launcher

        return Launcher(self.root.folder, environ=self.environ)

    # ---------------------------------------------------------------- events

    def _publish(self, events: Sequence[Event]) -> None:
        self.log.append(events)

    def append(self, drafts: Sequence[Event | EventDraft], *, trace_id: str | None = None) -> None:
        """Log facts that belong to no commit.

        Raises:
            StorageError: the disk refuses.
        """
        self.log.append(drafts, trace_id=trace_id)

    def _plugin_fault(self, name: str, hook: str, reason: str) -> None:
        draft = EventDraft(
            event_type="plugin.quarantined", payload={"plugin": name, "hook": hook, "reason": reason}
        )
        with contextlib.suppress(Exception):
            self.append([draft])

    # ---------------------------------------------------------------- roots and holds

    def ensure_root(self) -> bool:
        """Make the root's folders where they are missing; whether the root is new.

        Raises:
            StorageError: the disk refuses.
            SetupError: it is a network file system, and nobody allowed that.
        """
        self.refuse_network()
        return make_root(self.root, sync=self.settings.durability != "process")

    def refuse_network(self) -> None:
        """Before each change: is it a local disk, or allowed to be another?

        Raises:
            SetupError: it is a network file system, and nobody allowed that.
        """
        if self.network and not self.settings.allow_network_fs:
            raise SetupError(
                f"{self.root.folder} lies on a network file system ({self.network}), whose locks may not hold "
                "between hosts: two could start one task at once",
                hint="put the root on a local disk, or set `allow_network_fs: true` in its config.yaml",
            )

    def close(self) -> None:
        """Give back what was opened; runners go on."""
        for name in ("store", "launcher", "plugins", "memory", "log"):
            if name in self.__dict__:
                self.__dict__[name].close()


def _ignore(_: object) -> None:
    """Sinks answer nothing; their faults are the plugin manager's business."""
