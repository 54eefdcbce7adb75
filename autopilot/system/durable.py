"""Files that are whole or not there: create, replace and remove, each with its fsyncs.

``sync`` says whether the change must survive a power cut (file and folder are fsynced) or only the death of
the process (``durability: process``). Every step is a failpoint, named ``<point>.<step>``.
"""

from __future__ import annotations

import errno
import os
import re
from typing import NamedTuple

from autopilot.errors import AlreadyExistsError, StorageError, UnreadableError
from autopilot.system.failpoints import failpoint, write_all

__all__ = [
    "EXHAUSTED",
    "MACHINES_FAULT",
    "Temporary",
    "create_file",
    "ensure_folder",
    "read_error",
    "read_file",
    "remove_file",
    "replace_file",
    "storage_error",
    "sync_folder",
    "temporary_of",
    "write_temporary",
]

_TEMPORARY = re.compile(r"\.(.+)\.([0-9]{1,9})\.[0-9a-f]{8}\.(?:tmp|swap)", re.ASCII | re.DOTALL)
"""``swap``: a whole task file that waits for its exchange was renamed so."""

_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_HINTS = {
    errno.ENOSPC: "free some space on that disk, then run the same command again",
    errno.EDQUOT: "raise the quota or free some space, then run the same command again",
    errno.EROFS: "remount it writable, or point --root at a folder that is",
    errno.EACCES: "check the owner and mode of that path",
    errno.EPERM: "check the owner and mode of that path",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`), then run the same command again",
    errno.ENFILE: "this machine has too many files open; close some programs, then run the same command again",
    errno.ENOLCK: "the file system gives no locks; put the root on a local disk",
    errno.ENOMEM: "free some memory, then run the same command again",
    errno.ELOOP: "symbolic links inside the root are refused; replace it by a real file or folder",
}


EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""What the process or the machine has run out of, whatever file it was about."""

MACHINES_FAULT = EXHAUSTED | {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.ENOLCK}
"""What the machine refuses today, and may not refuse tomorrow, whatever was asked of it."""

_STORAGE = MACHINES_FAULT | {errno.EACCES, errno.EPERM, errno.ELOOP}


def storage_error(fault: OSError, path: str, verb: str = "write") -> OSError | StorageError:
    """Turn an OSError that a disk or system gives for reasons of its own, and may not give the next time, into a
    StorageError with a hint; others come back as they are."""
    number = fault.errno
    if number is None or number not in _STORAGE:
        return fault
    return StorageError(f"cannot {verb} {path}: {os.strerror(number)}", hint=_HINTS.get(number, ""))


def read_error(fault: OSError, path: str) -> OSError | StorageError:
    """As ``storage_error``, for reading what belongs to one task alone: where only that path is refused, it is an
    UnreadableError."""
    found = storage_error(fault, path, "read")
    if isinstance(found, StorageError) and fault.errno not in MACHINES_FAULT:
        return UnreadableError(found.message, hint=found.hint)
    return found


def sync_folder(folder: str, *, sync: bool = True) -> None:
    """Make the names in ``folder`` durable."""
    if not sync:
        return
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def ensure_folder(path: str, *, sync: bool = False) -> None:
    """Make ``path`` and its parents, private to the user (mode 0700).

    Raises:
        StorageError: the disk refuses.
    """
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path) or "."
    for folder in reversed(missing):
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            continue
        except OSError as fault:
            # Whatever the errno, and be it ENOENT under /proc: no folder can be made here.
            raise StorageError(
                f"cannot make the folder {folder}: {fault.strerror}",
                hint=_HINTS.get(fault.errno or 0, "name another folder, with --root for the root"),
            ) from fault
        sync_folder(os.path.dirname(folder) or ".", sync=sync)


def write_temporary(path: str, data: bytes, point: str, sync: bool, mode: int) -> str:
    """Write ``data`` to a new hidden file beside ``path``; its name. Nothing is left of it when this raises.

    Raises:
        OSError: as ``open``, ``write`` and ``fsync`` do.
    """
    temporary = f"{os.path.dirname(path)}/.{os.path.basename(path)}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, mode)
    try:
        failpoint(f"{point}.opened")
        write_all(fd, data, f"{point}.write")
        failpoint(f"{point}.written")
        if sync:
            os.fsync(fd)
        failpoint(f"{point}.synced")
    except BaseException:
        os.close(fd)
        _unlink_quietly(temporary)
        raise
    os.close(fd)
    return temporary


class Temporary(NamedTuple):
    """What the name of a temporary file tells: whose place it was to take, and which process wrote it."""

    target: str
    pid: int


def temporary_of(name: str) -> Temporary | None:
    """Read the name of a file that ``write_temporary`` made; None for all other names."""
    found = _TEMPORARY.fullmatch(name)
    return Temporary(found[1], int(found[2])) if found else None


def create_file(path: str, data: bytes, *, point: str, sync: bool, mode: int = 0o600) -> None:
    """Create ``path`` with ``data``, whole; an existing file is never touched.

    Raises:
        AlreadyExistsError: the name is taken.
        StorageError: the disk refuses; nothing of the file is left.
    """
    try:
        temporary = write_temporary(path, data, point, sync, mode)
        try:
            os.link(temporary, path)
            failpoint(f"{point}.linked")
        finally:
            _unlink_quietly(temporary)
        sync_folder(os.path.dirname(path), sync=sync)
    except FileExistsError:
        raise AlreadyExistsError(f"{os.path.basename(path)} exists already") from None
    except OSError as fault:
        raise storage_error(fault, path) from fault
    failpoint(f"{point}.done")


def replace_file(
    path: str, data: bytes, *, point: str, sync: bool, sync_name: bool = True, mode: int = 0o600
) -> None:
    """Put ``data`` at ``path``, replacing what is there in one step.

    Args:
        sync_name: with ``sync``, have the new file survive a power cut; without it the old one may come back.

    Raises:
        StorageError: the disk refuses; the old file is still there.
    """
    try:
        temporary = write_temporary(path, data, point, sync, mode)
        try:
            failpoint(f"{point}.rename")
            os.replace(temporary, path)
        except BaseException:
            _unlink_quietly(temporary)
            raise
        failpoint(f"{point}.renamed")
        sync_folder(os.path.dirname(path), sync=sync and sync_name)
    except OSError as fault:
        raise storage_error(fault, path) from fault
    failpoint(f"{point}.done")


def read_file(path: str, *, limit: int = -1) -> bytes:
    """Read a file without following a symbolic link, or waiting for a pipe; at most ``limit`` + 1 bytes where a
    limit is given.

    Raises:
        FileNotFoundError: it is not there.
        OSError: as ``open`` and ``read`` do; ELOOP for a symbolic link.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _NO_FOLLOW)
    with os.fdopen(fd, "rb") as file:
        # A pipe with nothing in it reads as None.
        return (file.read() if limit < 0 else file.read(limit + 1)) or b""


def remove_file(path: str, *, sync: bool = False) -> bool:
    """Remove ``path``; whether it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync_folder(os.path.dirname(path), sync=sync)
    return True


def _unlink_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
