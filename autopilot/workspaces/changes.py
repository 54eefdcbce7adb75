"""What an attempt changed in its workspace: every file's stamp before, compared with the stamp after.

A stamp holds mode, size, inode and both times of a file. The kernel sets the change time (ctime) and no program
can set it back, so an edit of the same size with a restored modification time shows as well. The first survey goes
to a file and the second is compared with it as it is made: memory does not grow with the tree.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from typing import IO

__all__ = ["CAP", "changed_since", "survey"]

CAP = 1000
"""How many changed paths are told at most."""

_END = b"\0"
_CHUNK = 256 * 1024


def survey(
    folder: str, ledger: str, *, skip: tuple[str, ...] = (), tick: Callable[[], object] = lambda: None
) -> None:
    """Write the stamps of all files below ``folder``, but for ``.git`` folders, to the file ``ledger``.

    Args:
        skip: folders to leave out (Autopilot's own).
        tick: called for every file, for a caller with a lease to keep.

    Raises:
        OSError: the ledger cannot be written. Unreadable folders of the workspace are left out.
    """
    with _opened(ledger, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, "wb") as file:
        for path, stamp in _stamps(folder, skip):
            file.write(path + _END + stamp + _END)
            tick()


def changed_since(
    folder: str,
    ledger: str,
    *,
    skip: tuple[str, ...] = (),
    cap: int = CAP,
    tick: Callable[[], object] = lambda: None,
) -> tuple[tuple[str, ...], int]:
    """The paths that appeared, vanished or changed since ``survey`` wrote ``ledger``: the first ``cap`` of them in
    the order of a walk, and how many there are.

    Raises:
        OSError: the ledger cannot be read.
    """
    first: list[str] = []
    count = 0
    with _opened(ledger, os.O_RDONLY, "rb") as file:
        for path in _differences(_read(file.read), _stamps(folder, skip), tick):
            count += 1
            if count <= cap:
                first.append(os.fsdecode(path))
    return tuple(first), count


def _opened(ledger: str, flags: int, mode: str) -> IO[bytes]:
    # O_NONBLOCK: a pipe that an agent put there must not hang the runner.
    fd = os.open(ledger, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "no regular file", ledger)
    return os.fdopen(fd, mode, buffering=_CHUNK)


def _stamps(folder: str, skip: tuple[str, ...]) -> Iterator[tuple[bytes, bytes]]:
    unwanted = {os.path.realpath(os.fsencode(path)) for path in skip}
    yield from _below(os.path.realpath(os.fsencode(folder)), b"", unwanted)


def _below(place: bytes, path: bytes, unwanted: set[bytes]) -> Iterator[tuple[bytes, bytes]]:
    for item in _items(place):
        inner = path + b"/" + item.name if path else item.name
        if not item.is_dir(follow_symlinks=False):
            yield inner, _stamp(item)
        elif item.name != b".git" and item.path not in unwanted:
            yield from _below(item.path, inner, unwanted)


def _items(place: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(place) as items:
            return sorted(items, key=lambda item: item.name)
    except OSError:
        return []


def _stamp(item: os.DirEntry[bytes]) -> bytes:
    try:
        found = item.stat(follow_symlinks=False)
    except OSError:
        return b"gone"
    numbers = (found.st_mode, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
    return b" ".join(b"%x" % number for number in numbers)


def _read(read: Callable[[int], bytes]) -> Iterator[tuple[bytes, bytes]]:
    rest = b""
    pending: list[bytes] = []
    while chunk := read(_CHUNK):
        *pieces, rest = (rest + chunk).split(_END)
        pending += pieces
        while len(pending) > 1:
            yield pending[0], pending[1]
            del pending[:2]


def _differences(
    before: Iterator[tuple[bytes, bytes]], after: Iterator[tuple[bytes, bytes]], tick: Callable[[], object]
) -> Iterator[bytes]:
    """Merge two surveys, which are in the same order."""
    old, new = next(before, None), next(after, None)
    while old or new:
        tick()
        if new is None or (old is not None and _order(old[0]) < _order(new[0])):
            assert old is not None
            yield old[0]
            old = next(before, None)
        elif old is None or _order(new[0]) < _order(old[0]):
            yield new[0]
            new = next(after, None)
        else:
            if old[1] != new[1]:
                yield new[0]
            old, new = next(before, None), next(after, None)


def _order(path: bytes) -> list[bytes]:
    return path.split(b"/")
