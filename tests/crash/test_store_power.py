"""Power cuts: every disk state that a file system may leave behind, and the recovery from each.

One life of a task runs with every file operation recorded. Then, for a cut after each operation, disks are built
that are allowed by what was fsynced until then, and recovery must keep every promise that had been given:

* names in a folder reach the disk in order, and all of them by an fsync of the folder; folders are independent;
* a file's bytes reach the disk wholly by an fsync of the file; without one, none, half or all of them.

The proof of the simulator is its own mutation gate: dropping any single fsync must be noticed.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import attrs
import pytest

from autopilot.models import Ending, LeaseState, Status, Task
from autopilot.store import markdown
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import BeatWatch, Liveness, verdict
from autopilot.system.clock import SystemClock
from autopilot.system.exchange import exchange as real_exchange
from autopilot.testing.stores import gone_owner
from tests.campaign import FAST, FULL, size
from tests.crash.life import BODY, Life

# ---------------------------------------------------------------------------- recording


@attrs.frozen
class Op:
    """One operation. ``folders``: those whose names it changes."""

    kind: str
    folders: tuple[str, ...] = ()
    args: tuple[Any, ...] = ()


class Recorder:
    """Stands between the store and the disk, and writes down what goes through.

    Args:
        without: the number of the one fsync that is left out (for the mutation gate).
    """

    def __init__(self, root: str, without: int = -1) -> None:
        self.root = root
        self.ops: list[Op] = []
        self.marks: list[tuple[int, str, int]] = []
        self.fsyncs = 0
        self._without = without
        self._inodes: dict[int, int] = {}
        self._hold: list[int] = []
        self._real = {name: getattr(os, name) for name in NAMES}

    def inside(self, path: Any) -> bool:
        return isinstance(path, str) and path.startswith(self.root)

    def inode(self, fd: int) -> int:
        """A number for the file of a descriptor; the file is held open, so that no other gets its inode."""
        number = os.fstat(fd).st_ino
        if number not in self._inodes:
            self._inodes[number] = len(self._inodes)
            self._hold.append(self._real["open"](f"/proc/self/fd/{fd}", os.O_RDONLY))
        return self._inodes[number]

    def inode_of(self, path: str) -> int:
        fd = self._real["open"](path, os.O_RDONLY)
        try:
            return self.inode(fd)
        finally:
            os.close(fd)

    def add(self, kind: str, folders: tuple[str, ...], *args: Any) -> None:
        self.ops.append(Op(kind, folders, args))

    # What the store calls instead of the functions of ``os``.

    def open(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        new = self.inside(path) and flags & os.O_CREAT and not os.path.lexists(path)
        fd = self._real["open"](path, flags, *more, **named)
        if new:
            self.add("create", (os.path.dirname(path),), os.path.basename(path), self.inode(fd))
        return fd

    def write(self, fd: int, data: Any) -> int:
        path = os.readlink(f"/proc/self/fd/{fd}")
        place = os.lseek(fd, 0, os.SEEK_CUR) if self.inside(path) else 0
        count = self._real["write"](fd, data)
        if self.inside(path):
            self.add("write", (), self.inode(fd), place, bytes(data[:count]))
        return count

    def fsync(self, fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        if self.inside(path):
            self.fsyncs += 1
            if self.fsyncs - 1 != self._without:
                folder = os.path.isdir(path)
                self.add("fsync folder" if folder else "fsync", (), path if folder else self.inode(fd))

    def mkdir(self, path: str, *mode: int) -> None:
        self._real["mkdir"](path, *mode)
        if self.inside(path):
            self.add("mkdir", (os.path.dirname(path),), os.path.basename(path))

    def link(self, old: str, new: str) -> None:
        self._real["link"](old, new)
        self.add("link", (os.path.dirname(new),), os.path.basename(new), self.inode_of(new))

    def unlink(self, path: str) -> None:
        self._real["unlink"](path)
        if self.inside(path):
            self.add("unlink", (os.path.dirname(path),), os.path.basename(path))

    def replace(self, old: str, new: str) -> None:
        self._real["replace"](old, new)
        if self.inside(old):
            folders = (os.path.dirname(old), os.path.dirname(new))
            self.add("rename", folders, os.path.basename(old), os.path.basename(new))

    rename = replace

    def exchange(self, one: str, other: str) -> bool:
        done = real_exchange(one, other)
        if done:
            self.add("exchange", (os.path.dirname(one),), os.path.basename(one), os.path.basename(other))
        return done

    def close(self) -> None:
        for fd in self._hold:
            os.close(fd)


NAMES = ("open", "write", "fsync", "mkdir", "link", "unlink", "replace", "rename")


@contextmanager
def recording(root: str, without: int = -1) -> Iterator[Recorder]:
    recorder = Recorder(root, without)
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.setattr(os, name, getattr(recorder, name))
        patch.setattr(markdown, "exchange", recorder.exchange)
        yield recorder
    recorder.close()


def live(folder: Path, without: int = -1) -> Recorder:
    """One life with ``durability: full``, recorded; ``marks`` has what was acknowledged after which operation."""
    root = str(folder / ".autopilot")
    with recording(str(folder), without) as recorder:
        life = Life(folder, "full")
        # Who cut the power ended every process, too.
        life.store._projector._me = gone_owner
        for name, step in life.steps():
            if name in ("scan", "close", "project"):
                continue
            step()
            recorder.marks.append((len(recorder.ops), name, life.lease.token if life.lease else 0))
        life.store.close()
        os.close(life.acks)
    assert recorder.root and os.path.isdir(root)
    return recorder


# ---------------------------------------------------------------------------- disks


@attrs.frozen
class Disk:
    """What is on the platter: files by path (relative to the folder), and folders."""

    files: dict[str, bytes]
    folders: frozenset[str]


class Platter:
    """Everything that matters for a power cut after the first ``time`` operations."""

    def __init__(self, ops: list[Op], time: int, base: str) -> None:
        self.base = base
        self.ops = ops[:time]
        self.pending: dict[str, list[int]] = defaultdict(list)
        self.synced: dict[int, bytes] = {}
        self.content: dict[int, bytes] = {}
        for number, op in enumerate(self.ops):
            if op.kind == "write":
                inode, place, data = op.args
                old = self.content.get(inode, b"").ljust(place, b"\0")
                self.content[inode] = old[:place] + data + old[place + len(data) :]
            elif op.kind == "fsync":
                self.synced[op.args[0]] = self.content.get(op.args[0], b"")
            elif op.kind == "fsync folder":
                self.pending.pop(op.args[0], None)
            for folder in set(op.folders):
                self.pending[folder].append(number)
        self.unsure = [inode for inode in self.content if self.synced.get(inode) != self.content[inode]]

    def disk(self, lost: dict[str, int], bytes_kept: dict[int, str]) -> Disk:
        """One allowed disk.

        Args:
            lost: folder -> how many of its last unsynced operations did not reach the disk.
            bytes_kept: inode -> ``none``, ``half`` or ``all`` of its unsynced bytes; all where it is not named.
        """
        gone: set[int] = set()
        for folder, count in lost.items():
            numbers = self.pending[folder]
            gone.update(numbers[len(numbers) - count :])
        self._drop_what_came_after(gone)
        names: dict[str, dict[str, Any]] = defaultdict(dict)
        for number, op in enumerate(self.ops):
            if op.folders and number not in gone:
                _apply(names, op)
        files: dict[str, bytes] = {}
        folders = {""}
        self._walk(names, self.base, "", files, folders, bytes_kept)
        return Disk(files, frozenset(folders))

    def _drop_what_came_after(self, gone: set[int]) -> None:
        # A rename between folders is one operation; without it nothing later in either folder is there.
        changed = True
        while changed:
            changed = False
            for numbers in self.pending.values():
                first = next((number for number in numbers if number in gone), None)
                for number in numbers:
                    if first is not None and number > first and number not in gone:
                        gone.add(number)
                        changed = True

    def _walk(self, names, folder, shown, files, folders, bytes_kept) -> None:
        for name, what in names[folder].items():
            path = f"{shown}/{name}".lstrip("/")
            if what == "folder":
                folders.add(path)
                self._walk(names, f"{folder}/{name}", path, files, folders, bytes_kept)
            else:
                files[path] = self._bytes(what, bytes_kept.get(what, "all"))

    def _bytes(self, inode: int, kept: str) -> bytes:
        whole = self.content.get(inode, b"")
        if kept == "all" or inode not in self.unsure:
            return whole
        old = self.synced.get(inode, b"")
        return old if kept == "none" else whole[: len(whole) // 2]

    def disks(self, rng: random.Random, samples: int) -> Iterator[Disk]:
        """Some of the allowed disks: the extremes, each folder alone at any point, and a few at random."""
        folders = {folder: len(numbers) for folder, numbers in self.pending.items() if numbers}
        nothing, everything = dict.fromkeys(folders, 0), dict(folders)
        losses = [nothing, everything]
        for folder, count in folders.items():
            losses += [{**nothing, folder: lost} for lost in range(1, count + 1)] + [{**everything, folder: 0}]
        losses += [{folder: rng.randint(0, count) for folder, count in folders.items()} for _ in range(samples)]
        for lost, kept in itertools.product(losses, ("all", "none", "half") if self.unsure else ("all",)):
            yield self.disk(lost, dict.fromkeys(self.unsure, kept))


def _apply(names: dict[str, dict[str, Any]], op: Op) -> None:
    first, last = names[op.folders[0]], names[op.folders[-1]]
    if op.kind == "mkdir":
        first[op.args[0]] = "folder"
    elif op.kind in ("create", "link"):
        first[op.args[0]] = op.args[1]
    elif op.kind == "unlink":
        first.pop(op.args[0], None)
    elif op.kind == "rename" and op.args[0] in first:
        last[op.args[1]] = first.pop(op.args[0])
    elif op.kind == "exchange":
        one, other = op.args
        first[one], first[other] = first[other], first[one]


def build(disk: Disk, place: Path) -> None:
    for folder in sorted(disk.folders):
        (place / folder).mkdir(exist_ok=True)
    for path, data in disk.files.items():
        (place / path).write_bytes(data)


# ---------------------------------------------------------------------------- promises


def check(place: Path, done: dict[str, int], begun: set[str]) -> None:
    """Every promise that had been given, on a disk as it was found.

    Args:
        done: acknowledged steps -> token; begun: these and the one that the cut came into.
    """
    store = FileStore(str(place / ".autopilot"), publish=lambda events: None, durability="process", watch=False)
    before = store.lease("one")
    if "start 1" in done and "claim 2" not in begun:
        assert before is None or before.state is not LeaseState.CLAIMED, "a start was forgotten"
        assert store.record("one").token == 1
    if "cancel 1" in done and "finish 1" not in begun:
        assert before is not None and before.cancel == "me", "a cancel request was forgotten"
    watch = BeatWatch()
    for _ in range(2):
        store.project()
        for lease in store.leases():
            if lease.state is LeaseState.ENDED:
                continue
            assert verdict(lease, SystemClock(), watch, alive=lambda owner: False) is Liveness.DEAD
            adopted = lease.state is LeaseState.STARTED and store.result(lease) is not None
            status = Status.DONE if adopted else Status.PENDING
            store.finish(lease, Ending(status=status, record=lease.record))
    assert store.leases() == []
    if "create" in done:
        assert store.ids() == ["one"], "the task is gone"
        task = store.get("one")
        assert isinstance(task, Task), task
        assert task.body.encode().endswith(BODY)
        assert task.extra["x-team"] == "blue"
        check_status(task, done, begun)
    elif "one" in store.ids():
        assert isinstance(store.get("one"), Task), "half a creation is there"
    ends = sum(name.startswith("finish") for name in done)
    assert store.record("one").used >= ends, "an end was forgotten"
    tokens = [token for name, token in done.items() if name.startswith("claim")]
    assert store.record("one").token >= max(tokens, default=0), "a token would be given twice"
    for folder in ("conflicts", "state/corrupt"):
        kept = place / ".autopilot" / folder
        assert not kept.exists() or not os.listdir(kept), folder
    assert not store.faults()
    store.close()


def check_status(task: Task, done: dict[str, int], begun: set[str]) -> None:
    if "edit" in done:
        assert task.priority == "high", "an edit was forgotten"
    if "finish 2" in done or "report 2" in done:
        assert task.status is Status.DONE
    elif "report 2" in begun:
        assert task.status in (Status.DONE, Status.PENDING)
    elif "block" in done and "wake" not in begun:
        assert task.status is Status.BLOCKED
    elif "wake" in done or ("finish 1" in done and "block" not in begun):
        assert task.status is Status.PENDING


def faults_of(recorder: Recorder, base: str, samples: int, limit: int) -> tuple[list[str], int]:
    """What goes wrong on how many disks; stops at ``limit`` faults."""
    rng = random.Random(1)
    faults: list[str] = []
    tried = 0
    seen: set[tuple[Any, ...]] = set()
    for time in range(1, len(recorder.ops) + 1):
        done = {name: token for index, name, token in recorder.marks if index <= time}
        last = max((index for index, _, _ in recorder.marks if index <= time), default=0)
        coming = next((name for index, name, _ in recorder.marks if index > time and time > last), None)
        for disk in Platter(recorder.ops, time, base).disks(rng, samples):
            key = (len(done), coming, frozenset(disk.files.items()), disk.folders)
            if key in seen:
                continue
            seen.add(key)
            tried += 1
            place = Path(tempfile.mkdtemp(dir=FAST))
            try:
                build(disk, place)
                check(place, done, {*done, coming} if coming else set(done))
            except AssertionError as fault:
                faults.append(f"after {time} ({recorder.ops[time - 1].kind}): {fault}")
                if len(faults) >= limit:
                    return faults, tried
            finally:
                shutil.rmtree(place)
    return faults, tried


# ---------------------------------------------------------------------------- tests


@pytest.fixture
def arena() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        yield Path(folder)


def test_every_promise_survives_a_power_cut(arena: Path) -> None:
    recorder = live(arena)
    faults, tried = faults_of(recorder, str(arena), size(2, 200), limit=10)
    assert not faults, f"{len(faults)} faults on {tried} disks: {faults}"
    assert tried >= 500


def test_every_single_fsync_is_needed(arena: Path) -> None:
    """All of them with ``AUTOPILOT_TEST_SIZE`` above 1; else every fifth, another fifth each day."""
    whole = arena / "whole"
    whole.mkdir()
    count = live(whole).fsyncs
    assert count >= 40
    chosen = range(count) if FULL else range(date.today().toordinal() % 5, count, 5)
    missed = []
    for number in chosen:
        folder = arena / f"without-{number}"
        folder.mkdir()
        faults, _ = faults_of(live(folder, number), str(folder), 0, limit=1)
        if not faults:
            missed.append(number)
    # The two of the locks' folder: in this life the next fsync of the same folder follows at once.
    assert set(missed) <= {1, 2}, f"left out and not noticed: {missed} of {count}"
