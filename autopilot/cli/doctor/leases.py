"""Checks of what is held: leases whose owner is dead, and who holds which lock."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from autopilot.cli.app import App
from autopilot.cli.doctor.finding import Finding
from autopilot.errors import AutopilotError, NotFoundError
from autopilot.models import Lease

__all__ = ["check_leases", "check_locks", "lock_holders"]


def check_leases(app: App) -> Iterator[Finding]:
    """Leases, and whether their owners live."""
    from autopilot.system.processes import is_alive

    leases = app.control.store.leases()
    held = 0
    for lease in leases:
        if lease.state == "ended":
            yield _unwritten(app, lease)
        elif is_alive(lease.owner) is False:
            detail = f"{lease.task_id}: the owner of attempt {lease.token} (pid {lease.owner.pid}) is dead"
            yield Finding("leases", "warn", detail, "the next `autopilotctl dispatch tick` takes the task back")
        else:
            held += 1
    for fault in app.control.store.faults():
        yield Finding("leases", "warn", fault, "the next `autopilotctl dispatch tick` moves it aside")
    yield Finding("leases", "ok", f"{held} held by living owners")


def _unwritten(app: App, lease: Lease) -> Finding:
    detail = f"{lease.task_id}: the end of attempt {lease.token} is committed but not written everywhere"
    try:
        app.control.store.check_file(lease.task_id)
    except NotFoundError:
        pass
    except AutopilotError as fault:
        return Finding("leases", "warn", f"{detail}: {fault.message}", fault.hint)
    return Finding("leases", "warn", detail, "the next `autopilotctl dispatch tick` does it")


def check_locks(app: App) -> Iterator[Finding]:
    """Who holds locks now. Locks end with their process, so there are no stale ones."""
    folder = os.path.join(app.control.root.state, "locks")
    names = _inodes(folder)
    held = [(names[inode], pid) for inode, pid in lock_holders() if inode in names]
    for name, pid in sorted(held):
        yield Finding("locks", "warn", f"{name} is held by pid {pid}{_command(pid)}", "it ends with that process")
    if not held:
        yield Finding("locks", "ok", "none is held")


def _inodes(folder: str) -> Mapping[int, str]:
    try:
        return {entry.inode(): entry.name for entry in os.scandir(folder)}
    except OSError:
        return {}


def lock_holders(path: str = "/proc/locks") -> Iterator[tuple[int, int]]:
    """(inode, pid) of every flock that is held on this machine; nothing where the system does not tell.

    A line is ``1: FLOCK ADVISORY WRITE 4242 08:01:131090 0 EOF`` (proc(5)); a waiting one has ``->``.
    """
    try:
        with open(path, encoding="ascii") as file:
            lines = [line.split() for line in file]
    except OSError:
        return
    for fields in lines:
        if len(fields) >= 6 and fields[1] == "FLOCK":
            yield int(fields[5].rpartition(":")[2]), int(fields[4])


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""
    return f" ({words[:80]})" if words else ""
