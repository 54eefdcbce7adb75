"""What a file system may have on its platter when the power goes: the model, and every disk that it allows.

The rules are what POSIX leaves open, as Pillai et al. found it in real file systems ("All File Systems Are Not
Created Equal", OSDI 2014, which calls it the abstract persistence model); ext4 and xfs allow fewer disks:

* An fsync of a file makes all its bytes so far durable, and not its name.
* An fsync of a folder makes all changes of its names so far durable, and not what is in the files.
* A change of names (create, link, unlink, rename, exchange, mkdir) is there wholly or not at all, and after the
  earlier changes of the same names. Changes of different names reach the disk in any order, as on btrfs. A rename
  from one folder into another is one change, which an fsync of either takes along, as any journal does.
* A write is there wholly, not at all, by its first half, or, where it made the file longer, as zeros of its length
  (the length reached the disk before the data). Writes to different places of a file reach the disk in any order,
  writes to the same place in theirs; cutting a file short touches all places behind the cut.
* Files and folders know nothing of each other: a rename may be on the disk before what was written into the file.

Disks that return wrong data are not in the model.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs

__all__ = ["FOLDER", "Bytes", "Disk", "File", "Names", "Platter", "Sync", "build", "disk_at"]

T = TypeVar("T")

FOLDER = "folder"


@attrs.define(eq=False)
class File:
    """A file, whatever its names are."""


@attrs.frozen(eq=False)
class Names:
    """A change of names in one step: path -> what stands there afterwards, None for nothing."""

    what: str
    after: dict[str, Any]


@attrs.frozen(eq=False)
class Bytes:
    """A write, or (without ``data``) the end of the file set to ``at``."""

    file: File
    at: int
    data: bytes | None


@attrs.frozen(eq=False)
class Sync:
    """An fsync of a file, or of the folder of this path."""

    what: File | str


@attrs.frozen
class Disk:
    """What the next start finds: files by their path, and folders; both relative."""

    files: frozenset[tuple[str, bytes]]
    folders: frozenset[str]


class Platter:
    """The disk while operations come in: what is durable, and what may be.

    Args:
        base: the folder that all paths are in; it is there from the start.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._names: dict[str, Any] = {base: FOLDER}
        self._content: dict[File, bytes] = {}
        self._moving: list[Names] = []
        self._writing: dict[File, list[Bytes]] = {}

    def take(self, op: Names | Bytes | Sync) -> None:
        """One more operation was done."""
        if isinstance(op, Names):
            self._moving.append(op)
        elif isinstance(op, Bytes):
            self._writing.setdefault(op.file, []).append(op)
        elif isinstance(op.what, File):
            self._keep_bytes(op.what)
        else:
            self._keep_names(op.what)

    def settle(self) -> None:
        """Everything so far reaches the disk."""
        for change in self._moving:
            self._names.update(change.after)
        self._moving.clear()
        for file in list(self._writing):
            self._keep_bytes(file)

    def _keep_bytes(self, file: File) -> None:
        self._content[file] = _applied(self._content.get(file, b""), self._writing.pop(file, []))

    def _keep_names(self, folder: str) -> None:
        kept: list[Names] = []
        for change in reversed(self._moving):
            if any(os.path.dirname(path) == folder for path in change.after) or any(
                _share(change, later) for later in kept
            ):
                kept.append(change)
        for change in reversed(kept):
            self._names.update(change.after)
            self._moving.remove(change)

    # ---------------------------------------------------------------- what may be left

    def count(self) -> int:
        """How many combinations there are at this instant."""
        return math.prod(len(options) for options in (*self._name_choices(), *self._byte_choices().values()))

    def disks(self, limit: int, rng: random.Random) -> Iterator[Disk]:
        """All disks that a cut at this instant may leave; where there are more than ``limit``, that many: the
        extremes, each thing alone lost or kept, and the rest at random."""
        names, contents = self._name_choices(), self._byte_choices()
        files = list(contents)
        choices: list[list[Any]] = [*names, *contents.values()]
        for picked in _picks(choices, limit, rng):
            changes = itertools.chain.from_iterable(picked[: len(names)])
            yield self._disk(changes, dict(zip(files, picked[len(names) :], strict=True)))

    def _name_choices(self) -> list[list[tuple[Names, ...]]]:
        return [_ideals(group, _share) for group in _groups(self._moving, _share)]

    def _byte_choices(self) -> dict[File, list[bytes]]:
        return {file: self._contents(file, writes) for file, writes in self._writing.items()}

    def _contents(self, file: File, writes: list[Bytes]) -> list[bytes]:
        durable = self._content.get(file, b"")
        found = dict.fromkeys(_applied(durable, kept) for kept in _torn(writes, len(durable)))
        return [durable, *(data for data in found if data != durable)]

    def _disk(self, changes: Iterator[Names], contents: dict[File, bytes]) -> Disk:
        names = dict(self._names)
        for change in changes:
            names.update(change.after)
        whole = {**self._content, **contents}
        files, folders = set(), set()
        for path in sorted(names):
            what, parent = names[path], os.path.dirname(path)
            if what is None or not (path == self._base or parent in folders):
                continue
            if what is FOLDER:
                folders.add(path)
            else:
                files.add((os.path.relpath(path, self._base), whole.get(what, b"")))
        return Disk(frozenset(files), frozenset(os.path.relpath(path, self._base) for path in folders))


