"""A program, started so that it can be supervised: own session, no terminal, a stdin that ends, two pipes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence

from autopilot.system.durable import MACHINES_FAULT
from autopilot.system.environment import encoded, encoded_variables

__all__ = ["NO_ROOM", "Program", "closed_folder", "describe_exit", "sentence_for", "start"]

_PIPE_BYTES = 256 * 1024

NO_ROOM = MACHINES_FAULT | {errno.EAGAIN}
"""What starting a program is refused with where this machine has no process, descriptor, memory or disk left."""


class Program:
    """A running program.

    Attributes:
        process: waited for only through ``wait``.
        stdout, stderr: read ends, non-blocking.
        pidfd: becomes readable when the program ends, -1 where the system has no pidfds.
    """

    def __init__(self, process: subprocess.Popen[bytes], stdout: int, stderr: int) -> None:
        self.process = process
        self.stdout = stdout
        self.stderr = stderr
        self.pidfd = _pidfd(process.pid)

    def ended(self) -> bool:
        """Whether the program itself is over, whoever still holds its pipes. It stays a zombie until ``wait``, so
        that its pid and group still mean what they meant."""
        if self.process.returncode is not None or not hasattr(os, "waitid"):
            return self.process.poll() is not None
        try:
            return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def wait(self) -> int:
        """Collect the program, which has ended; its exit code, negative for a signal."""
        return self.process.wait()

    def signal_group(self, number: int) -> None:
        """Signal the program's process group; nothing once the program has been waited for."""
        if self.process.returncode is not None:
            return
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def close(self) -> None:
        """Give back the descriptors."""
        for fd in (self.stdout, self.stderr, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.stdout = self.stderr = self.pidfd = -1


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return -1


def start(
    argv: Sequence[str],
    *,
    cwd: str,
    environment: Mapping[str, str],
    stdin: bytes | None = None,
    scratch: str | None = None,
) -> Program:
    """Start a program in a session and process group of its own.

    Args:
        argv: the program and its arguments; the program is looked up in the PATH of ``environment``.
        stdin: what it can read before end of file; None is ``/dev/null``.
        scratch: a folder for the unnamed file that holds ``stdin``; the system's by default.

    Raises:
        OSError: it cannot be started; ``sentence_for`` says why.
    """
    source = _stdin_file(stdin, scratch)
    pipes = [_pipe(), _pipe()]
    try:
        process = subprocess.Popen(
            [encoded(word) for word in argv],
            cwd=encoded(cwd),
            env=encoded_variables(environment),
            stdin=source,
            stdout=pipes[0][1],
            stderr=pipes[1][1],
            start_new_session=True,
            close_fds=True,
        )
    except BaseException:
        for reading, _ in pipes:
            os.close(reading)
        raise
    finally:
        os.close(source)
        for _, writing in pipes:
            os.close(writing)
    return Program(process, pipes[0][0], pipes[1][0])


def _pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    try:
        import fcntl

        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except (ImportError, AttributeError, OSError):  # a small pipe does too
        pass
    return reading, writing


def _stdin_file(data: bytes | None, scratch: str | None) -> int:
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    with tempfile.TemporaryFile(dir=scratch) as file:
        file.write(data)
        file.flush()
        file.seek(0)
        return os.dup(file.fileno())


def sentence_for(fault: OSError, argv: Sequence[str], cwd: str) -> tuple[str, str]:
    """What went wrong when ``start`` raised ``fault``, and how to mend it."""
    program = argv[0]
    if (closed := closed_folder(cwd)) is not None:
        return closed
    if fault.errno == errno.ENOENT and os.sep in program and os.path.exists(os.path.join(cwd, program)):
        return f"the interpreter that {program} names in its first line is not there", "correct its first line"
    if fault.errno == errno.ENOENT:
        return f"the program {program} was not found", f"install {program}, or put its folder on PATH"
    if fault.errno == errno.EACCES:
        return f"the program {program} may not be executed", f"check its mode: chmod +x {program}"
    if fault.errno == errno.ENOEXEC:
        return f"{program} is neither a program nor a script that names its interpreter", "begin it with #!/bin/sh"
    if fault.errno == errno.E2BIG:
        size = max(len(encoded(word)) for word in argv)
        return (
            f"the command line of {program} is too long for this system (its longest argument has {size} bytes)",
            "hand long texts over by stdin or in a file; one argument may have 131,071 bytes on Linux",
        )
    hint = "check `ulimit -u`, `ulimit -n`, memory and the disk" if fault.errno in NO_ROOM else ""
    return f"{program} could not be started: {os.strerror(fault.errno or 0)}", hint


def closed_folder(folder: str) -> tuple[str, str] | None:
    """Why no program can work in a folder, and how to mend it; None where one can."""
    try:
        # Its own name in it can be looked up only by those who may enter it.
        os.stat(os.path.join(encoded(folder), b"."))
    except PermissionError:
        return (
            f"the folder {folder} may not be entered",
            "check its owner and mode, and those of the folders above it",
        )
    except (OSError, ValueError):
        return f"the folder {folder} is not there", "make it, or correct the task's repo and workspace"
    return None


def describe_exit(code: int) -> str:
    """``exit code 3``, ``ended by SIGTERM``."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"
