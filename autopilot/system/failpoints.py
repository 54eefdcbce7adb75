"""Named places where tests make the process die or an operation fail.

Off, a failpoint costs one comparison. On, ``AUTOPILOT_FAILPOINTS`` holds ``name=action[@n]`` items separated
by commas: at the n-th pass (the first by default) of that name, do the action. The name ``*`` counts the passes
of all names.

Actions: ``kill`` (SIGKILL to ourselves), ``exit:N``, ``stop`` (SIGSTOP), ``sleep:S``, an errno name such as
``ENOSPC`` (raises OSError), and ``torn:K`` for failpoints that write (only the first K bytes reach the file, then
SIGKILL; a negative K counts from the end, ``half`` is half of them). ``AUTOPILOT_FAILPOINTS_LOG`` names a file
that gets a line for every pass.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter

__all__ = ["active", "arm", "disarm", "failpoint", "write_all"]

_armed: dict[tuple[str, int], str] | None = None
_passes: Counter[str] = Counter()
_log_path: str | None = None


def arm(spec: str, log_path: str | None = None) -> None:
    """Switch failpoints on for this process (tests; children read the environment)."""
    global _armed, _log_path
    _passes.clear()
    _log_path = log_path
    _armed = {}
    for item in filter(None, spec.split(",")):
        name, _, action = item.partition("=")
        action, _, nth = action.partition("@")
        _armed[name, int(nth or 1)] = action


def disarm() -> None:
    """Switch failpoints off."""
    global _armed
    _armed = None
    _passes.clear()


def active() -> bool:
    """Whether failpoints are on in this process."""
    return _armed is not None


def failpoint(name: str) -> None:
    """Pass the place ``name``; does nothing unless a test armed it."""
    if _armed is not None:
        _act(_next_action(name))


def write_all(fd: int, data: bytes, name: str) -> None:
    """Write all of ``data`` to ``fd``; the failpoint ``name`` may tear the write.

    Raises:
        OSError: as ``os.write`` does.
    """
    if _armed is not None:
        action = _next_action(name)
        if action.startswith("torn:"):
            length = action.removeprefix("torn:")
            os.write(fd, data[: len(data) // 2 if length == "half" else int(length)])
            action = "kill"
        _act(action)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _next_action(name: str) -> str:
    assert _armed is not None
    _passes[name] += 1
    if _log_path:
        fd = os.open(_log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, f"{name}\n".encode())
        finally:
            os.close(fd)
    return _armed.get((name, _passes[name])) or _armed.get(("*", _passes.total()), "")


def _act(action: str) -> None:
    verb, _, argument = action.partition(":")
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif verb == "exit":
        os._exit(int(argument))
    elif verb == "sleep":
        time.sleep(float(argument))
    elif verb:
        number = getattr(errno, verb)
        raise OSError(number, os.strerror(number))


if "AUTOPILOT_FAILPOINTS" in os.environ:
    arm(os.environ["AUTOPILOT_FAILPOINTS"], os.environ.get("AUTOPILOT_FAILPOINTS_LOG"))
