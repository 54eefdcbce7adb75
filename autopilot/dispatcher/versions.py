"""Tell of plugins whose version changed: what runs now is not what ran before."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from autopilot.models import EventDraft, PluginRef
from autopilot.plugins.discovery import find_plugins, install_key
from autopilot.system.durable import ensure_folder, read_file, replace_file

__all__ = ["VersionWatch"]

_Known = dict[str, tuple[str, str]]
"""Plugin -> distribution and version."""


class VersionWatch:
    """Compares the installed plugins with those that this root knew.

    The host of each attempt imports the plugin anew, so that an upgrade counts from the next attempt on, also
    under a dispatcher that was started before it. A look costs a handful of ``stat`` calls while nothing is
    installed.

    Args:
        path: ``state/cache/plugins.json``: what this root knew. Without it, one change is not told of.
        tell: logs events.
    """

    def __init__(self, path: str, tell: Callable[[list[EventDraft]], None]) -> None:
        self._path = path
        self._tell = tell
        self._key: list[Any] | None = None

    def look(self) -> None:
        """Log ``plugin.changed`` for each plugin of another version or distribution than before.

        Raises:
            StorageError: the disk refuses; the next look tells it.
        """
        key = install_key(sys.path)
        if key == self._key:
            return
        known = self._read()
        now = {**known, **_versions(find_plugins())}
        changed = [name for name in sorted(known) if now[name] != known[name]]
        if changed:
            self._tell([_event(name, known[name], now[name]) for name in changed])
        if now != known:
            ensure_folder(os.path.dirname(self._path))
            replace_file(self._path, json.dumps(now).encode(), point="plugins.known", sync=False)
        self._key = key

    def _read(self) -> _Known:
        try:
            known = json.loads(read_file(self._path))
            return {
                str(name): (str(distribution), str(version)) for name, (distribution, version) in known.items()
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}


def _versions(refs: Iterable[PluginRef]) -> _Known:
    """Of the plugins whose names are their own: of a name that two have, neither is used."""
    found: dict[str, list[PluginRef]] = {}
    for ref in refs:
        found.setdefault(ref.name, []).append(ref)
    return {name: (one.distribution, one.version) for name, (one, *others) in found.items() if not others}


def _event(name: str, was: tuple[str, str], now: tuple[str, str]) -> EventDraft:
    distribution, version = now
    before = was[1] if was[0] == distribution else " ".join(was)
    payload = {"plugin": name, "distribution": distribution, "was": before, "version": version}
    return EventDraft(event_type="plugin.changed", payload=payload)
