"""Prove the predecessor dead: before a task is taken back, nothing of its last attempt may be alive."""

from __future__ import annotations

import json
import os
import signal
import time

import attrs

from autopilot.errors import StorageError
from autopilot.models import Lease, LeaseState
from autopilot.runner.folders import make_run_folder, mark_of, read_reaped
from autopilot.system.clock import Clock
from autopilot.system.durable import read_file, replace_file
from autopilot.system.failpoints import failpoint
from autopilot.system.marks import marked_processes
from autopilot.system.processes import ProcessIdentity, boot_id, is_alive, send_signal
from autopilot.system.tree import kill_processes

__all__ = ["Cleared", "Deferred", "clear", "end_marked"]

_ROUNDS = 20
_PAUSE_S = 0.01


@attrs.frozen(kw_only=True)
class Cleared:
    """Nothing of the attempt is alive. ``killed``: how many processes had to be killed for that."""

    killed: int = 0


@attrs.frozen(kw_only=True)
class Deferred:
    """Something of the attempt is or may be alive: leave the task alone and ask again on the next tick.

    ``reason``: a sentence for people.
    """

    reason: str


def clear(lease: Lease, run_dir: str, *, clock: Clock, grace_s: float = 2.0) -> Cleared | Deferred:
    """End what is left of an attempt whose owner is dead or whose lease has run out.

    The caller has judged that the lease may be taken back (owner dead, or ``beat`` older than ``ttl_s``), and
    after ``Cleared`` it commits that in the store, which refuses if the lease has changed hands meanwhile.

    Of a mere claim nothing is ever killed: the start gate makes its late runner harmless, and what wears its mark
    by now is the work of a runner that has become its owner since the lease was read. Of an owner on another host
    or in another pid namespace nothing can be seen or killed from here: its lease's time and grace are all there
    is, and its late result is refused by its token.

    Args:
        lease: as it was read from the store.
        run_dir: ``.autopilot/runs/<id>/<attempt>`` of this attempt.
        grace_s: how long to wait for killed processes to go, and for the launcher's word, in this call.
    """
    if lease.state is LeaseState.CLAIMED or is_alive(lease.owner) is None:
        return Cleared()
    report = kill_processes([lease.owner], clock=clock, limit_s=grace_s)
    if report.survivors:
        return _deferred(report.survivors)
    failpoint("reclaim.killed")
    waiting = _wait_for_guardian(lease, run_dir, clock, grace_s)
    if waiting is not None:
        return waiting
    return end_marked(run_dir, clock=clock, grace_s=grace_s, killed=report.killed)


def _wait_for_guardian(lease: Lease, run_dir: str, clock: Clock, grace_s: float) -> Deferred | None:
    """The launcher catches the orphans of its runners and says when they are dead; one that says nothing for the
    time of a lease is ended itself."""
    guardian = lease.guardian
    if guardian is None or not is_alive(guardian) or read_reaped(run_dir) is not None:
        return None
    send_signal(guardian, signal.SIGCONT)
    since = _first_asked(run_dir, clock)
    deadline = clock.monotonic() + grace_s
    while clock.monotonic() < deadline:
        if read_reaped(run_dir) is not None or not is_alive(guardian):
            return None
        time.sleep(_PAUSE_S)
    if clock.monotonic() - since < lease.ttl_s:
        return Deferred(
            reason=f"the launcher (process {guardian.pid}) is still ending what the attempt left behind"
        )
    # Only the launcher: the runners below it may be at work for other tasks.
    kill_processes([guardian], clock=clock, limit_s=grace_s, whole_trees=False)
    return None


def _first_asked(run_dir: str, clock: Clock) -> float:
    """When this attempt's reclaim was first tried, by whichever dispatcher: it is noted in the run folder."""
    path = os.path.join(run_dir, "reclaim.json")
    try:
        noted = json.loads(read_file(path, limit=4096))
        if noted["boot"] == boot_id():
            return min(float(noted["monotonic"]), clock.monotonic())
    except (OSError, ValueError, KeyError, TypeError):
        pass
    now = clock.monotonic()
    try:
        make_run_folder(run_dir)
        note = json.dumps({"boot": boot_id(), "monotonic": now}).encode("ascii")
        replace_file(path, note, point="reclaim.note", sync=False)
    except (StorageError, OSError):
        pass
    return now


def end_marked(run_dir: str, *, clock: Clock, grace_s: float = 2.0, killed: int = 0) -> Cleared | Deferred:
    """End those that carry the attempt's mark, its runner among them, until there are none.

    Args:
        run_dir: ``.autopilot/runs/<id>/<attempt>`` of this attempt.
        grace_s: how long to wait for killed processes to go.
        killed: how many were killed before.
    """

    def marked() -> list[ProcessIdentity]:
        return marked_processes(mark_of(run_dir))

    for _ in range(_ROUNDS):
        found = marked()
        if not found:
            return Cleared(killed=killed)
        report = kill_processes(found, clock=clock, limit_s=grace_s, more=marked)
        killed += report.killed
        if report.survivors:
            return _deferred(report.survivors)
    return Deferred(reason="the attempt's processes multiply faster than they can be ended")


def _deferred(survivors: list[int]) -> Deferred:
    pids = ", ".join(str(pid) for pid in survivors)
    return Deferred(reason=f"not dead after SIGKILL, so the task waits: process {pids}")
