"""Fork a child of the runner that runs Python code of others, with nothing of ours within its reach."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping

import attrs

from autopilot.runner.wakeup import Wakeup
from autopilot.system.environment import encoded_variables
from autopilot.system.failpoints import write_all
from autopilot.system.tree import die_with_parent

__all__ = ["ChildWork", "Forked", "Setting", "fork_child"]

_CRASHED = 70
_MOST_FDS = 65536


ChildWork = Callable[[Callable[[bytes], None]], int]
"""Gets a function that hands a line to the runner, and gives the exit code."""


@attrs.frozen
class Setting:
    """Where a child finds itself.

    Attributes:
        environment: all that it may see.
        workdir: its working folder, where that can be entered; whoever needs it says why not.
        wakeup: the runner's, for the child to let go of.
        parent: the runner's pid.
    """

    environment: Mapping[str, str]
    workdir: str
    wakeup: Wakeup
    parent: int = attrs.field(factory=os.getpid)


@attrs.frozen
class Forked:
    """A child and the read ends of its two pipes, non-blocking: what it says to us, and what it prints."""

    pid: int
    talk: int
    log: int

    def close(self) -> None:
        """Give the descriptors back."""
        os.close(self.talk)
        os.close(self.log)


def fork_child(work: ChildWork, setting: Setting) -> Forked:
    """Run ``work`` in a child with a session of its own, in its setting, and with no descriptor but its pipes.

    The child dies with its parent, where the system can do that.

    Raises:
        OSError: no more processes or descriptors.
    """
    talk, talking = os.pipe()
    log, printing = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _become_child(work, setting, talking, printing)
    except OSError:
        os.close(talk)
        os.close(log)
        raise
    finally:
        os.close(talking)
        os.close(printing)
    for fd in (talk, log):
        os.set_blocking(fd, False)
    return Forked(pid, talk, log)


def _become_child(work: ChildWork, setting: Setting, talking: int, printing: int) -> None:
    code = _CRASHED
    try:
        die_with_parent()
        if os.getppid() != setting.parent:  # it died before we could say so
            return
        os.setsid()
        setting.wakeup.close()
        talking = _keep_only(talking, printing)
        _settle(setting)
        code = work(lambda line: write_all(talking, line, "host.say"))
    except BaseException:  # this child must never return into the runner's code
        traceback.print_exc()
    finally:
        _flush()
        os._exit(code)


def _settle(setting: Setting) -> None:
    os.environ.clear()
    os.environb.update(encoded_variables(setting.environment))
    with contextlib.suppress(OSError):
        os.chdir(setting.workdir)


def _keep_only(talking: int, printing: int) -> int:
    """Standard descriptors, and 3 for talking; a lock or lease file of the runner must not stay open in here."""
    talking = os.dup(talking) if talking < 3 else talking
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (printing, 1), (printing, 2)):
        os.dup2(source, target)
    if talking != 3:
        os.dup2(talking, 3, inheritable=False)
    os.closerange(4, _MOST_FDS)
    return 3


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
