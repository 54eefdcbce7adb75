"""What was touched in a root since the last look: inotify where there is one, time stamps of folders elsewhere."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from autopilot.store.layout import Layout, is_task_name
from autopilot.system.watch import WATCH_NAMES, WATCH_WRITES, Notice, Watcher, open_watcher

__all__ = ["Eyes", "Touched"]

_POLL_S = 0.1


class Touched(NamedTuple):
    """Ids to look at again; None where nothing is known, so that everything must be looked at."""

    tasks: set[str] | None
    leases: set[str] | None


class Eyes:
    """Watches the tasks, the leases and the bell of one root.

    Args:
        watch: False leaves inotify alone (for file systems whose changes it does not see).
    """

    def __init__(self, layout: Layout, *, watch: bool = True) -> None:
        self._layout = layout
        self._masks = {layout.tasks: WATCH_WRITES, layout.leases: WATCH_NAMES, layout.state: WATCH_WRITES}
        self._watch = watch
        self._watcher: Watcher | None = None
        self._pid = 0
        self._names: dict[str, set[str] | None] = {layout.tasks: None, layout.leases: None}
        self._stamps: dict[str, tuple[int, int]] = {}
        self._fresh = False

    # ---------------------------------------------------------------- looking

    def take(self) -> Touched:
        """What was touched since the last call, and forget it."""
        self._collect()
        self._fresh = False
        layout = self._layout
        touched = Touched(self._names[layout.tasks], self._names[layout.leases])
        watched = self._watched()
        for folder in self._names:
            self._names[folder] = set() if folder in watched else None
        return touched

    def again(self, task_id: str) -> None:
        """Have a task looked at on the next call, too."""
        names = self._names[self._layout.tasks]
        if names is not None:
            names.add(task_id)

    def forget(self) -> None:
        """Have everything looked at on the next call."""
        self._names = dict.fromkeys(self._names)

    def wait(self, timeout: float) -> bool:
        """Block until something was touched that was not told yet, at most ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            self._collect()
            if self._fresh:
                self._fresh = False
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._sleep(left)

    def close(self) -> None:
        """Give the watcher back."""
        if self._watcher is not None:
            self._watcher.close()
        self._watcher = None
        self._pid = 0

    def _sleep(self, left: float) -> None:
        blind = len(self._watched()) < len(self._masks)
        pause = min(left, _POLL_S) if blind else left
        if self._watcher is None:
            time.sleep(pause)
        else:
            self._watcher.wait(pause)

    # ---------------------------------------------------------------- collecting

    def _watched(self) -> frozenset[str]:
        return self._watcher.watched() if self._watcher is not None else frozenset()

    def _collect(self) -> None:
        self._open()
        if self._watcher is not None:
            for notice in self._watcher.read():
                self._take_in(notice)
            self._add_missing(self._watcher)
        self._poll_stamps()

    def _open(self) -> None:
        # A forked child shares the queue with its parent and would steal notices from it.
        if self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._watcher = open_watcher() if self._watch else None
        self.forget()

    def _add_missing(self, watcher: Watcher) -> None:
        # What happened there before the watch begins is not known; nor are the names, as long as there is none.
        for folder in self._masks.keys() - watcher.watched():
            watcher.add(folder, self._masks[folder])

    def _take_in(self, notice: Notice) -> None:
        layout = self._layout
        if notice.lost:
            self._fresh = True
            self.forget()
        elif notice.folder == layout.tasks:
            if is_task_name(notice.name):
                self._touch(layout.tasks, notice.name[:-3])
        elif notice.folder == layout.leases:
            if notice.name.endswith((".json", ".cancel")) and not notice.name.startswith("."):
                self._touch(layout.leases, notice.name.rpartition(".")[0])
        elif notice.name == "bell":
            self._fresh = True

    def _touch(self, folder: str, task_id: str) -> None:
        self._fresh = True
        names = self._names[folder]
        if names is not None:
            names.add(task_id)

    def _poll_stamps(self) -> None:
        watched = self._watched()
        for folder in self._masks:
            if folder in watched and folder not in self._stamps:
                continue
            place = self._layout.bell if folder == self._layout.state else folder
            stamp = _stamp(place)
            if self._stamps.pop(folder, stamp) != stamp:
                self._fresh = True
            # Of a watched one the stamp told what happened before the watch began, for the last time.
            if folder not in watched:
                self._stamps[folder] = stamp


def _stamp(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_size
