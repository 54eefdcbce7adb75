"""What is known of each plugin, and what is told of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs

from autopilot._version import __version__
from autopilot.models import PluginRef

if TYPE_CHECKING:
    from autopilot.plugins.inspection import Implementation

__all__ = ["PluginReport", "PluginStatus", "Record"]


class PluginStatus(StrEnum):
    """How a plugin is."""

    LOADED = "loaded"
    DISABLED = "disabled"
    BLOCKED = "blocked"
    CONFLICT = "conflict"
    BROKEN = "broken"
    QUARANTINED = "quarantined"


@attrs.frozen(kw_only=True)
class PluginReport:
    """One line of ``plugins list``.

    Attributes:
        status: ``loaded``; ``disabled`` (it supplied nonsense); ``blocked`` (by the config, not imported);
            ``conflict`` (another plugin has its name); ``broken`` (it cannot be loaded); ``quarantined`` (it
            failed too often, or hung).
        reason: why it is not ``loaded``, or what is wrong although it is; empty where all is well.
        hooks: the hooks that it implements, as far as that is known.
    """

    name: str
    distribution: str
    version: str
    status: PluginStatus
    reason: str = ""
    hooks: tuple[str, ...] = ()


@attrs.define(kw_only=True, eq=False)
class Record:
    """One plugin, as the manager sees it. ``status`` is None until it has been loaded.

    Attributes:
        builtin: the object, for a plugin of the core.
        hooks: what a trial found, before the plugin is loaded; None where that is not known.
        faults: hook -> how many times it failed in a row.
    """

    ref: PluginRef
    builtin: Any = None
    status: PluginStatus | None = None
    reason: str = ""
    notes: list[str] = attrs.field(factory=list)
    hooks: frozenset[str] | None = None
    implementations: tuple[Implementation, ...] = ()
    faults: dict[str, int] = attrs.field(factory=dict)

    @property
    def name(self) -> str:
        """The entry point's name."""
        return self.ref.name

    @property
    def source(self) -> str:
        """Where it comes from, for messages."""
        if not self.ref.distribution:
            return "the core"
        return f"{self.ref.distribution} {self.ref.version}".strip()

    def end(self, status: PluginStatus, reason: str) -> None:
        """It is not to be used (any more)."""
        self.status, self.reason = status, reason

    def report(self) -> PluginReport:
        """What to tell of it."""
        hooks = {implementation.hook for implementation in self.implementations} or self.hooks or ()
        return PluginReport(
            name=self.name,
            distribution="autopilot-core" if self.builtin is not None else self.ref.distribution,
            version=__version__ if self.builtin is not None else self.ref.version,
            status=self.status or PluginStatus.LOADED,
            reason="; ".join(filter(None, [self.reason, *self.notes])),
            hooks=tuple(sorted(hooks)),
        )