def disk_at(folder: Path) -> Disk:
    """What really lies in a folder."""
    files, folders = set(), {"."}
    for place in folder.rglob("*"):
        path = str(place.relative_to(folder))
        if place.is_dir():
            folders.add(path)
        else:
            files.add((path, place.read_bytes()))
    return Disk(frozenset(files), frozenset(folders))


def build(disk: Disk, place: str) -> None:
    """Put a disk into the empty folder ``place``."""
    for folder in sorted(disk.folders - {"."}):
        os.mkdir(f"{place}/{folder}", 0o700)
    for path, data in disk.files:
        fd = os.open(f"{place}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(fd, data)
        os.close(fd)


# -------------------------------------------------------------------- orders that the disk may keep


def _share(one: Names, other: Names) -> bool:
    return not one.after.keys().isdisjoint(other.after)


def _overlap(one: Bytes, other: Bytes) -> bool:
    return one.at < _end(other) and other.at < _end(one)


def _end(write: Bytes) -> float:
    return math.inf if write.data is None else write.at + len(write.data)


def _groups(ops: Sequence[T], depend: Callable[[T, T], bool]) -> list[list[T]]:
    """Operations that depend on each other, directly or not, together; each group in its order."""
    groups: list[list[T]] = []
    for op in ops:
        joined = [group for group in groups if any(depend(op, other) for other in group)]
        groups = [group for group in groups if group not in joined]
        groups.append([*sorted((other for group in joined for other in group), key=ops.index), op])
    return groups


def _ideals(ops: Sequence[T], depend: Callable[[T, T], bool]) -> list[tuple[T, ...]]:
    """Every choice of operations that has, with each of them, all earlier ones that it depends on. The first one
    is nothing, the last one everything."""
    found: list[tuple[T, ...]] = [()]
    for number, op in enumerate(ops):
        needed = [earlier for earlier in ops[:number] if depend(op, earlier)]
        found += [(*kept, op) for kept in found if all(earlier in kept for earlier in needed)]
    return found


def _torn(writes: list[Bytes], durable: int) -> Iterator[Sequence[Bytes]]:
    """Every choice of writes, with the last of each place also by halves or as zeros; at most one of them torn."""
    for kept in _ideals(writes, _overlap):
        yield kept
        for number, write in enumerate(kept):
            if write.data and not any(_overlap(write, later) for later in kept[number + 1 :]):
                for data in _pieces(write, durable):
                    yield [*kept[:number], attrs.evolve(write, data=data), *kept[number + 1 :]]


def _pieces(write: Bytes, durable: int) -> Iterator[bytes]:
    data = write.data or b""
    yield data[: len(data) // 2]
    if _end(write) > durable:
        old = max(0, durable - write.at)
        yield data[:old] + bytes(len(data) - old)


def _applied(content: bytes, writes: Sequence[Bytes]) -> bytes:
    data = bytearray(content)
    for write in writes:
        data.extend(bytes(max(0, write.at - len(data))))
        if write.data is None:
            del data[write.at :]
        else:
            data[write.at : write.at + len(write.data)] = write.data
    return bytes(data)


def _picks(choices: list[list[Any]], limit: int, rng: random.Random) -> Iterator[tuple[Any, ...]]:
    if math.prod(len(options) for options in choices) <= limit:
        yield from itertools.product(*choices)
        return
    lost, kept = [options[0] for options in choices], [options[-1] for options in choices]
    picks = [lost, kept]
    for number, options in enumerate(choices):
        picks.append([*kept[:number], options[0], *kept[number + 1 :]])
        picks.append([*lost[:number], options[-1], *lost[number + 1 :]])
    yield from map(tuple, picks[:limit])
    for _ in range(limit - len(picks)):
        yield tuple(rng.choice(options) for options in choices)
