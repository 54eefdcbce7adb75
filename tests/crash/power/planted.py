"""Bugs that power cuts must bring to light: each with the scenario that does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from autopilot.events import append
from autopilot.events.log import EventLog
from autopilot.models import Lease
from autopilot.store import leasefiles, markdown, results
from autopilot.store.codec import encode_lease
from autopilot.store.leasefiles import LeaseFiles
from autopilot.system import durable

__all__ = ["PLANTED"]

PLANTED: dict[str, tuple[str, Callable[[], Any]]] = {}


def planted(scenario: str) -> Callable[[Callable[[], Iterator[None]]], Callable[[], Any]]:
    """Register a bug and who must find it."""

    def register(plant: Callable[[], Iterator[None]]) -> Callable[[], Any]:
        PLANTED[plant.__name__] = scenario, contextlib.contextmanager(plant)
        return plant

    return register


@planted("take")
def rename_before_fsync() -> Iterator[None]:
    def replace(path: str, data: bytes, *, point: str, sync: bool, **_: Any) -> None:
        os.replace(durable.write_temporary(path, data, point, False, 0o600), path)
        fd = os.open(path, os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)
        durable.sync_folder(os.path.dirname(path))

    with mock.patch.object(leasefiles, "replace_file", replace):
        yield


@planted("take")
def rename_without_fsync_of_the_folder() -> Iterator[None]:
    def replace(path: str, data: bytes, **more: Any) -> None:
        durable.replace_file(path, data, **more, sync_name=False)

    with mock.patch.object(leasefiles, "replace_file", replace):
        yield


@planted("take")
def lease_overwritten_in_place() -> Iterator[None]:
    def write(self: LeaseFiles, lease: Lease, point: str) -> None:
        self._layout.prepare(self._layout.leases)
        _write_in_place(self._layout.lease(lease.task_id), encode_lease(lease))

    with mock.patch.object(LeaseFiles, "write", write):
        yield


@planted("create")
def task_written_in_place() -> Iterator[None]:
    with mock.patch.object(markdown, "create_file", lambda path, data, **_: _write_in_place(path, data)):
        yield


@planted("report")
def result_written_in_place() -> Iterator[None]:
    with mock.patch.object(results, "create_file", lambda path, data, **_: _write_in_place(path, data)):
        yield


def _write_in_place(path: str, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(fd, 0)
    os.lseek(fd, 0, os.SEEK_SET)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    durable.sync_folder(os.path.dirname(path))


@planted("take")
def claim_published_before_its_commit() -> Iterator[None]:
    with _committed_after_publishing("claim.lease"):
        yield


@planted("reclaim")
def end_published_before_its_commit() -> Iterator[None]:
    with _committed_after_publishing("finish.lease"):
        yield


@contextlib.contextmanager
def _committed_after_publishing(point: str) -> Iterator[None]:
    write, publish = LeaseFiles.write, EventLog.publish
    late: list[tuple[Any, ...]] = []

    def write_late(self: LeaseFiles, lease: Lease, at: str) -> None:
        late.append((self, lease, at)) if at == point else write(self, lease, at)

    def publish_first(self: EventLog, events: Any) -> None:
        publish(self, events)
        while late:
            write(*late.pop())

    with (
        mock.patch.object(LeaseFiles, "write", write_late),
        mock.patch.object(EventLog, "publish", publish_first),
    ):
        yield


@planted("finish")
def lease_removed_before_its_record_is_there() -> Iterator[None]:
    def retire(self: LeaseFiles, task_id: str, token: int) -> None:
        layout = self._layout
        data = durable.read_file(layout.lease(task_id))
        layout.prepare(layout.records)
        durable.remove_file(layout.lease(task_id), sync=True)
        durable.replace_file(layout.record(task_id), data, point="retire", sync=True)

    with mock.patch.object(LeaseFiles, "retire", retire):
        yield


@planted("claim_refused")
def refused_claim_left_there() -> Iterator[None]:
    with mock.patch.object(LeaseFiles, "undo_claim", lambda self, task_id: None):
        yield


@planted("save_twice_meanwhile")
def whatever_was_displaced_thrown_away() -> Iterator[None]:
    with mock.patch.object(markdown.MarkdownFiles, "_says_the_same", lambda self, task_id, data: True):
        yield


@planted("heal")
def fragment_overwritten_before_it_is_kept() -> Iterator[None]:
    keep, overwrite = append.keep_fragment, append.overwrite
    late: list[tuple[Any, ...]] = []

    def overwrite_first(*what: Any) -> None:
        overwrite(*what)
        path, fragment = late.pop()
        fd = os.open(path, os.O_WRONLY)
        os.fsync(fd)
        os.close(fd)
        keep(path, fragment, sync=True)

    with (
        mock.patch.object(append, "keep_fragment", lambda path, fragment, sync: late.append((path, fragment))),
        mock.patch.object(append, "overwrite", overwrite_first),
    ):
        yield


@planted("retain")
def segments_removed_before_the_log_says_so() -> Iterator[None]:
    remove, pruned = append.remove_segments, append.pruned
    reports: list[Any] = []

    def remove_first(segments: Any, policy: Any) -> Any:
        reports.append(remove(segments, sync=True))
        return pruned(segments, policy)

    with (
        mock.patch.object(append, "pruned", remove_first),
        mock.patch.object(append, "remove_segments", lambda segments, sync: reports.pop()),
    ):
        yield


@planted("append")
def head_believed_without_a_look() -> Iterator[None]:
    """The head is not fsynced, so that after a cut it may speak of lines that are not there."""
    with mock.patch.object(append.Writer, "_load", _load_by_head):
        yield


def _load_by_head(self: append.Writer) -> append.Tail:
    self._open()
    return self._head.read() or append.Tail()
