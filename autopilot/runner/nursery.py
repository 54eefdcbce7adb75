"""The launcher process: forks a runner per request, and clears up after those that are killed.

Single-threaded and small, because it is what gets forked. It is a child subreaper: the processes of a runner that
dies are reparented to it. Living runners are subreapers themselves, so a child that it did not fork is an orphan
of a dead runner, and is killed. Only when no orphan is left is a runner's end told, and ``reaped.json`` written.
"""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable
from typing import Any

import attrs

from autopilot.errors import StorageError
from autopilot.runner.folders import write_reaped
from autopilot.runner.lines import LineReader, encode_line
from autopilot.runner.notes import note
from autopilot.runner.wakeup import Wakeup
from autopilot.system.clock import Clock
from autopilot.system.readiness import wait_ready
from autopilot.system.tree import kill_tree

__all__ = ["Job", "Nursery"]

_PATIENCE_S = 0.5
_RETRY_S = 0.5
_MOST_TRIES = 20
_CRASHED = 70
_REQUEST_LIMIT = 64 * 1024 * 1024

RunJob = Callable[[dict[str, Any], dict[str, Any]], int]
"""Does one attempt in a fresh child (spec and lease as JSON values) and gives the exit code."""


@attrs.define(kw_only=True)
class Job:
    """A runner: whose it is, and, once it has ended, how, and how often its end could not be written down."""

    task_id: str
    token: int
    run_dir: str
    exit_code: int = 0
    tries: int = 0


class Nursery:
    """The launcher's loop.

    Args:
        channel: the socket to the dispatcher; its end means that no more requests come.
        run: what a forked child does.
        before_fork: called with each spec, to import what this attempt will need, once for all its successors.
    """

    def __init__(
        self,
        channel: socket.socket,
        run: RunJob,
        *,
        clock: Clock,
        before_fork: Callable[[dict[str, Any]], None] = lambda spec: None,
    ) -> None:
        self._channel = channel
        self._requests = LineReader(channel.fileno(), limit=_REQUEST_LIMIT)
        self._run = run
        self._before_fork = before_fork
        self._out = b""
        self._jobs: dict[int, Job] = {}
        self._ended: list[Job] = []
        self._killed = 0
        self._told: list[int] = []
        self._clock = clock
        self._wakeup = Wakeup()

    def serve(self) -> None:
        """Work until the dispatcher is gone and the last runner and its orphans are."""
        self._channel.setblocking(False)
        while not self._requests.ended or self._jobs or self._ended:
            self._wait()
            for request in [] if self._requests.ended else self._requests.read():
                self._start(request)
            self._reap()
            if self._ended:
                self._bury()

    # ------------------------------------------------------------------ the channel

    def _wait(self) -> None:
        reads = [self._wakeup.fd] + ([] if self._requests.ended else [self._channel.fileno()])
        writes = [self._channel.fileno()] if self._out else []
        _, writable = wait_ready(reads, writes, timeout=self._pause())
        self._wakeup.drain()
        if writable:
            self._flush()

    def _pause(self) -> float | None:
        return _RETRY_S if self._ended else None

    def _tell(self, message: dict[str, Any]) -> None:
        self._out += encode_line(message)
        self._flush()

    def _flush(self) -> None:
        try:
            self._out = self._out[self._channel.send(self._out) :]
        except BlockingIOError:
            pass
        except OSError:  # nobody listens any more: the store is where ends are found then
            self._out = b""

    # ------------------------------------------------------------------ births

    def _start(self, request: dict[str, Any]) -> None:
        try:
            spec, lease = request["spec"], request["lease"]
            job = Job(task_id=str(spec["task_id"]), token=int(spec["token"]), run_dir=str(spec["run_dir"]))
            self._before_fork(spec)
            pid = os.fork()
        except OSError as fault:
            self._tell({"refused": f"could not fork: {os.strerror(fault.errno or 0)}"})
            return
        except (KeyError, TypeError, ValueError) as fault:
            self._tell({"refused": f"the request makes no sense: {fault!r}"})
            return
        if pid == 0:
            self._live(spec, lease)
        self._jobs[pid] = job
        self._tell({"started": pid})

    def _live(self, spec: dict[str, Any], lease: dict[str, Any]) -> None:
        code = _CRASHED
        try:
            self._channel.close()
            self._wakeup.close()
            code = self._run(spec, lease)
        except BaseException:  # whatever it is, this child must never return into the launcher's loop
            note(traceback.format_exc())
        finally:
            os._exit(code)

    # ------------------------------------------------------------------ deaths

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._jobs.pop(pid, None)
            if job is not None:
                job.exit_code = os.waitstatus_to_exitcode(status)
                self._ended.append(job)

    def _bury(self) -> None:
        # A runner that ends with 0 has seen its last child go. Any other may have left processes to us, and whose
        # they are cannot be told apart: none of those ends is announced before all orphans are gone.
        clean, torn = _split(self._ended)
        if torn and self._kill_orphans():
            clean, torn = self._ended, []
        self._ended = torn + [job for job in clean if not self._announce(job)]
        if not torn:
            self._killed = 0

    def _kill_orphans(self) -> bool:
        report = kill_tree(grace_s=0, clock=self._clock, exclude=frozenset(self._jobs), limit_s=_PATIENCE_S)
        self._killed += report.killed
        if report.survivors and report.survivors != self._told:
            self._told = report.survivors
            note(f"not dead after SIGKILL: {report.survivors}")
        return not report.survivors

    def _announce(self, job: Job) -> bool:
        try:
            if job.exit_code != 0:
                write_reaped(job.run_dir, exit_code=job.exit_code, killed=self._killed)
        except (StorageError, OSError, ValueError) as fault:
            note(f"{job.task_id}.{job.token}: {fault}")
            job.tries += 1
            if job.tries < _MOST_TRIES and not isinstance(fault, ValueError):
                return False
        self._tell({"ended": job.task_id, "token": job.token, "exit_code": job.exit_code})
        return True


def _split(jobs: list[Job]) -> tuple[list[Job], list[Job]]:
    return [job for job in jobs if job.exit_code == 0], [job for job in jobs if job.exit_code != 0]
