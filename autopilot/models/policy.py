"""What follows from each outcome: one fixed policy a kind, as data, printed in the docs."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import attrs

from autopilot.models.outcome import OutcomeKind as K

__all__ = ["MAX_LOST", "MAX_UNAVAILABLE", "POLICIES", "HealthEffect", "Next", "OutcomePolicy"]

MAX_LOST = 3
"""Attempts lost in a row before a task is taken for poison and blocked."""

MAX_UNAVAILABLE = 3
"""``unavailable`` attempts in a row that use up nothing; each further one uses an attempt."""


class HealthEffect(StrEnum):
    """What an outcome says about the executor's health, which never mixes with its quality."""

    NONE = "none"
    POOL_RESTS = "pool rests until its reset"
    BREAKER = "breaker"
    BREAKER_CAP = "breaker at its cap, operator told"


class Next(StrEnum):
    """What happens to the task."""

    VERIFY = "verified: done; else as failed"
    RETRY = "retry elsewhere first, until max_attempts, then blocked"
    BLOCK = "blocked, with the question"
    FAIL_OVER_OR_PARK = "fail over, else park until the reset"
    FAIL_OVER_OR_BACK_OFF = "fail over, else back off"
    FAIL_OVER_OR_BLOCK = "fail over; blocked with the fix when explicit or nobody else can"
    AGAIN = "again; blocked as a poison task after three in a row"
    CANCEL = "cancelled"


@attrs.frozen(kw_only=True)
class OutcomePolicy:
    """The policy of one outcome kind.

    Attributes:
        judged: the work itself was judged, so it counts for the executor's quality.
        success: it counts as a success there.
        uses_attempt: it counts towards ``max_attempts``.
    """

    judged: bool
    uses_attempt: bool
    then: Next
    success: bool = False
    health: HealthEffect = HealthEffect.NONE


_JUDGED_FAILURE = OutcomePolicy(judged=True, uses_attempt=True, then=Next.RETRY)
_SUCCESS = OutcomePolicy(judged=True, success=True, uses_attempt=True, then=Next.VERIFY)
_QUESTION = OutcomePolicy(judged=False, uses_attempt=True, then=Next.BLOCK)
_RESTS = OutcomePolicy(
    judged=False, uses_attempt=False, then=Next.FAIL_OVER_OR_PARK, health=HealthEffect.POOL_RESTS
)
_NEEDS_FIX = OutcomePolicy(
    judged=False, uses_attempt=False, then=Next.FAIL_OVER_OR_BLOCK, health=HealthEffect.BREAKER_CAP
)

POLICIES: Mapping[K, OutcomePolicy] = MappingProxyType(
    {
        K.SUCCEEDED: _SUCCESS,
        K.NO_CHANGE_NEEDED: _SUCCESS,
        K.FAILED: _JUDGED_FAILURE,
        K.LIMIT_REACHED: _JUDGED_FAILURE,
        K.TIMED_OUT: _JUDGED_FAILURE,
        K.STALLED: _JUDGED_FAILURE,
        K.PROTOCOL_VIOLATION: _JUDGED_FAILURE,
        K.NEEDS_INPUT: _QUESTION,
        K.DENIED: _QUESTION,
        K.BUDGET_EXCEEDED: _QUESTION,
        K.RATE_LIMITED: _RESTS,
        K.QUOTA_EXHAUSTED: _RESTS,
        K.UNAVAILABLE: OutcomePolicy(
            judged=False, uses_attempt=False, then=Next.FAIL_OVER_OR_BACK_OFF, health=HealthEffect.BREAKER
        ),
        K.AUTH_ERROR: _NEEDS_FIX,
        K.CONFIG_ERROR: _NEEDS_FIX,
        K.EXECUTOR_BROKEN: _NEEDS_FIX,
        K.LOST: OutcomePolicy(judged=False, uses_attempt=False, then=Next.AGAIN),
        K.CANCELLED: OutcomePolicy(judged=False, uses_attempt=False, then=Next.CANCEL),
    }
)
