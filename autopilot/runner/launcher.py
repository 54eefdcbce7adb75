"""The dispatcher's end of the launcher: hands over attempts, learns when their runners have ended."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import attrs

from autopilot.errors import SetupError
from autopilot.models import AttemptSpec, Lease
from autopilot.models.wire import dump
from autopilot.runner.lines import LineReader, encode_line
from autopilot.system.durable import ensure_folder, storage_error
from autopilot.system.processes import ProcessIdentity, identify, is_alive
from autopilot.system.readiness import wait_ready

__all__ = ["LOST_SIGHT", "Ended", "Launcher"]

LOST_SIGHT = 255
"""The exit code of a runner whose launcher died or was let go first: nobody knows it; the store has the truth."""

_ANSWER_S = 30.0
_LOG_BYTES = 1024 * 1024
_LINE_BYTES = 65536


@attrs.frozen(kw_only=True)
class Ended:
    """A runner that this launcher forked is gone, and nothing that it left behind is alive.

    Attributes:
        exit_code: 0: it reported a result; 96: the disk refused and it started nothing; 97: its start was refused
            and it started nothing; 98: it lost its lease and stopped everything; ``LOST_SIGHT``: the launcher
            died first; another positive number: it failed; negative: the signal that killed it.
    """

    task_id: str
    token: int
    exit_code: int


class Launcher:
    """A small warm process that forks a runner per attempt, started on the first attempt.

    It lives in a session of its own and outlives the dispatcher until its last runner has ended. Made in the
    dispatcher, used by one thread.

    Args:
        root: the ``.autopilot`` folder; must exist when ``start`` is called first.
        environ: what the launcher (and so executors, after the allow-list) may see; this process's own by default.
    """

    def __init__(self, root: str, *, environ: Mapping[str, str] | None = None) -> None:
        self._root = root
        self._environ = environ
        self._link: _Link | None = None
        self._runners: dict[tuple[str, int], ProcessIdentity | None] = {}
        self._orphaned: dict[tuple[str, int], ProcessIdentity | None] = {}
        self._ended: list[Ended] = []

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        """Fork a runner for a claimed attempt; returns when the launcher has done so.

        The runner registers itself as the lease's owner; whether that worked shows in the lease, later.

        Raises:
            SetupError: no launcher could be started, also after one restart, or it could not fork; no
                runner exists, and the caller still owns the claim.
        """
        request = encode_line({"spec": dump(spec), "lease": dump(lease)})
        known = len(self._ended)
        answer = self._ask(request) or self._ask(request)
        if answer is None:
            raise SetupError(
                f"the launcher of {self._root} ended without an answer, twice",
                hint=f"its last words are in {_log_path(self._root)}",
            )
        if "refused" in answer:
            raise SetupError(
                f"no runner could be started for {spec.task_id}: {answer['refused']}",
                hint="check the limits on processes and memory (`ulimit -a`)",
            )
        # The end of a runner that breaks at once may come in one piece with the answer.
        if not any((end.task_id, end.token) == (spec.task_id, spec.token) for end in self._ended[known:]):
            self._runners[spec.task_id, spec.token] = _identity(int(answer["started"]))

    def poll(self) -> list[Ended]:
        """The runners that ended since the last call, in order; never blocks. A launcher that died is noticed
        here: its runners go on, and their ends are told with the exit code ``LOST_SIGHT``."""
        while self._link is not None and self._link.readable(0):
            self._receive(self._link)
        self._look_after_orphaned()
        ended, self._ended = self._ended, []
        return ended

    def fileno(self) -> int:
        """A descriptor for ``select`` that is readable when ``poll`` has something; -1 while there is no launcher.
        It changes when the launcher is restarted, so ask anew before each ``select``."""
        return -1 if self._link is None else self._link.socket.fileno()

    def running(self) -> int:
        """How many runners were started by this object and have not been reported as ended."""
        return len(self._runners) + len(self._orphaned)

    def has(self, task_id: str, token: int) -> bool:
        """Whether a runner of this attempt was started by this object and has not been reported as ended."""
        return (task_id, token) in self._runners or (task_id, token) in self._orphaned

    def close(self) -> None:
        """Let go of the launcher: it ends when its last runner has ended. Repeats are harmless; ``start`` would
        begin with another one."""
        if self._link is not None:
            self._link.close()
            self._link = None
        self._orphaned.update(self._runners)
        self._runners.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, request: bytes) -> dict[str, Any] | None:
        """Send a request and wait for its answer; None when the launcher is gone."""
        if self._link is None:
            self._link = _Link.open(self._root, os.environ if self._environ is None else self._environ)
        link = self._link
        if not link.send(request):
            self.close()
            return None
        deadline = time.monotonic() + _ANSWER_S
        while self._link is link:
            if not link.readable(max(0.0, deadline - time.monotonic())):
                # Its answer may still come, and must not be taken for that of the next request.
                self.close()
                raise SetupError(
                    f"the launcher of {self._root} gives no answer for {_ANSWER_S:g} s",
                    hint=f"end process {link.pid}; running attempts go on and are adopted",
                )
            for answer in self._receive(link):
                return answer
        return None

    def _receive(self, link: _Link) -> list[dict[str, Any]]:
        """Read once; keep what tells an end, give back what answers a request."""
        answers = []
        for message in link.lines.read():
            if "ended" in message:
                self._note_end(message["ended"], message["token"], message["exit_code"])
            else:
                answers.append(message)
        if link.lines.ended and not answers:
            self.close()
        return answers

    def _note_end(self, task_id: str, token: int, exit_code: int) -> None:
        self._runners.pop((task_id, token), None)
        self._ended.append(Ended(task_id=task_id, token=token, exit_code=exit_code))

    def _look_after_orphaned(self) -> None:
        for (task_id, token), process in list(self._orphaned.items()):
            if process is None or not is_alive(process):
                del self._orphaned[task_id, token]
                self._note_end(task_id, token, LOST_SIGHT)


@attrs.define
class _Link:
    """A launcher process and the socket to it."""

    pid: int
    socket: socket.socket
    lines: LineReader

    @classmethod
    def open(cls, root: str, environ: Mapping[str, str]) -> _Link:
        ours, theirs = socket.socketpair()
        # One that was stopped reads nothing, and a long request would wait for it for ever.
        ours.settimeout(_ANSWER_S)
        with theirs:
            pid = _spawn(root, theirs.fileno(), environ)
        return cls(pid, ours, LineReader(ours.fileno(), limit=_LINE_BYTES))

    def send(self, data: bytes) -> bool:
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return True

    def readable(self, timeout: float) -> bool:
        return bool(wait_ready([self.socket.fileno()], timeout=timeout)[0])

    def close(self) -> None:
        self.socket.close()
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pass


def _spawn(root: str, fd: int, environ: Mapping[str, str]) -> int:
    # -P keeps the working folder, which may be an agent's, out of the import path.
    argv = [sys.executable, "-P", "-m", "autopilot.runner", root, str(fd)]
    os.set_inheritable(fd, True)
    log = _open_log(root)
    try:
        return os.posix_spawn(
            sys.executable,
            argv,
            environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
        )
    except OSError as fault:
        raise SetupError(
            f"the launcher could not be started: {os.strerror(fault.errno or 0)}",
            hint="check the limits on processes and memory (`ulimit -a`)",
        ) from fault
    finally:
        os.close(log)


def _log_path(root: str) -> str:
    return os.path.join(root, "state", "launcher.log")


def _open_log(root: str) -> int:
    path = _log_path(root)
    ensure_folder(os.path.dirname(path))
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        if os.fstat(fd).st_size > _LOG_BYTES:
            os.ftruncate(fd, 0)
    except OSError as fault:
        raise storage_error(fault, path) from fault
    return fd


def _identity(pid: int) -> ProcessIdentity | None:
    try:
        return identify(pid)
    except ProcessLookupError:
        return None
