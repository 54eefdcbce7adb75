"""Who belongs to an attempt, by what a process cannot shed by accident.

A child may clear its environment, leave its session, close every descriptor, fork twice, and change its name and
its folder. Its resource limits stay: fork and execve hand them on, a hard limit can only be lowered by those
without privilege, and ``/proc/<pid>/limits`` shows them to everybody. The limit on file locks has had no effect
since Linux 2.4.25, so its value is free to say whose a process is.

The environment says so too, for people, and for systems that refuse to set this limit.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys

from autopilot.system.process_table import GONE, every_pid
from autopilot.system.processes import ProcessIdentity, identify

try:
    import resource
except ImportError:  # not a POSIX system: nothing may break at import time
    resource = None  # type: ignore[assignment]

__all__ = ["MARK", "marked_processes", "wear", "wearable"]

MARK = "AUTOPILOT_RUN"
"""The environment variable that names the attempt a process belongs to."""

_LIMIT = 10  # RLIMIT_LOCKS, which Python's ``resource`` does not name
_LIMIT_LINE = re.compile(rb"^Max file locks +\S+ +(\d+)", re.MULTILINE)
_BITS = 63
_FEWEST_BITS = 47


def wearable() -> bool:
    """Whether this system lets a mark be worn."""
    if sys.platform != "linux":
        return False
    soft, most = resource.getrlimit(_LIMIT)
    try:
        resource.setrlimit(_LIMIT, (soft, most))
    except (OSError, ValueError):
        return False
    return most == resource.RLIM_INFINITY or most.bit_length() > _FEWEST_BITS


def wear(mark: str) -> bool:
    """Mark this process, and with it all that it will ever start; whether the system lets us."""
    if sys.platform != "linux":
        return False
    _, most = resource.getrlimit(_LIMIT)
    number = _number(mark)
    # Inside another attempt that one's mark is the most that may be set: each level takes a shorter number.
    while most != resource.RLIM_INFINITY and number > most:
        number >>= 1
    if number.bit_length() < _FEWEST_BITS:
        return False
    try:
        resource.setrlimit(_LIMIT, (number, number))
    except (OSError, ValueError):
        return False
    return True


def _number(mark: str) -> int:
    digest = int.from_bytes(hashlib.sha256(mark.encode("utf-8", "surrogateescape")).digest()[:8])
    return 1 << (_BITS - 1) | digest >> (64 - _BITS + 1)


def marked_processes(mark: str) -> list[ProcessIdentity]:
    """The live processes that wear this mark or have it in their first environment, as far as we may signal them,
    but for the caller; empty where the system does not show such things (only Linux does).

    Raises:
        OSError: it cannot be known now, such as with too many files open.
    """
    number, entry = _number(mark), f"{MARK}={mark}".encode()
    found = (_identity_if_marked(pid, number, entry) for pid in every_pid() if pid != os.getpid())
    try:
        return [process for process in found if process is not None]
    except FileNotFoundError:
        return []


def _identity_if_marked(pid: int, number: int, entry: bytes) -> ProcessIdentity | None:
    try:
        os.kill(pid, 0)  # the owner of /proc/<pid> would not do: it is root where a process is not dumpable
        process = identify(pid) if _marked(pid, number, entry) else None
    except GONE:
        return None
    # Once more: the pid may have changed hands before we knew whose it is.
    return process if process is not None and _marked(pid, number, entry) else None


def _marked(pid: int, number: int, entry: bytes) -> bool:
    if _wears(pid, number):
        return True
    environ = _environ(pid)
    return entry in environ and entry in environ.split(b"\0")


def _environ(pid: int) -> bytes:
    """The first environment; of a process whose first thread has ended, as another thread shows it."""
    own = _read(f"/proc/{pid}/environ")
    return own or b"".join(_read(f"/proc/{pid}/task/{thread}/environ") for thread in _threads(pid)[:2])


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except GONE:
        return []


def _wears(pid: int, number: int) -> bool:
    line = _LIMIT_LINE.search(_read(f"/proc/{pid}/limits"))
    worn = int(line[1]) if line else 0
    return _FEWEST_BITS <= worn.bit_length() <= _BITS and number >> (_BITS - worn.bit_length()) == worn


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except GONE:
        return b""
