"""The files behind leases: the lease itself, its beat, its cancel request, and the record it leaves."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import attrs

from autopilot.models import NO_BEAT, Lease, LeaseState, TaskRecord
from autopilot.store.codec import decode_lease, decode_record, encode_lease, encode_record
from autopilot.store.layout import Kept, Layout
from autopilot.system.durable import (
    MACHINES_FAULT,
    read_error,
    read_file,
    remove_file,
    replace_file,
    storage_error,
    sync_folder,
)
from autopilot.system.failpoints import failpoint, write_all

__all__ = ["Beat", "LeaseFiles"]

T = TypeVar("T")

_JSON = ".json"
_BEAT_BYTES = 96
_RACY_NS = 100_000_000
"""A file that was changed this shortly before it was read may be changed again with the same time stamp."""


class Beat(NamedTuple):
    """A sign of life, as it stands in the beat file.

    Attributes:
        boot: of which boot's clock ``at`` is.
        published: the last event of this token that is known to be in the log.
    """

    boot: str
    at: float
    published: int


def _boot_mark(lease: Lease) -> str:
    # Some systems' boot ids have spaces.
    return "_".join(lease.owner.boot.split())[:40]


class LeaseFiles:
    """Reads and writes the files of leases; knows nothing of what is allowed.

    Args:
        faults: called with a sentence for each file that cannot be read.
        kept: told of each that was moved aside.
    """

    def __init__(self, layout: Layout, *, sync: bool, faults: Callable[[str], None], kept: Kept) -> None:
        self._layout = layout
        self._sync = sync
        self._faults = faults
        self._kept = kept
        self._known: dict[str, tuple[tuple[int, ...], Lease]] = {}

    # ---------------------------------------------------------------- leases

    def read(self, task_id: str) -> Lease | None:
        """The lease as it was committed last; None where there is none, or one that is corrupt."""
        return self._decode(self._layout.lease(task_id), decode_lease)

    def read_whole(self, task_id: str) -> Lease | None:
        """The lease with its beat and cancel request."""
        lease = self.read(task_id)
        return None if lease is None else self._complete(lease)

    def present(self, task_id: str) -> bool:
        """Whether a lease file is there, readable or not."""
        return os.path.lexists(self._layout.lease(task_id))

    def ids(self) -> list[str]:
        """Ids of all lease files, sorted."""
        return sorted(name[: -len(_JSON)] for name in self._names() if name.endswith(_JSON))

    def all(self, *, beats: bool = True) -> list[Lease]:
        """Every lease that can be read, sorted by id. ``beats``: with beats and cancel requests."""
        found: dict[str, tuple[tuple[int, ...], Lease]] = {}
        leases = []
        for task_id in self.ids():
            lease = self._cached(task_id, found)
            if lease is not None:
                leases.append(self._complete(lease) if beats else lease)
        self._known = found
        return leases

    def _cached(self, task_id: str, found: dict[str, tuple[tuple[int, ...], Lease]]) -> Lease | None:
        path = self._layout.lease(task_id)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return None
        mark = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
        known = self._known.get(task_id)
        if known is not None and known[0] == mark:
            found[task_id] = known
            return known[1]
        settled = time.time_ns() - status.st_ctime_ns > _RACY_NS
        lease = self._decode(path, decode_lease)
        if lease is not None and settled:
            found[task_id] = (mark, lease)
        return lease

    def _names(self, *, hidden: bool = False) -> list[str]:
        try:
            return [name for name in os.listdir(self._layout.leases) if name.startswith(".") is hidden]
        except FileNotFoundError:
            return []
        except OSError as fault:
            raise storage_error(fault, self._layout.leases, "read") from fault

    def write(self, lease: Lease, point: str) -> None:
        """Put the lease there, durably: the commit point of every step."""
        self._layout.prepare(self._layout.leases)
        replace_file(self._layout.lease(lease.task_id), encode_lease(lease), point=point, sync=self._sync)

    def write_told(self, lease: Lease) -> None:
        """Note that a lease's events are in the log. A power cut may bring the old lease back, and they are told
        again: readers drop the repeats."""
        told = encode_lease(attrs.evolve(lease, outbox=()))
        replace_file(self._layout.lease(lease.task_id), told, point="told.lease", sync=self._sync, sync_name=False)

    def undo_claim(self, task_id: str) -> None:
        """Take a claim back that could not be recorded."""
        remove_file(self._layout.lease(task_id), sync=self._sync)

    def retire(self, task_id: str, token: int) -> None:
        """Turn an ended lease, whose projections are done, into the task's record.

        Not synced on purpose: after a power cut either name is right, and the projections can be redone.
        """
        layout = self._layout
        layout.prepare(layout.records)
        failpoint("retire.rename")
        os.replace(layout.lease(task_id), layout.record(task_id))
        failpoint("retire.renamed")
        remove_file(layout.beat(task_id, token))
        remove_file(layout.cancel(task_id))

    def leftovers(self) -> dict[str, str]:
        """Names of beats and cancel requests without a lease -> the task's id."""
        names = self._names()
        held = {name[: -len(_JSON)] for name in names if name.endswith(_JSON)}
        loose = {name: name.rsplit(".", 2)[0] for name in names if name.endswith(".beat")}
        loose |= {name: name.rsplit(".", 1)[0] for name in names if name.endswith(".cancel")}
        return {name: task_id for name, task_id in loose.items() if task_id not in held}

    def temporaries(self) -> list[str]:
        """Names of files that were to become leases or cancel requests, or still will."""
        return self._names(hidden=True)

    def sweep(self, name: str) -> None:
        """Remove one of the ``leftovers`` or ``temporaries``."""
        remove_file(f"{self._layout.leases}/{name}")

    def set_aside(self, task_id: str) -> bool:
        """Move a lease file that could not be read out of the way, for people to look at; whether there is one."""
        layout = self._layout
        if not self.present(task_id):
            return False
        layout.prepare(layout.corrupt)
        place = f"{layout.corrupt}/{task_id}.{time.time_ns()}{_JSON}"
        try:
            os.replace(layout.lease(task_id), place)
        except OSError as fault:
            raise storage_error(fault, place) from fault
        sync_folder(layout.leases, sync=self._sync)
        self._kept(task_id, place, f"the lease of {task_id} could not be read and was moved to {place}")
        return True

    # ---------------------------------------------------------------- records

    def record(self, task_id: str) -> TaskRecord | None:
        """What is remembered of a task that nobody holds."""
        return self._decode(self._layout.record(task_id), decode_record)

    def write_record(self, record: TaskRecord) -> None:
        """Remember something of a task that was never held."""
        self._layout.prepare(self._layout.records)
        replace_file(self._layout.record(record.task_id), encode_record(record), point="record", sync=self._sync)

    def last_run(self, task_id: str) -> int:
        """The highest attempt that has a run folder: a last witness when leases and records are lost."""
        folder = f"{self._layout.runs}/{task_id}"
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return 0
        except OSError as fault:
            raise read_error(fault, folder) from fault
        return max((int(name) for name in names if name.isdecimal() and name.isascii()), default=0)

    # ---------------------------------------------------------------- beats

    def beat(self, lease: Lease) -> Beat | None:
        """The last sign of life of this lease's owner; None where the file has none that can be read."""
        try:
            text = self._glance(self._layout.beat(lease.task_id, lease.token)).decode("ascii")
            boot, at, published = text.split()
            return Beat(boot, float(at), int(published))
        except ValueError:
            return None

    def write_beat(self, lease: Lease, at: float, published: int) -> None:
        """Overwrite the beat in place: same length, so it needs no new disk blocks once the file is there."""
        path = self._layout.beat(lease.task_id, lease.token)
        text = f"{_boot_mark(lease)} {at!r} {published}".ljust(_BEAT_BYTES - 1) + "\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            fd = os.open(path, flags, 0o600)
            try:
                write_all(fd, text.encode("ascii"), "beat.write")
            finally:
                os.close(fd)
        except OSError as fault:
            raise storage_error(fault, path) from fault

    # ---------------------------------------------------------------- cancel requests

    def cancel(self, task_id: str, token: int) -> str | None:
        """Who asked for a cancel of this attempt."""
        try:
            data = json.loads(self._glance(self._layout.cancel(task_id)))
            return str(data["by"]) if data["token"] == token else None
        except (ValueError, KeyError, TypeError):
            return None

    def write_cancel(self, task_id: str, token: int, by: str) -> None:
        """Ask for a cancel, durably."""
        data = json.dumps({"token": token, "by": by}).encode("ascii")
        replace_file(self._layout.cancel(task_id), data, point="cancel", sync=self._sync)

    # ---------------------------------------------------------------- helpers

    def _complete(self, lease: Lease) -> Lease:
        if lease.state is LeaseState.ENDED:
            return lease
        beat = self.beat(lease)
        if beat is not None and beat.boot == _boot_mark(lease):
            at = beat.at
        else:
            # Every start leaves one: where it is gone, the time of the start says nothing about now.
            at = NO_BEAT if lease.state is LeaseState.STARTED else lease.beat
        return attrs.evolve(lease, beat=at, cancel=self.cancel(lease.task_id, lease.token))

    def _glance(self, path: str) -> bytes:
        """What is in a file, empty where there is nothing to read. Who has no descriptor left has not looked."""
        try:
            return read_file(path)
        except OSError as fault:
            if fault.errno in MACHINES_FAULT:
                raise storage_error(fault, path, "read") from fault
            return b""

    def _decode(self, path: str, decode: Callable[[bytes], T]) -> T | None:
        try:
            return decode(read_file(path))
        except FileNotFoundError:
            return None
        except ValueError as fault:
            self._faults(f"{path} cannot be read: {fault}")
            return None
        except OSError as fault:
            raise read_error(fault, path) from fault
