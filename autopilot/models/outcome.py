"""What an attempt came to, and the one policy of each kind."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

import attrs

__all__ = ["Outcome", "OutcomeKind", "Usage"]


class OutcomeKind(StrEnum):
    """The closed set of outcomes; ``autopilot.dispatcher.policy`` has what follows from each."""

    SUCCEEDED = "succeeded"
    NO_CHANGE_NEEDED = "no_change_needed"
    FAILED = "failed"
    NEEDS_INPUT = "needs_input"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    UNAVAILABLE = "unavailable"
    LIMIT_REACHED = "limit_reached"
    BUDGET_EXCEEDED = "budget_exceeded"
    DENIED = "denied"
    AUTH_ERROR = "auth_error"
    CONFIG_ERROR = "config_error"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    CANCELLED = "cancelled"
    LOST = "lost"
    PROTOCOL_VIOLATION = "protocol_violation"
    EXECUTOR_BROKEN = "executor_broken"


@attrs.frozen(kw_only=True)
class Usage:
    """Tokens of one attempt, as the executor's program reported them."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@attrs.frozen(kw_only=True)
class Outcome:
    """The judged result of an attempt, from evidence and not from the exit code alone.

    Attributes:
        message: one sentence for people: what happened.
        hint: what the operator can do about it, for kinds that need somebody.
        reset_at: when a rate limit or quota ends, where the provider told.
        cost_usd: what this attempt cost, None where the program does not tell.
        session_id: the program's own session, for a resume on the next attempt.
        exit_code: of the program; negative for a signal; None where there was no program.
        evidence: what the judgement rests on; JSON values only, small.
        host_fault: this machine is to blame, and not the executor, against which it is not held.
    """

    kind: OutcomeKind
    message: str = ""
    hint: str = ""
    reset_at: datetime | None = None
    usage: Usage | None = None
    cost_usd: float | None = None
    turns: int | None = None
    model: str | None = None
    session_id: str | None = None
    exit_code: int | None = None
    evidence: Mapping[str, Any] = attrs.field(factory=dict)
    host_fault: bool = False
