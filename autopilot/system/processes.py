"""Who a process is, beyond its number: pids are reused, so we never trust or signal a bare one."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import uuid

import attrs

__all__ = [
    "ProcessIdentity",
    "alive_in_this_boot",
    "boot_id",
    "host_id",
    "identify",
    "is_alive",
    "send_signal",
    "start_time_of",
]


_FIRST_TIME_NAMESPACE = 0xEFFFFFFA
"""The kernel's PROC_TIME_INIT_INO: the one that everybody is in who was not put elsewhere."""


@attrs.frozen(kw_only=True)
class ProcessIdentity:
    """One process, for ever: no other process on any host compares equal to it.

    Attributes:
        host: a stable id of the machine.
        boot: an id of this boot of the machine.
        pid_space: names the pid namespace, and the time namespace where it is not the first one; 0 where there are
            none. Pids and start times of another space mean nothing here.
        pid: the process number.
        start_time: the kernel's start time of the process (clock ticks since boot on Linux), as text.
    """

    host: str
    boot: str
    pid_space: int
    pid: int
    start_time: str


@functools.cache
def host_id() -> str:
    """An id of this machine that survives a reboot and a change of its name."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if text:
            return text
    node = uuid.getnode()
    # Without a network card it is a random number, another one in each process.
    return f"boot-{boot_id()}" if node >> 40 & 1 else f"mac-{node:012x}"


@functools.cache
def boot_id() -> str:
    """An id of this boot: monotonic times of another boot mean nothing now."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return _sysctl_boot_time()


def _sysctl_boot_time() -> str:
    try:
        done = subprocess.run(["sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def _pid_space() -> int:
    pids, clocks = _namespace("pid"), _namespace("time")
    return pids if clocks in (0, _FIRST_TIME_NAMESPACE) else clocks << 32 | pids


def _namespace(kind: str) -> int:
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino
    except OSError:
        return 0


def start_time_of(pid: int) -> str | None:
    """The start time of a live process, or None where there is none (a zombie counts as none), or somebody else's
    that we may not look at.

    Raises:
        OSError: it cannot be known now, such as with too many files open. That is no sign of death.
    """
    try:
        return _started(pid)
    except PermissionError:
        return None


def _started(pid: int) -> str | None:
    if sys.platform != "linux":
        return _start_time_by_ps(pid)
    fields = _stat_fields(pid)
    if fields is None:
        return None
    # A process whose first thread has ended shows as a zombie while the others work on.
    return None if fields[0] in "ZX" and int(fields[17]) <= 1 else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    try:
        done = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    state, _, started = done.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def _stat_fields(pid: int) -> list[str] | None:
    # The command name is in parentheses and may itself hold any byte: count from the last parenthesis.
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(b")") + 2 :].decode("ascii").split()


def identify(pid: int | None = None) -> ProcessIdentity:
    """The identity of a live process of this host; of this one by default.

    Raises:
        ProcessLookupError: it is not alive.
        OSError: it cannot be known now.
    """
    pid = os.getpid() if pid is None else pid
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(f"no live process {pid}")
    return ProcessIdentity(host=host_id(), boot=boot_id(), pid_space=_pid_space(), pid=pid, start_time=started)


def is_alive(process: ProcessIdentity) -> bool | None:
    """Whether it lives. None: it cannot be known from here (another host or pid namespace).

    Raises:
        OSError: it cannot be known now; see ``start_time_of``.
    """
    if process.host != host_id():
        return None
    if process.boot != boot_id():
        return False
    if process.pid_space != _pid_space():
        return None
    return start_time_of(process.pid) == process.start_time


def alive_in_this_boot(process: ProcessIdentity) -> bool | None:
    """The same, where hosts that are clones of each other may share a folder: of another boot nothing is known."""
    return is_alive(process) if process.boot == boot_id() else None


def send_signal(process: ProcessIdentity, number: int) -> bool:
    """Signal exactly this process, never one that reuses its pid; whether it was delivered."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):
        return _send_without_pidfd(process, number)
    try:
        if not is_alive(process):
            return False
        signal.pidfd_send_signal(pidfd, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)


def _send_without_pidfd(process: ProcessIdentity, number: int) -> bool:
    if not is_alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
