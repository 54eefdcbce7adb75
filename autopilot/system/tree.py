"""Process trees that end: for a child subreaper, which is handed every orphan of its descendants.

Process groups do not stop agents: a child that calls ``setsid`` is out of its group, and one that forks twice is
out of its parent's sight. A subreaper still gets all of them as its own children, so *no child left* means *no
descendant left*. ``kill_tree`` asks first, then stops everything it can see until nothing new appears (a stopped
process cannot fork), kills what it stopped, and goes on until the kernel says that there is no child.

Nothing here ever signals a bare pid: each signal goes through a pidfd whose process still has the start time that
was seen in the tree.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import attrs

from autopilot.system.clock import Clock
from autopilot.system.process_table import Row, descendant_rows, row_of
from autopilot.system.processes import ProcessIdentity, identify, is_alive, send_signal

__all__ = [
    "KillReport",
    "become_subreaper",
    "die_with_parent",
    "kill_processes",
    "kill_tree",
    "set_not_dumpable",
]

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.02
_FREEZE_ROUNDS = 200


@attrs.frozen(kw_only=True)
class KillReport:
    """What became of a tree.

    Attributes:
        killed: processes that were alive when this call began, or appeared during it, and are gone.
        survivors: pids that are alive all the same (uninterruptible sleep, another user's), sorted.
        forced: how many were sent SIGKILL.
        exit_codes: of our direct children that ended during this call, by pid; negative for a signal.
    """

    killed: int = 0
    survivors: list[int] = attrs.field(factory=list)
    forced: int = 0
    exit_codes: Mapping[int, int] = attrs.field(factory=dict)


@functools.cache
def _libc_prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        return ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return None


def _prctl(option: int, value: int) -> bool:
    prctl = _libc_prctl()
    return prctl is not None and prctl(option, value, 0, 0, 0) == 0


def become_subreaper() -> bool:
    """Make this process the parent of every orphan among its descendants, also of those that daemonise.

    Not inherited by children. Returns False where the system has no such thing; a tree can then only be followed
    while its parents live.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_not_dumpable() -> bool:
    """Close ``/proc/<pid>/environ`` and ``mem`` of this process to others of the same user (not to root).

    An allow-listed environment is worth little if a child can read its parent's. Costs core dumps and debuggers;
    a fork inherits it, an execve undoes it.
    """
    return _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> bool:
    """Have the kernel send SIGKILL to this process when its parent dies, and not just when somebody notices.

    Not inherited by children. The parent must be single-threaded: the signal comes when the thread that forked
    ends. Returns False where the system has no such thing.
    """
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def kill_tree(
    *,
    grace_s: float,
    clock: Clock,
    first: int = signal.SIGTERM,
    exclude: Collection[int] = (),
    limit_s: float = 5.0,
    while_waiting: Callable[[], object] | None = None,
) -> KillReport:
    """End every descendant of this process, which should be a child subreaper, and collect the dead.

    Costs one system call when there is no child. Children are waited for here: their exit codes are in the report.

    Args:
        grace_s: seconds between ``first`` and SIGKILL; 0 goes to SIGKILL at once.
        first: the signal that asks.
        exclude: children of ours to leave alone, with everything below them; they are not waited for.
        limit_s: seconds that SIGKILL may take before what is left counts as a survivor.
        while_waiting: called at least every 20 ms or so, so that a caller can go on renewing its lease.
    """
    hunt = _Hunt(frozenset(exclude), clock, while_waiting or _nothing)
    if not hunt.over() and grace_s > 0:
        hunt.ask(first)
        hunt.wait(grace_s)
    if not hunt.over():
        hunt.force(limit_s)
    return hunt.report()


def _nothing() -> None:
    """The default of ``while_waiting``."""


class _Hunt:
    """One call of ``kill_tree``."""

    def __init__(self, exclude: frozenset[int], clock: Clock, while_waiting: Callable[[], object]) -> None:
        self._me = os.getpid()
        self._exclude = exclude
        self._clock = clock
        self._while_waiting = while_waiting
        self._seen: set[tuple[int, str]] = set()
        self._forced: set[tuple[int, str]] = set()
        self._exit_codes: dict[int, int] = {}

    def _prey(self) -> list[Row]:
        rows = [row for row in descendant_rows(self._me, without=self._exclude) if row.alive]
        self._seen.update((row.pid, row.start) for row in rows)
        return rows

    def over(self) -> bool:
        """Collect the dead; whether nobody is left."""
        return self._reap_own() if self._exclude else self._reap_all()

    def _reap_all(self) -> bool:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == 0:
                return False
            self._exit_codes[pid] = os.waitstatus_to_exitcode(status)

    def _reap_own(self) -> bool:
        # waitpid(-1) would take the exit codes of the excluded children from whoever waits for them.
        rows = descendant_rows(self._me, without=self._exclude)
        left = [row for row in rows if row.alive]
        for row in rows:
            if row.parent != self._me or row.alive:
                continue
            try:
                pid, status = os.waitpid(row.pid, os.WNOHANG)
            except ChildProcessError:
                continue
            if pid:
                self._exit_codes[pid] = os.waitstatus_to_exitcode(status)
        return not left and len(rows) == len(left)

    def ask(self, number: int) -> None:
        """Signal everybody once; those who are stopped must go on to hear it."""
        for row in self._prey():
            _signal_row(row, number)
            if row.state in "Tt":
                _signal_row(row, signal.SIGCONT)

    def wait(self, seconds: float) -> bool:
        """Wait until nobody is left, at most ``seconds``; whether that is so."""
        deadline = self._clock.monotonic() + seconds
        pause = _FIRST_PAUSE_S
        while not self.over():
            if self._clock.monotonic() >= deadline:
                return False
            self._while_waiting()
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
        return True

    def force(self, limit_s: float) -> None:
        """Stop all, kill all, until nobody is left or the limit is reached."""
        deadline = self._clock.monotonic() + limit_s
        while self._clock.monotonic() < deadline:
            for row in self._freeze(deadline):
                if _signal_row(row, signal.SIGKILL):
                    self._forced.add((row.pid, row.start))
            if self.wait(0.05):
                return

    def _freeze(self, deadline: float) -> list[Row]:
        stopped: dict[tuple[int, str], Row] = {}
        for _ in range(_FREEZE_ROUNDS):
            fresh = [row for row in self._prey() if (row.pid, row.start) not in stopped]
            for row in fresh:
                _signal_row(row, signal.SIGSTOP)
                stopped[row.pid, row.start] = row
            self._while_waiting()
            if not fresh or self._clock.monotonic() >= deadline:
                break
        return list(stopped.values())

    def report(self) -> KillReport:
        """What became of them."""
        left = [] if self.over() else self._prey()
        return KillReport(
            killed=len(self._seen) - len(left),
            survivors=sorted(row.pid for row in left),
            forced=len(self._forced),
            exit_codes=self._exit_codes,
        )


def _signal_row(row: Row, number: int) -> bool:
    """Signal the process of this row and no later holder of its pid; whether it was delivered."""
    try:
        pidfd = os.pidfd_open(row.pid)
    except ProcessLookupError:
        return False
    except (AttributeError, OSError):  # no pidfds here, or no descriptor left
        return _same(row) and _deliver(lambda: os.kill(row.pid, number))
    try:
        return _same(row) and _deliver(lambda: signal.pidfd_send_signal(pidfd, number))
    finally:
        os.close(pidfd)


def _same(row: Row) -> bool:
    now = row_of(row.pid)
    return now is not None and now.start == row.start


def _deliver(send: Callable[[], None]) -> bool:
    try:
        send()
    except (ProcessLookupError, PermissionError):
        return False
    return True


def kill_processes(
    processes: Iterable[ProcessIdentity],
    *,
    clock: Clock,
    grace_s: float = 0.0,
    limit_s: float = 5.0,
    whole_trees: bool = True,
    more: Callable[[], Iterable[ProcessIdentity]] = tuple,
    while_waiting: Callable[[], object] | None = None,
) -> KillReport:
    """End these processes, which need not be our children, with all that is below them.

    For what is left of an attempt whose runner and launcher are both dead. Processes of another host, boot or pid
    namespace are left alone and are no survivors.

    Args:
        grace_s: seconds between SIGTERM and SIGKILL; 0 goes to SIGKILL at once.
        limit_s: seconds that SIGKILL may take before what is left counts as a survivor.
        whole_trees: False ends just these, and what is below them goes on.
        more: who else belongs to them: asked until it names nobody new. Without it a process may be missed that is
            forked during the call by one whose parent is gone.
        while_waiting: as in ``kill_tree``.
    """
    targets = {process.pid: process for process in processes if is_alive(process)}
    wait = _Patience(clock, while_waiting or _nothing)
    if grace_s > 0:
        for process in targets.values():
            send_signal(process, signal.SIGTERM)
            send_signal(process, signal.SIGCONT)
        wait.until_dead(targets, grace_s)
    if whole_trees:
        _freeze(targets, more)
    forced = sum([send_signal(process, signal.SIGKILL) for process in targets.values()])
    wait.until_dead(targets, limit_s)
    left = sorted(pid for pid, process in targets.items() if is_alive(process))
    return KillReport(killed=len(targets) - len(left), survivors=left, forced=forced)


def _freeze(targets: dict[int, ProcessIdentity], more: Callable[[], Iterable[ProcessIdentity]]) -> None:
    """Stop them, and add who is below them or named by ``more``, until nobody new is seen: who is stopped cannot
    fork."""
    fresh = dict(targets)
    for _ in range(_FREEZE_ROUNDS):
        for process in fresh.values():
            send_signal(process, signal.SIGSTOP)
        below = [row for row in descendant_rows(*targets) if row.alive and row.pid not in targets]
        found = {process.pid: process for process in (*more(), *_identified(below))}
        fresh = {pid: found[pid] for pid in found.keys() - targets.keys() - {os.getpid()}}
        targets.update(fresh)
        if not fresh:
            return


def _identified(rows: Iterable[Row]) -> Iterator[ProcessIdentity]:
    """The processes of these rows, without those whose pid is somebody else's by now."""
    for row in rows:
        with contextlib.suppress(ProcessLookupError):
            process = identify(row.pid)
            if process.start_time == row.start:
                yield process


@attrs.frozen
class _Patience:
    clock: Clock
    while_waiting: Callable[[], object]

    def until_dead(self, targets: Mapping[int, ProcessIdentity], seconds: float) -> None:
        """Wait until none of them lives, at most ``seconds``."""
        deadline = self.clock.monotonic() + seconds
        pause = _FIRST_PAUSE_S
        while any(is_alive(process) for process in targets.values()) and self.clock.monotonic() < deadline:
            self.while_waiting()
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
