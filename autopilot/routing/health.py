"""Who can be tried now? A breaker for each executor and one for each quota pool.

Fed by infrastructure errors and rate limits only, which never touch quality; see ``docs/explanation/routing.md``.
Two executors on one account name the same pool, and rest together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import attrs

from autopilot.models import POLICIES, HealthEffect, OutcomeKind
from autopilot.routing.breaker import Breaker, BreakerState
from autopilot.routing.parameters import Parameters

__all__ = ["HealthBook", "RestState", "format_epoch"]

_LONGEST_MESSAGE = 300


@attrs.frozen(kw_only=True)
class RestState:
    """Whether an executor may be tried.

    Attributes:
        ok: no rest is running.
        until: epoch seconds when the rest ends, None where there is none.
        reason: why it rests or rested; empty where all is well.
        hint: how to mend it; empty where waiting is enough.
        half_open: the rest is over, and one attempt may try whether things work again.
        probing: an attempt was let through for that and has not come back: ``executor`` when it tries the
            executor, ``pool`` when it tries its pool, else empty. While it runs (the leases know), nobody follows.
    """

    ok: bool
    until: float | None = None
    reason: str = ""
    hint: str = ""
    half_open: bool = False
    probing: str = ""


class HealthBook:
    """The breakers of all executors and pools. Time enters through arguments only (epoch seconds)."""

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._executors: dict[str, Breaker] = {}
        self._pools: dict[str, Breaker] = {}
        self._pool_of: dict[str, str] = {}

    @property
    def calm(self) -> bool:
        """No breaker is open or half-open, so that nobody needs to be told who was started."""
        if not self._executors and not self._pools:
            return True
        return not any(b.tripped for book in (self._executors, self._pools) for b in book.values())

    def observe(
        self,
        executor: str,
        pool: str,
        kind: OutcomeKind | str,
        now: float,
        reset_at: float | None = None,
        *,
        message: str = "",
        judged: bool | None = None,
    ) -> None:
        """Learn how an attempt ended.

        Args:
            pool: the executor's quota pool; empty for one of its own.
            kind: the outcome; what it does to the health is in ``models.POLICIES``.
            reset_at: epoch seconds when the provider says that its limit ends.
            message: what happened, for the reason.
            judged: whether the work was judged, where that is known better than by the kind.

        Raises:
            ValueError: the kind is no outcome.
        """
        kind = kind if isinstance(kind, OutcomeKind) else OutcomeKind(kind)
        policy, p = POLICIES[kind], self.parameters
        effect = policy.health
        pool = self._pool(executor, pool)
        self.ended(executor, pool)
        if effect is HealthEffect.NONE:
            if policy.judged if judged is None else judged:
                self._judged(self._executors, executor, now)
                self._judged(self._pools, pool, now)
            return
        reason = _sentence(kind, message)
        if effect is HealthEffect.POOL_RESTS:
            announced = reset_at if reset_at is not None and math.isfinite(reset_at) else None
            self._pools.setdefault(pool, Breaker()).rest(now, p, announced, reason)
        elif effect is HealthEffect.BREAKER:
            self._executors.setdefault(executor, Breaker()).fault(now, p, reason)
        else:
            self._executors.setdefault(executor, Breaker()).cap(now, p, reason, _mend(executor, kind))

    def _judged(self, book: dict[str, Breaker], name: str, now: float) -> None:
        breaker = book.get(name)
        if breaker is not None:
            breaker.judged(now, self.parameters)
            if breaker.spotless:
                del book[name]

    def started(self, executor: str, now: float, attempt: str, pool: str = "") -> None:
        """Note that ``attempt`` was given to the executor: the one that a half-open breaker lets through.

        Call it after each claim, so that the next decision of the same tick knows; folding the event of the
        decision does the same, and doing both is harmless.
        """
        for breaker in self._breakers(executor, self._pool(executor, pool)):
            if breaker.state(now) is BreakerState.HALF_OPEN:
                breaker.probe = attempt

    def ended(self, executor: str, pool: str = "") -> None:
        """Note that an attempt ended, whatever it says about health (released, reclaimed and lost say nothing)."""
        for breaker in self._breakers(executor, self._pool(executor, pool)):
            breaker.probe = ""

    def state(self, executor: str, pool: str, now: float) -> RestState:
        """Whether the executor may be tried at ``now``; the longer rest of executor and pool counts."""
        own = self._executors.get(executor)
        shared = self._pools.get(pool or executor)
        if own is None and shared is None:
            return _FINE
        rests = [(b.deadline(now), name, b) for name, b in (("", own), (pool or executor, shared)) if b]
        until, name, breaker = max(rests, key=lambda rest: rest[0])
        if not until:
            return _passing(own, shared, now)
        who = f"pool {name} rests" if name else "rests"
        reason = f"{who} until {format_epoch(until)}: {breaker.reason}"
        return RestState(ok=False, until=until, reason=reason, hint=breaker.hint)

    def reset(self, executor: str, pool: str = "") -> None:
        """Forget what is held against an executor and its pool: the operator says that it is mended."""
        self._pools.pop(pool or self._pool_of.get(executor, executor), None)
        self._executors.pop(executor, None)

    def _pool(self, executor: str, pool: str) -> str:
        if pool:
            self._pool_of[executor] = pool
            return pool
        return self._pool_of.get(executor, executor)

    def _breakers(self, executor: str, pool: str) -> list[Breaker]:
        found = self._executors.get(executor), self._pools.get(pool)
        return [breaker for breaker in found if breaker is not None]

    def dump(self) -> dict[str, Any]:
        """The whole state as JSON values."""
        return {
            "executors": {name: attrs.asdict(breaker) for name, breaker in sorted(self._executors.items())},
            "pools": {name: attrs.asdict(breaker) for name, breaker in sorted(self._pools.items())},
            "pool_of": dict(sorted(self._pool_of.items())),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Replace the state by a dumped one.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        executors = {str(name): Breaker(**fields) for name, fields in state["executors"].items()}
        pools = {str(name): Breaker(**fields) for name, fields in state["pools"].items()}
        pool_of = {str(name): str(pool) for name, pool in state["pool_of"].items()}
        self._executors, self._pools, self._pool_of = executors, pools, pool_of


_FINE = RestState(ok=True)


def format_epoch(instant: float) -> str:
    """``2026-11-22 09:14:03Z``, for sentences."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _passing(own: Breaker | None, shared: Breaker | None, now: float) -> RestState:
    both = (("executor", own), ("pool", shared))
    trials = [(what, b) for what, b in both if b and b.state(now) is BreakerState.HALF_OPEN]
    if not trials:
        return _FINE
    what, breaker = next((trial for trial in trials if trial[1].probe), trials[0])
    reason = f"half-open after {breaker.reason}"
    probing = what if breaker.probe else ""
    return RestState(ok=True, reason=reason, hint=breaker.hint, half_open=True, probing=probing)


def _sentence(kind: OutcomeKind, message: str) -> str:
    said = " ".join(message.split())[:_LONGEST_MESSAGE]
    return f"{kind.value}: {said}" if said else kind.value


def _mend(executor: str, kind: OutcomeKind) -> str:
    what = {
        OutcomeKind.AUTH_ERROR: "log in or set its credentials",
        OutcomeKind.CONFIG_ERROR: f"install its program or mend `executors.{executor}` in the config",
    }.get(kind, "mend or update its package")
    return f"{what}, then run `autopilotctl executors reset {executor}`"
