"""Children of fork: one that does some work and is judged by how it ends, and many that begin at once."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable
from pathlib import Path

__all__ = ["in_child", "join", "say", "start_children"]


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child; its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def start_children(count: int, work: Callable[[int], None]) -> list[int]:
    """Children that all begin at the same moment."""
    gate, opener = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.close(opener)
                os.read(gate, 1)
                work(number)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(gate)
    os.close(opener)
    return pids


def join(pids: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def say(path: Path, *words: object) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    os.close(fd)
