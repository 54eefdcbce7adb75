"""Death without a process: for the disk as final as SIGKILL, and cheap enough for every run of a machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from unittest import mock

from autopilot.errors import AutopilotError
from autopilot.system import failpoints

__all__ = ["Death", "dies_at"]

_TEARABLE = ("write", "side")


class Death(BaseException):
    """Nothing after this instant happens."""


def dies_at(
    nth: int, step: Callable[[], object], *, world: str, bury: Callable[[], None], torn: int | None = None
) -> bool:
    """Do ``step`` up to its ``nth`` failpoint, and no further; whether it came that far.

    An exception, unlike a signal, runs ``finally`` and ``except BaseException`` on its way up. So that none of it
    reaches the disk, everything has another place from the instant of death until the dead is buried. Only locks
    and descriptors are given back meanwhile, as the kernel would.

    Args:
        world: the folder in which everything lies that the step may change.
        bury: closes what the dead had open.
        torn: where the failpoint is a write, do this many bytes of it first (counted from its end if negative).
    """
    left, away, dead = nth, f"{world}.away", False

    def next_action(name: str) -> str:
        nonlocal left
        left -= 1
        if left:
            return ""
        return f"torn:{torn}" if torn is not None and name.endswith(_TEARABLE) else "kill"

    def act(action: str) -> None:
        nonlocal dead
        if action == "kill":
            dead = True
            failpoints.disarm()
            os.rename(world, away)
            raise Death

    failpoints.arm("")
    try:
        with mock.patch.multiple(failpoints, _next_action=next_action, _act=act):
            step()
    except (AutopilotError, Death):
        pass
    except Exception:
        if not dead:
            raise
    finally:
        failpoints.disarm()
        bury()
        if dead:
            shutil.rmtree(world, ignore_errors=True)  # what the dying made again
            os.rename(away, world)
    return dead
