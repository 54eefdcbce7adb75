"""Whether a lease's owner is dead: pure rules about identities and monotonic time. Wall time decides nothing.

* Same host and pid namespace: the kernel knows, at once and exactly.
* Another boot of this host: dead.
* Another host or pid namespace: only the beat can tell, and its clock is not ours. It counts as run out when it
  has not *changed* for the lease's time and a grace, measured on our own monotonic clock since we first saw it.
* A live owner whose beat is too old has been stopped or swapped out: its lease has run out (``EXPIRED``), and it
  must be ended before the task is taken from it. Who was away for as long itself looks twice: the whole machine
  may have stood still.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import attrs

from autopilot.models import Lease
from autopilot.store.protocol import holds
from autopilot.system.clock import Clock
from autopilot.system.processes import ProcessIdentity, is_alive

__all__ = ["GRACE_S", "TTL_LONGEST_S", "TTL_SHORTEST_S", "BeatWatch", "Liveness", "verdict"]

GRACE_S = 10.0
"""Seconds added to the time of a lease whose owner we cannot see: its beats may be slow to reach us."""

TTL_SHORTEST_S = 1.0
TTL_LONGEST_S = 3600.0
"""A lease that claims more, or less, is taken for nonsense and clamped."""

_AHEAD_S = 1.0


class Liveness(StrEnum):
    """What is known of a lease's owner."""

    ALIVE = "alive"
    DEAD = "dead"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


@attrs.define
class Sight:
    """A beat, as it was seen: since when it is this one, the last look, and whether it was forgiven its age."""

    beat: float
    since: float
    looked: float
    forgiven: bool = False


class BeatWatch:
    """Remembers when each lease's beat last changed, on our own monotonic clock."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int, ProcessIdentity], Sight] = {}

    def look(self, lease: Lease, now: float) -> float:
        """Look at a lease; the seconds since the last look at it, 0 on the first."""
        key = (lease.task_id, lease.token, lease.owner)
        sight = self._seen.get(key)
        if sight is None or sight.beat != lease.beat or now < sight.looked:
            last = now if sight is None else min(now, sight.looked)
            self._seen[key] = Sight(lease.beat, now, now)
            return now - last
        last, sight.looked = sight.looked, now
        return now - last

    def unchanged_for(self, lease: Lease, now: float) -> float:
        """Seconds for which the beat has been seen as it was at the last look."""
        return now - self._seen[lease.task_id, lease.token, lease.owner].since

    def forgive(self, lease: Lease) -> bool:
        """Whether this beat is forgiven for being old: once."""
        sight = self._seen[lease.task_id, lease.token, lease.owner]
        first, sight.forgiven = not sight.forgiven, True
        return first

    def keep_only(self, leases: list[Lease]) -> None:
        """Forget all leases but these."""
        wanted = {(lease.task_id, lease.token, lease.owner) for lease in leases}
        self._seen = {key: value for key, value in self._seen.items() if key in wanted}


def verdict(
    lease: Lease,
    clock: Clock,
    observed: BeatWatch,
    *,
    alive: Callable[[ProcessIdentity], bool | None] = is_alive,
) -> Liveness:
    """What is known of the owner of ``lease``, as the store just read it.

    Args:
        observed: the memory of the caller, who asks again on each tick.
        alive: asks the kernel; None when it cannot know.

    Returns:
        DEAD for a lease that nobody holds, too. UNKNOWN: cannot be seen from here, and not yet silent for
        long enough.
    """
    known = alive(lease.owner) if holds(lease) else False
    if known is False:
        return Liveness.DEAD
    now = clock.monotonic()
    ttl = min(max(lease.ttl_s, TTL_SHORTEST_S), TTL_LONGEST_S)
    away = observed.look(lease, now)
    silent = observed.unchanged_for(lease, now)
    if known is None:
        return Liveness.EXPIRED if silent > ttl + GRACE_S else Liveness.UNKNOWN
    if 0.0 <= lease.beat <= now + _AHEAD_S:
        # Our own boot's clock: the age is exact, also for a beat that we see for the first time.
        silent = now - lease.beat
    if silent <= ttl or (away > ttl + GRACE_S and observed.forgive(lease)):
        return Liveness.ALIVE
    return Liveness.EXPIRED
