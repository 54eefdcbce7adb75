"""Protected paths before and after an attempt: what must be the same, by content and not by what git says."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping

import attrs

from autopilot.system.durable import read_file
from autopilot.workspaces.globs import literal_prefix, matcher

__all__ = ["Entry", "Manifest", "snapshot", "violations"]

_CHUNK = 1024 * 1024
_MOST_BEHIND = 20_000
"""Paths that are looked at behind one folder or link: a link to ``/`` must not take a day."""

_MOST_READ = 256 * 1024 * 1024
"""Bytes of the largest file that is read: of a larger one size and time of its last change have to do."""


@attrs.frozen
class Entry:
    """One path as it was found.

    Attributes:
        kind: ``file``, ``folder``, ``link`` or ``other``.
        mode: permission bits.
        digest: SHA-256 (hex) of a file's bytes; empty for others, a word on it where it was not read.
        target: where a link points to.
        size, mtime_ns: for the record; equal content with another time is no violation.
    """

    kind: str
    mode: int
    digest: str = ""
    target: str = ""
    size: int = attrs.field(default=0, eq=False)
    mtime_ns: int = attrs.field(default=0, eq=False)


Manifest = Mapping[str, Entry]
"""Path, relative to the workspace -> what is there. A path that is not in it does not exist."""


def snapshot(
    folder: str, patterns: Iterable[str], *, skip: str = "", tick: Callable[[], object] = lambda: None
) -> Manifest:
    """What lies at the protected paths of ``folder`` now.

    Folders that a pattern names and that are links are looked into as well, under the pattern's own path, so that
    neither the link nor what it leads to can be changed. ``.git/…`` of a linked worktree is its repository's.

    Args:
        skip: a folder that patterns without a fixed beginning do not look into: Autopilot's own.
        tick: called for every path, for a caller with a lease to keep.
    """
    patterns = tuple(patterns)
    wanted = matcher(patterns, fold_case=_folds_case(folder))
    found: dict[str, Entry] = {}
    for start in _starts(patterns):
        for path, place in _links_above(folder, start):
            found[path] = _entry(place)
        for path, place in _walk(folder, start, os.path.realpath(skip) if skip else "", wanted):
            tick()
            if path not in found and wanted.fullmatch(path):
                found[path] = _entry(place)
    return found


def violations(before: Manifest, after: Manifest) -> tuple[str, ...]:
    """The paths that appeared, vanished or changed, sorted. A folder counts only by what is in it."""
    differing = (path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    return tuple(sorted(path for path in differing if not _only_folders(before.get(path), after.get(path))))


def _folds_case(folder: str) -> bool:
    """Whether names that differ in letters' case only are one name here; asked of something that is there."""
    if sys.platform in ("darwin", "win32"):
        return True
    for item in _items(folder):
        if item.name != item.name.swapcase():
            other = os.path.join(folder, item.name.swapcase())
            with contextlib.suppress(OSError):
                return os.path.samestat(item.stat(follow_symlinks=False), os.lstat(other))
            return False
    return False


def _only_folders(*entries: Entry | None) -> bool:
    return all(entry is None or entry.kind == "folder" for entry in entries)


def _starts(patterns: tuple[str, ...]) -> list[str]:
    """Where to begin walks: ``""`` for the whole folder, which leaves ``.git`` out."""
    prefixes = {literal_prefix(pattern) or "" for pattern in patterns}
    return sorted(start for start in prefixes if not any(start.startswith(f"{o}/") for o in prefixes if o))


def _links_above(folder: str, start: str) -> Iterator[tuple[str, str]]:
    """Those folders above ``start`` that are links: who bends one of them bends all below."""
    parts = start.split("/")
    for depth in range(1, len(parts)):
        above = "/".join(parts[:depth])
        if os.path.islink(os.path.join(folder, above)):
            yield above, os.path.join(folder, above)


def _walk(folder: str, start: str, skip: str, wanted: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Everything at and below ``start``: its name in the workspace, and where it lies."""
    if not start:
        for path, item in _below("", folder, {os.path.realpath(folder), skip}, follow=False):
            yield path, item.path
            if item.is_symlink() and item.is_dir() and wanted.fullmatch(path):
                yield from _behind(path, item.path)
        return
    place = _place_of(folder, start)
    if os.path.lexists(place):
        yield start, place
    if os.path.isdir(place):
        yield from _behind(start, place)


def _behind(path: str, place: str) -> Iterator[tuple[str, str]]:
    for inner, item in itertools.islice(_below(path, place, {os.path.realpath(place)}, follow=True), _MOST_BEHIND):
        yield inner, item.path


def _below(path: str, place: str, seen: set[str], *, follow: bool) -> Iterator[tuple[str, os.DirEntry[str]]]:
    for item in _items(place):
        if not path and item.name == ".git":
            continue
        inner = f"{path}/{item.name}".lstrip("/")
        yield inner, item
        if item.is_dir(follow_symlinks=follow):
            real = os.path.realpath(item.path)
            if real not in seen:
                seen.add(real)
                yield from _below(inner, item.path, seen, follow=follow)


def _items(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as items:
            return sorted(items, key=lambda item: item.name)
    except OSError:
        return []


def _place_of(folder: str, start: str) -> str:
    first, _, rest = start.partition("/")
    if first != ".git":
        return os.path.join(folder, start)
    return os.path.join(_git_folder(folder), rest)


def _git_folder(folder: str) -> str:
    """The repository's own folder; a linked worktree's ``.git`` is a file that names it."""
    place = os.path.join(folder, ".git")
    if not os.path.isfile(place):
        return place
    try:
        with open(place, encoding="utf-8") as file:
            own = os.path.join(folder, file.read(4096).removeprefix("gitdir:").strip())
        common = read_file(os.path.join(own, "commondir"), limit=4095).decode()
        return os.path.join(own, common.strip())
    except (OSError, UnicodeDecodeError):
        return place


def _entry(place: str) -> Entry:
    try:
        status = os.lstat(place)
        mode, kind = stat.S_IMODE(status.st_mode), _kind(status.st_mode)
        return Entry(
            kind,
            mode,
            digest=_digest(place, status) if kind == "file" else "",
            target=os.readlink(place) if kind == "link" else "",
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
        )
    except OSError as fault:
        return Entry("other", 0, digest=f"unreadable: {os.strerror(fault.errno or 0)}")


def _kind(mode: int) -> str:
    for kind, test in (("file", stat.S_ISREG), ("folder", stat.S_ISDIR), ("link", stat.S_ISLNK)):
        if test(mode):
            return kind
    return "other"


def _digest(place: str, status: os.stat_result) -> str:
    if status.st_size > _MOST_READ:
        return f"not read: {status.st_size} bytes, changed at {status.st_ctime_ns}"
    hashed = hashlib.sha256()
    try:
        # O_NONBLOCK: should a pipe have taken the file's place since, opening it must not hang.
        fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as fault:
        return f"unreadable: {os.strerror(fault.errno or 0)}"
    with os.fdopen(fd, "rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()
