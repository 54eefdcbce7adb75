"""Any fault as one of ours: a sentence, a hint, a code for programs and an exit code."""

from __future__ import annotations

import errno

from autopilot.errors import AutopilotError
from autopilot.system.durable import storage_error

__all__ = ["UNEXPECTED", "as_ours"]

UNEXPECTED = "unexpected"
"""The ``code`` of a fault that nobody foresaw: a bug."""


def as_ours(fault: Exception, place: str = "the disk") -> AutopilotError:
    """The fault itself where it is one of ours, else what people are to be told of it.

    Args:
        place: what was used, for a fault of the operating system that does not say so.
    """
    told: Exception = OSError(errno.ENOMEM, "") if isinstance(fault, MemoryError) else fault
    if isinstance(told, OSError):
        told = storage_error(told, str(told.filename or place), "use")
    if isinstance(told, AutopilotError):
        return told
    return AutopilotError(
        f"unexpected fault: {type(fault).__name__}: {fault}",
        hint="this is a bug in Autopilot or in a plugin: run the command again with AUTOPILOT_DEBUG=1 and report "
        "the traceback together with the output of `autopilotctl doctor`",
        code=UNEXPECTED,
    )
