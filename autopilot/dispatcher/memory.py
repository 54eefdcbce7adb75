"""What routing has learnt, kept up to date from the event log, with a checkpoint to save the time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from autopilot.errors import StorageError
from autopilot.routing.history import History
from autopilot.system.durable import ensure_folder

if TYPE_CHECKING:
    from autopilot.events.reader import Reader

__all__ = ["Memory"]

_SAVE_AFTER = 500


class Memory:
    """The history of one root.

    Args:
        events_folder: where the log is.
        path: the checkpoint file; a cache.
    """

    def __init__(self, events_folder: str, path: str) -> None:
        self._folder = events_folder
        self._path = path
        self._reader: Reader | None = None
        self._unsaved = 0
        self.history = History()

    def refresh(self) -> int:
        """Fold what the log has that was not seen yet; how many lines there were."""
        if self._reader is None:
            from autopilot.events.reader import Reader

            self.history.load(self._path)
            self._reader = Reader(self._folder, self.history.cursor)
        before = self._unsaved
        self.history.fold_lines(self._counted(self._reader))
        if self._unsaved != before:
            self.history.cursor = self._reader.cursor
        return self._unsaved - before

    def _counted(self, reader: Reader) -> Iterator[bytes]:
        for record in reader.records():
            self._unsaved += 1
            yield record.line

    def close(self) -> None:
        """Give back what reading the log has opened."""
        if self._reader is not None:
            self._reader.close()

    def save(self, *, at_least: int = _SAVE_AFTER) -> None:
        """Write the checkpoint when at least so many lines were folded since the last one."""
        if self._unsaved < at_least:
            return
        with contextlib.suppress(StorageError):
            ensure_folder(os.path.dirname(self._path))
            self.history.save(self._path)
            self._unsaved = 0
