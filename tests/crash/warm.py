"""The command line with all its imports done: forks one ``autopilotctl`` for each request. Run as a script.

Nothing of the program is changed; only the interpreter's start and the imports are spared. A request is a line of
JSON with ``argv``, ``cwd`` and ``output`` (a file for what it prints); the answer is the child's pid. The child
stops itself before its first own line, so that a tracer can be attached. A line ``wait PID`` gives its exit code.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import time

from autopilot.cli.main import main

_PR_SET_DUMPABLE = 4
_PR_SET_PTRACER = 0x59616D61

HUNG = 999
PATIENCE_S = 120
"""Far more than any of these commands takes."""

REHEARSAL = (
    "task create --id one --title One --command true",
    "task create --title Two",
    "task edit one --set priority=high",
    "task list -o json",
    "dispatch tick",
    "dispatch pause",
    "dispatch resume",
    "dispatch tick",
    "task cancel two",
    "task retry --force two",
    "events gc",
    "events publish channel words",
    "events verify",
)


def rehearse() -> None:
    """Import what the commands import when they first run."""
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        os.mkdir(".autopilot", 0o700)
        with open(".autopilot/config.yaml", "w", encoding="utf-8") as config:
            config.write("durability: full\n")
        for line in REHEARSAL:
            try:
                main(line.split())
            except SystemExit:
                pass
        os.chdir("/")


def let_trace() -> None:
    """Let any process of this user trace this one, where only ancestors may (Yama)."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1))
    libc.prctl(_PR_SET_DUMPABLE, 1)


def become(request: dict[str, object]) -> list[str]:
    """Turn this child into one run of the program; its arguments."""
    os.setsid()
    os.chdir(str(request["cwd"]))
    null = os.open(os.devnull, os.O_RDONLY)
    output = os.open(str(request["output"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(output)
    let_trace()
    os.kill(os.getpid(), signal.SIGSTOP)
    return [str(word) for word in request["argv"]]  # type: ignore[attr-defined]


def end_of(pid: int) -> int:
    """Wait for a run; one that hangs is killed, and its exit code is ``HUNG``."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return HUNG


def serve() -> list[str]:
    """Answer requests until there are none; returns in children only, with the arguments of a run."""
    requests, answers = os.fdopen(os.dup(0), "r"), os.dup(1)
    os.dup2(2, 1)
    rehearse()
    for line in requests:
        if line.startswith("wait "):
            os.write(answers, f"{end_of(int(line.split()[1]))}\n".encode())
            continue
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            os.close(requests.fileno())
            return become(json.loads(line))
        os.waitpid(pid, os.WUNTRACED)
        os.write(answers, f"{pid}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(serve()))
