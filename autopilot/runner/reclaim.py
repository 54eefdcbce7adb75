"""Prove the predecessor dead: before a task is taken back, nothing of its last attempt may be alive."""

from __future__ import annotations

import attrs

from autopilot.models import Lease
from autopilot.system.clock import Clock

__all__ = ["Cleared", "Deferred", "clear"]


@attrs.frozen(kw_only=True)
class Cleared:
    """Nothing of the attempt is alive. ``killed``: how many processes had to be killed for that."""

    killed: int = 0


@attrs.frozen(kw_only=True)
class Deferred:
    """Something of the attempt is or may be alive: leave the task alone and ask again on the next tick.

    ``reason``: a sentence for people.
    """

    reason: str


def clear(lease: Lease, run_dir: str, *, clock: Clock, grace_s: float = 2.0) -> Cleared | Deferred:
    """End what is left of an attempt whose owner is dead or whose lease has run out.

    The caller has judged that the lease may be taken back (owner dead, or ``beat`` older than ``ttl_s``), and after
    ``Cleared`` it commits that in the store, which refuses if the lease has changed hands meanwhile. A
    dispatcher that owns a mere claim is never killed: the start gate makes its late runner harmless.

    Args:
        lease: as it was read from the store.
        run_dir: ``.autopilot/runs/<id>/<attempt>`` of this attempt.
        grace_s: how long to wait for killed processes to go, and for the launcher's word, in this call.
    """
    raise NotImplementedError
