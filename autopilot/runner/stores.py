"""Open the store that an attempt's lease lives in, and the log beside it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from autopilot.errors import AutopilotError, SetupError
from autopilot.models import AttemptSpec, Event, EventDraft
from autopilot.plugins.direct import call_hook, implementation_of, load_plugin
from autopilot.store.contract import Store
from autopilot.system.clock import Clock
from autopilot.system.redact import Redactor

__all__ = ["Publisher", "open_store"]

_LOG_PATIENCE_S = 1.0
"""A runner that waits gives no sign of life; what could not be told now is told with the next beat."""


def open_store(spec: AttemptSpec, redactor: Redactor, clock: Clock) -> Store:
    """The store of ``spec.store_url``: the file store, or what the plugin supplies that the dispatcher named.

    Raises:
        SetupError: nobody knows this URL; whatever the plugin raises.
    """
    publish = Publisher(spec, redactor, clock)
    if spec.store_url.partition(":")[0] in ("", "file"):
        from autopilot.store.filestore import FileStore

        return FileStore(spec.root, publish=publish, durability=spec.durability, clock=clock)
    config = {"root": spec.root, "durability": spec.durability, "publish": publish}
    store = _from_plugin(spec, config)
    if not isinstance(store, Store):
        raise SetupError(
            f"no plugin opens the store {spec.store_url}", hint="install the package that supplies this store"
        )
    return store


def _from_plugin(spec: AttemptSpec, config: dict[str, Any]) -> Any:
    if spec.store_plugin is None:
        return None
    implementation = implementation_of(load_plugin(spec.store_plugin), "autopilot_store")
    return implementation and call_hook(implementation, url=spec.store_url, config=config)


class Publisher:
    """Puts events into the log; the log is opened for each call: they are few."""

    def __init__(self, spec: AttemptSpec, redactor: Redactor, clock: Clock) -> None:
        self._spec = spec
        self._redactor = redactor
        self._clock = clock

    def __call__(self, events: Sequence[Event]) -> None:
        """What a store is given.

        Raises:
            StorageError: the disk refuses.
            BusyError: somebody holds the log's lock for too long.
        """
        self._append(events)

    def tell(self, draft: EventDraft) -> None:
        """Log a fact about the task that belongs to no commit; a log that refuses is no fault here."""
        with contextlib.suppress(AutopilotError, OSError):
            self._append([draft])

    def _append(self, events: Sequence[Event | EventDraft]) -> None:
        from autopilot.events.log import EventLog

        log = EventLog(
            os.path.join(self._spec.root, "events"),
            durability=self._spec.durability,
            clock=self._clock,
            redact=self._redactor.text,
            lock_timeout=_LOG_PATIENCE_S,
        )
        try:
            log.append(events, trace_id=self._spec.task_id)
        finally:
            log.close()
