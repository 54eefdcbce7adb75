"""What the router is told about one executor at the moment of a decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from autopilot.models import ExecutorInfo, Health, Task

__all__ = ["Contender"]


@attrs.frozen(kw_only=True)
class Contender:
    """One installed executor, with what the leases and its probe say of it now.

    Attributes:
        info: how it describes itself, with the config's overrides applied.
        health: its last probe; None where it was not probed, which does not exclude it.
        running: attempts of it that hold a lease now, over all dispatchers.
        in_flight_types: the same by task type; their outcomes are not known yet, so they lower the uncertainty
            that attracts tries.
        slots: how many attempts it may do at once; None takes ``info.slots``.
        accepts: None, or its ``Executor.accepts``: the reason why it can never do a task, or None.
        enabled: False where the config hides it; it then takes no task at all.
        explicit_only: it takes only tasks that name it.
    """

    info: ExecutorInfo
    health: Health | None = None
    running: int = 0
    in_flight_types: Mapping[str, int] = attrs.field(factory=dict)
    slots: int | None = None
    accepts: Callable[[Task], str | None] | None = None
    enabled: bool = True
    explicit_only: bool = False

    @property
    def name(self) -> str:
        """The executor's name."""
        return self.info.name

    @property
    def limit(self) -> int | None:
        """How many attempts it may do at once, None for any number."""
        return self.info.slots if self.slots is None else self.slots
