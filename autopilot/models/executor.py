"""What the core knows of an executor without running it."""

from __future__ import annotations

from datetime import datetime

import attrs

__all__ = ["ExecutorInfo", "Health"]


@attrs.frozen(kw_only=True)
class Health:
    """What ``Executor.probe`` found.

    Attributes:
        ok: it can be tried.
        reason: one sentence, also when all is well (``claude 2.1.330, logged in``).
        hint: the command that would mend it.
        version, dialect: of the program, where there is one.
        warning: something to know although it can be tried (a version newer than known).
    """

    ok: bool
    reason: str = ""
    hint: str = ""
    version: str = ""
    dialect: str = ""
    warning: str = ""
    checked_at: datetime | None = None


@attrs.frozen(kw_only=True)
class ExecutorInfo:
    """How an executor describes itself; all of it enters routing as prior or filter, never as a promise.

    Attributes:
        capabilities: what it can do; a task's ``requires`` must be a subset.
        tier: ``high``, ``volume`` or empty; declares strengths for the task types of that tier.
        strong, weak: task types it declares itself good or bad at, beyond its tier.
        quota_pool: the account or provider whose rate limits it shares; its own name by default.
        model: the model it uses, where it is fixed.
        slots: how many attempts it may do at once; None for no limit of its own.
        cost_usd: what a run typically costs, before there is evidence.
    """

    name: str
    capabilities: frozenset[str] = frozenset()
    tier: str = ""
    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()
    quota_pool: str = ""
    model: str | None = None
    slots: int | None = None
    cost_usd: float | None = None

    @property
    def pool(self) -> str:
        """The quota pool, its own name where none is declared."""
        return self.quota_pool or self.name
