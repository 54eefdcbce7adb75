"""The incremental scan: what changed among the tasks, at the cost of what changed."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from autopilot.errors import TaskFormatError
from autopilot.models import InvalidTask, Lease
from autopilot.store.contract import Changes, TaskSummary
from autopilot.store.eyes import Eyes, Touched
from autopilot.store.layout import Layout, fits, is_task_name
from autopilot.store.leasefiles import LeaseFiles
from autopilot.store.markdown import STAGED, MarkdownFiles, Text, being_saved, invalid, unreadable
from autopilot.store.sidecar import Entry, Sidecar
from autopilot.store.summaries import mark_of, settled, summarise
from autopilot.system.durable import storage_error, temporary_of
from autopilot.system.processes import start_time_of

__all__ = ["Scanner"]

_LEFTOVER_S = 3600.0
_WORTH_SAVING = 256
_UNTRUSTED = -1


class Scanner:
    """Keeps the summary of every task file of one root, and tells which of them changed.

    Args:
        eyes: knows what was touched; without inotify every call looks at all files' time stamps.
        faults: called with a sentence for each file that cannot be looked at yet.
    """

    def __init__(
        self,
        layout: Layout,
        files: MarkdownFiles,
        leases: LeaseFiles,
        eyes: Eyes,
        *,
        faults: Callable[[str], None],
    ) -> None:
        self._faults = faults
        self._layout = layout
        self._files = files
        self._leases = leases
        self._eyes = eyes
        self._sidecar = Sidecar(layout)
        self._seen: dict[str, Entry] = {}
        self._marks: dict[str, int] = {}
        self._leased: set[str] = set()
        self._leftovers: list[str] = []
        self._first = True
        self._unsaved = 0
        self._found: dict[str, Entry | None] = {}

    def changes(self) -> Changes:
        """What changed since the last call; everything on the first."""
        touched = self._eyes.take()
        try:
            self._look_at(touched)
        except BaseException:
            # What was found stays found; what was not looked at is among everything.
            self._eyes.forget()
            raise
        self._first = False
        found, self._found = self._found, {}
        return _changes(found)

    def _look_at(self, touched: Touched) -> None:
        leases = self._leases_to_look_at(touched)
        if touched.tasks is None:
            with _no_collections():
                self._scan(leases)
        else:
            for task_id in touched.tasks | leases:
                self._look(task_id, leased=True)

    def save(self) -> None:
        """Leave a copy of the summaries for the next start, if enough of them are new."""
        if self._unsaved < _WORTH_SAVING:
            return
        self._unsaved = 0
        self._sidecar.save(
            (self._marks[task_id], entry)
            for task_id, entry in self._seen.items()
            if self._marks[task_id] != _UNTRUSTED and task_id not in self._leased
        )

    def _leases_to_look_at(self, touched: Touched) -> set[str]:
        if touched.leases is not None:
            return touched.leases
        return {*self._leases.ids(), *self._leased}

    # ---------------------------------------------------------------- everything

    def _scan(self, leases: set[str]) -> None:
        if self._first:
            self._sidecar.open()
        seen, marks, remembered = self._seen, self._marks, self._sidecar.find
        now = time.time_ns()
        gone = set(seen)
        self._leftovers = []
        found, forget = self._found, gone.discard
        # Written for speed: at a start this loop runs for every file there is.
        for name, entry in self._names():
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            mark = hash((status.st_ctime_ns, status.st_size, status.st_ino))
            forget(name)
            if name in leases:
                self._look(name, leased=True)
            elif name in seen:
                if marks[name] != mark:
                    self._look(name, leased=False, old=settled(status, now))
            elif (value := remembered(name, mark)) is not None:
                seen[value.id] = value
                marks[value.id] = mark
                found[name] = value
            else:
                self._look(name, leased=False, old=settled(status, now))
        for task_id in gone:
            self._forget(task_id)
        if self._first:
            self._sidecar.close()
            self.save()

    def _names(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        self._layout.refuse_links(self._layout.tasks)
        try:
            entries = os.scandir(self._layout.tasks)
        except FileNotFoundError:
            return
        except OSError as fault:
            raise storage_error(fault, self._layout.tasks, "read") from fault
        with entries:
            for entry in entries:
                name = entry.name
                if name[0] != "." and name.endswith(".md"):
                    yield name[:-3], entry
                elif name.endswith((".tmp", STAGED)):
                    self._leftovers.append(name)

    # ---------------------------------------------------------------- one task

    def _look(self, task_id: str, *, leased: bool, old: bool = False) -> None:
        """Read one task.

        Args:
            leased: it may have a lease.
            old: its time stamp is known to be old enough to be trusted.
        """
        if not fits(task_id):
            self._look_at_name(task_id)
            return
        lease = self._leases.read(task_id) if leased else None
        path = self._layout.task(task_id)
        try:
            text = self._files.read(task_id, watch=not old)
        except FileNotFoundError:
            self._forget(task_id)
            return
        except OSError as fault:
            self._put(task_id, _UNTRUSTED, unreadable(task_id, path, fault))
            return
        if text.busy:
            # Half a save is not a change yet.
            self._eyes.again(task_id)
            self._faults(being_saved(task_id).message)
            return
        trusted = old or settled(text.status, time.time_ns())
        mark = mark_of(text.status) if trusted else _UNTRUSTED
        self._put(task_id, mark, self._judge(task_id, path, text, lease))
        if lease is None:
            self._leased.discard(task_id)
        else:
            self._leased.add(task_id)

    def _look_at_name(self, task_id: str) -> None:
        misnamed = self._files.misnamed(task_id)
        if misnamed is None:
            self._forget(task_id)
        else:
            self._put(task_id, _UNTRUSTED, misnamed)

    def _judge(self, task_id: str, path: str, text: Text, lease: Lease | None) -> Entry:
        known = self._seen.get(task_id)
        born = saved = text.status.st_mtime_ns / 1e9
        if isinstance(known, TaskSummary):
            born = min(born, known.created)
        try:
            return summarise(
                task_id, text.data, path=path, born=born, saved=saved, lease=lease, record=self._leases.record
            )
        except TaskFormatError as fault:
            return invalid(task_id, path, fault, text.data)

    def _put(self, task_id: str, mark: int, entry: Entry) -> None:
        if self._seen.get(task_id) != entry:
            self._seen[task_id] = entry
            self._found[task_id] = entry
        self._marks[task_id] = mark
        self._unsaved += 1

    def _forget(self, task_id: str) -> None:
        self._leased.discard(task_id)
        self._marks.pop(task_id, None)
        if self._seen.pop(task_id, None) is not None:
            self._found[task_id] = None

    # ---------------------------------------------------------------- leftovers

    def clear_leftovers(self) -> None:
        """Deal with temporary files that are old and whose writer is dead: those of tasks that the last whole scan
        saw, and those of leases."""
        # Those that are not old yet, or whose writer lives, are looked at again: nothing else tells of them.
        self._leftovers = [name for name in self._leftovers if self._may_be_left(name)]
        for name in self._leftovers:
            if _abandoned(self._layout.tasks, name, is_task_name):
                self._files.clear_leftover(name)
        for name in self._leases.temporaries():
            if _abandoned(self._layout.leases, name, _is_of_a_lease):
                self._leases.sweep(name)

    def _may_be_left(self, name: str) -> bool:
        made = temporary_of(name)
        return made is not None and is_task_name(made.target) and os.path.lexists(f"{self._layout.tasks}/{name}")


def _changes(found: dict[str, Entry | None]) -> Changes:
    """What was found of each task: what it is now, None where it is gone."""
    return Changes(
        tasks=tuple(entry for entry in found.values() if isinstance(entry, TaskSummary)),
        invalid=tuple(entry for entry in found.values() if isinstance(entry, InvalidTask)),
        removed=tuple(task_id for task_id, entry in found.items() if entry is None),
    )


def _abandoned(folder: str, name: str, ours: Callable[[str], bool]) -> bool:
    """Whether a file is a temporary one, old, of a dead writer, and for a file that is ``ours``: people's have any
    other name, and are left alone."""
    made = temporary_of(name)
    if made is None or not ours(made.target):
        return False
    try:
        age = time.time() - os.lstat(f"{folder}/{name}").st_mtime
    except OSError:
        return False
    return age > _LEFTOVER_S and start_time_of(made.pid) is None


def _is_of_a_lease(name: str) -> bool:
    return name.endswith((".json", ".cancel"))


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
