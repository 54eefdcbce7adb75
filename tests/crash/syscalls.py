"""The unmodified program under strace: what system calls it makes, and one of them refused or fatal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

__all__ = ["CALLS", "Program", "Run", "Trouble", "why_not", "program"]

DISK = ("ENOSPC", "EIO", "EACCES")
CALLS: dict[str, tuple[str, ...]] = {
    "openat": ("ENOSPC", "EACCES", "EMFILE"),
    "read": ("EIO",),
    "pread64": ("EIO",),
    "write": ("ENOSPC", "EIO"),
    "pwrite64": ("ENOSPC", "EIO"),
    "fsync": ("EIO", "ENOSPC"),
    "rename": DISK,
    "renameat2": DISK,
    "link": DISK,
    "unlink": ("EIO", "EACCES"),
    "ftruncate": ("EIO",),
    "mkdir": DISK,
    "flock": ("ENOLCK",),
    "getdents64": ("EIO",),
    "close": ("EIO",),
    "clone": ("EAGAIN",),
    "clone3": ("EAGAIN",),
    "vfork": ("EAGAIN",),
    "execve": ("EACCES", "ENOMEM"),
    "socketpair": ("EMFILE",),
    "inotify_init1": ("EMFILE",),
    "wait4": (),
    "kill": (),
}
"""Which calls are killed at, and with what each may be refused."""

_CALL = re.compile(r"(?:(\d+) +)?(\w+)\(")


@attrs.frozen
class Trouble:
    """What happens to the ``nth`` call of a name, in each process of the program.

    Attributes:
        error: an errno's name; empty for SIGKILL.
    """

    call: str
    nth: int
    error: str

    def __str__(self) -> str:
        return f"{self.call}@{self.nth}={self.error or 'SIGKILL'}"

    @property
    def option(self) -> str:
        what = f"error={self.error}" if self.error else "signal=SIGKILL"
        return f"--inject={self.call}:{what}:when={self.nth}"


@attrs.frozen
class Run:
    """How one run of the program ended, and all that it printed."""

    exit_code: int
    said: str


def why_not() -> str:
    """Why nothing can be traced here; empty where it can."""
    try:
        subprocess.run(["strace", "-qq", "-e", "trace=none", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as fault:
        return f"strace cannot trace here: {fault}"
    with contextlib.suppress(OSError):
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
        if scope == "3" or (scope == "2" and os.geteuid() != 0):
            return f"no process may be traced here (kernel.yama.ptrace_scope is {scope})"
    return ""


class Program:
    """Runs the command line, see ``warm``."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        self._server = server

    def _ask(self, line: str) -> int:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.write(line + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def run(self, folder: Path, argv: str, *options: str) -> Run:
        """Run ``autopilotctl`` in ``folder``; ``options`` are strace's, without them it is not traced."""
        with tempfile.NamedTemporaryFile("r", errors="replace") as output:
            request = {"argv": argv.split(), "cwd": str(folder), "output": output.name}
            pid = self._ask(json.dumps(request))
            tracer = self._attach(pid, options) if options else None
            os.kill(pid, signal.SIGCONT)
            code = self._ask(f"wait {pid}")
            if tracer is not None:
                # It ends with the last process of the run: launcher and runner outlive the command.
                tracer.communicate(timeout=120)
            return Run(code, output.read())

    def _attach(self, pid: int, options: tuple[str, ...]) -> subprocess.Popen[str]:
        command = ["strace", "-f", *options, "-p", str(pid)]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        assert tracer.stderr is not None
        for line in tracer.stderr:
            if "attached" in line:
                break
        else:
            raise AssertionError("strace could not attach")
        return tracer

    def calls(self, folder: Path, argv: str) -> tuple[Run, dict[str, int]]:
        """Run it undisturbed; how often each of ``CALLS`` is made, at the most, by one of its processes."""
        with tempfile.NamedTemporaryFile("r") as trace:
            run = self.run(folder, argv, "-o", trace.name, f"--trace={','.join(f'?{call}' for call in CALLS)}")
            counts: dict[str, Counter[str]] = defaultdict(Counter)
            for line in trace:
                if found := _CALL.match(line):
                    counts[found[2]][found[1] or ""] += 1
        return run, {call: max(of.values()) for call, of in counts.items() if call in CALLS}

    def disturbed(self, folder: Path, argv: str, trouble: Trouble) -> Run:
        """Run it with one call killed or refused."""
        return self.run(folder, argv, "-o", os.devnull, f"--trace={trouble.call}", trouble.option)


@contextmanager
def program() -> Iterator[Program]:
    """The program, ready to be run."""
    command = [sys.executable, str(Path(__file__).with_name("warm.py"))]
    environ = {**os.environ, "NO_COLOR": "1"}
    environ.pop("AUTOPILOT_ROOT", None)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environ
    ) as server:
        yield Program(server)
        assert server.stdin is not None
        server.stdin.close()
