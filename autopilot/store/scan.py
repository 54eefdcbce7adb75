"""The incremental scan: what changed among the tasks, at the cost of what changed."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from autopilot.models import InvalidTask, Status, Task
from autopilot.store.contract import Changes, TaskSummary
from autopilot.store.eyes import Eyes, Touched
from autopilot.store.layout import Layout, is_task_name
from autopilot.store.leasefiles import LeaseFiles
from autopilot.store.markdown import MarkdownFiles, unreadable
from autopilot.store.sidecar import Sidecar
from autopilot.store.summaries import mark_of, settled, summarise
from autopilot.system.processes import start_time_of

__all__ = ["Scanner"]

_LEFTOVER_S = 3600.0
_WORTH_SAVING = 256
_UNTRUSTED = b""

Entry = TaskSummary | InvalidTask


class Scanner:
    """Keeps the summary of every task file of one root, and tells which of them changed.

    Args:
        eyes: knows what was touched; without inotify every call looks at all files' time stamps.
    """

    def __init__(self, layout: Layout, files: MarkdownFiles, leases: LeaseFiles, eyes: Eyes) -> None:
        self._layout = layout
        self._files = files
        self._leases = leases
        self._eyes = eyes
        self._sidecar = Sidecar(layout)
        self._seen: dict[str, tuple[bytes, Entry]] = {}
        self._leased: set[str] = set()
        self._leftovers: list[str] = []
        self._first = True
        self._unsaved = 0

    def changes(self) -> Changes:
        """What changed since the last call; everything on the first."""
        touched = self._eyes.take()
        leases = self._leases_to_look_at(touched)
        found = _Found()
        if touched.tasks is None:
            with _no_collections():
                self._scan(leases, found)
        else:
            for task_id in touched.tasks | leases:
                self._look(task_id, found, None)
        self._first = False
        return found.changes()

    def save(self) -> None:
        """Leave a copy of the summaries for the next start, if enough of them are new."""
        if self._unsaved < _WORTH_SAVING:
            return
        self._unsaved = 0
        self._sidecar.save(
            (task_id, mark, entry)
            for task_id, (mark, entry) in self._seen.items()
            if mark != _UNTRUSTED and task_id not in self._leased
        )

    def _leases_to_look_at(self, touched: Touched) -> set[str]:
        if touched.leases is not None:
            return touched.leases
        return {*self._leases.ids(), *self._leased}

    # ---------------------------------------------------------------- everything

    def _scan(self, leases: set[str], found: _Found) -> None:
        rows = self._sidecar.load() if self._first else {}
        now = time.time_ns()
        gone = set(self._seen)
        for name, status in self._entries():
            gone.discard(name)
            mark = mark_of(status)
            known = self._seen.get(name)
            if name in leases:
                self._look(name, found, None)
            elif known is not None and known[0] == mark:
                continue
            elif known is None and (row := rows.get(name)) is not None and row[1] == mark:
                self._adopt(name, row, found)
            else:
                self._look(name, found, now if settled(status, now) else None)
        for task_id in gone:
            self._forget(task_id, found)
        if self._first:
            self.save()

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        self._layout.refuse_links(self._layout.tasks)
        leftovers = []
        try:
            with os.scandir(self._layout.tasks) as entries:
                for entry in entries:
                    name = entry.name
                    if is_task_name(name):
                        try:
                            yield name[:-3], entry.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                    elif name.startswith(".") and name.endswith(".tmp"):
                        leftovers.append(name)
        except FileNotFoundError:
            return
        self._leftovers = leftovers

    def _adopt(self, task_id: str, row: tuple[Any, ...], found: _Found) -> None:
        mark, entry = self._sidecar.entry(row)
        self._seen[task_id] = (mark, entry)
        found.add(entry)

    # ---------------------------------------------------------------- one task

    def _look(self, task_id: str, found: _Found, settled_at: int | None) -> None:
        """Read one task. ``settled_at``: its time stamp is known to be old enough to be trusted."""
        lease = self._leases.read(task_id)
        try:
            text = self._files.read(task_id, watch=settled_at is None)
        except FileNotFoundError:
            self._forget(task_id, found)
            return
        except OSError as fault:
            broken = unreadable(task_id, self._layout.task(task_id), fault)
            self._put(task_id, _UNTRUSTED, broken, found)
            return
        if text.busy:
            # Half a save is not a change yet.
            self._eyes.again(task_id)
            return
        task = self._files.judge(task_id, text.data)
        self._leased.discard(task_id)
        if lease is not None:
            self._leased.add(task_id)
        record = self._leases.record(task_id) if lease is None and _may_be_parked(task) else None
        entry = summarise(task, text.status.st_mtime_ns, lease, record)
        trusted = settled_at is not None or settled(text.status, time.time_ns())
        self._put(task_id, mark_of(text.status) if trusted else _UNTRUSTED, entry, found)

    def _put(self, task_id: str, mark: bytes, entry: Entry, found: _Found) -> None:
        known = self._seen.get(task_id)
        if known is not None and known[1] == entry:
            entry = known[1]
        else:
            found.add(entry)
        self._unsaved += 1
        self._seen[task_id] = (mark, entry)

    def _forget(self, task_id: str, found: _Found) -> None:
        self._leased.discard(task_id)
        if self._seen.pop(task_id, None) is not None:
            found.removed.append(task_id)

    # ---------------------------------------------------------------- leftovers

    def clear_leftovers(self) -> None:
        """Deal with temporary files, seen by the last whole scan, that are old and whose writer is dead."""
        names, self._leftovers = self._leftovers, []
        for name in names:
            if _abandoned(self._layout.tasks, name):
                self._files.clear_leftover(name)


class _Found:
    """Collects a ``Changes``."""

    def __init__(self) -> None:
        self.tasks: list[TaskSummary] = []
        self.invalid: list[InvalidTask] = []
        self.removed: list[str] = []

    def add(self, entry: Entry) -> None:
        if isinstance(entry, TaskSummary):
            self.tasks.append(entry)
        else:
            self.invalid.append(entry)

    def changes(self) -> Changes:
        return Changes(tasks=tuple(self.tasks), invalid=tuple(self.invalid), removed=tuple(self.removed))


def _may_be_parked(task: Task | InvalidTask) -> bool:
    # Parking writes into the file, so a pending task that was never written to has no record to ask.
    return isinstance(task, Task) and task.status is Status.PENDING and task.updated_at is not None


def _abandoned(folder: str, name: str) -> bool:
    try:
        pid = int(name.rsplit(".", 3)[1])
        age = time.time() - os.lstat(f"{folder}/{name}").st_mtime
    except (ValueError, IndexError, OSError):
        return False
    return age > _LEFTOVER_S and start_time_of(pid) is None


@contextmanager
def _no_collections() -> Iterator[None]:
    # Hundreds of thousands of new objects, none of them garbage: the collector would look through them all.
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
