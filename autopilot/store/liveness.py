"""Whether a lease's owner is dead: pure rules about identities and monotonic time. Wall time decides nothing.

* Same host and pid namespace: the kernel knows, at once and exactly.
* Another boot of this host: dead.
* Another host or pid namespace: only the beat can tell, and its clock is not ours. It counts as run out when it
  has not *changed* for the lease's time and a grace, measured on our own monotonic clock since we first saw it.
* A live owner whose beat is too old has been stopped or swapped out: its lease has run out (``EXPIRED``), and it
  must be ended before the task is taken from it.
* Who itself did not look for more than half a lease's time waits for as long before it calls a beat too old, once
  for each beat: the whole machine may have stood still.
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
    """A beat, as it was seen: since when it is this one, the last look, and when we came back from being away."""

    beat: float
    since: float
    looked: float
    back: float = float("-inf")


class BeatWatch:
    """Remembers when each lease's beat last changed, on our own monotonic clock.

    Args:
        now: monotonic seconds; who sees a lease for the first time may have been away since the round before, or
            since this; by default it was not.
    """

    def __init__(self, now: float = float("inf")) -> None:
        self._seen: dict[tuple[str, int, ProcessIdentity], Sight] = {}
        self._last_round = self._this_round = now

    def look(self, lease: Lease, now: float, *, seldom_s: float) -> Sight:
        """Look at a lease.

        Args:
            seldom_s: who has not looked for longer than this was away.
        """
        key = (lease.task_id, lease.token, lease.owner)
        sight = self._seen.get(key)
        away = now - (self._last_round if sight is None else sight.looked)
        if sight is None or sight.beat != lease.beat or away < 0:
            sight = self._seen[key] = Sight(lease.beat, now, now)
        # Once for each beat, or who always looks seldom would be patient for ever.
        if away > seldom_s and sight.back < sight.since:
            sight.back = now
        sight.looked = now
        return sight

    def keep_only(self, leases: list[Lease], now: float) -> None:
        """Begin a round: forget all leases but these, which will be looked at."""
        self._last_round, self._this_round = self._this_round, now
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
    sight = observed.look(lease, now, seldom_s=ttl / 2)
    patient = now - sight.back <= ttl / 2
    silent = now - sight.since
    if known is None:
        return Liveness.EXPIRED if silent > ttl + GRACE_S and not patient else Liveness.UNKNOWN
    if 0.0 <= lease.beat <= now + _AHEAD_S:
        # Our own boot's clock: the age is exact, also for a beat that we see for the first time.
        silent = now - lease.beat
    return Liveness.EXPIRED if silent > ttl and not patient else Liveness.ALIVE
