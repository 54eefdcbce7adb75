"""Where the runners of a launcher come from: what is the same for all of them, read once."""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs

from autopilot.system.environment import secrets_in
from autopilot.system.processes import ProcessIdentity
from autopilot.system.redact import Redactor

__all__ = ["Origin"]


@attrs.frozen(kw_only=True)
class Origin:
    """What a launcher hands on to its runners.

    Attributes:
        environ: the environment that the dispatcher gave it.
        redactor: hides the secrets in there.
        guardian: the launcher, which catches the orphans of its runners; None where there is none.
    """

    environ: Mapping[str, str]
    redactor: Redactor
    guardian: ProcessIdentity | None = None

    @classmethod
    def here(cls, guardian: ProcessIdentity | None = None) -> Origin:
        """Of this process."""
        environ = dict(os.environ)
        return cls(environ=environ, redactor=Redactor(secrets_in(environ)), guardian=guardian)

    def knowing(self, values: Mapping[str, str]) -> Origin:
        """The same, with the secrets among ``values`` hidden too: what the config sets for one executor."""
        more = secrets_in(values)
        return attrs.evolve(self, redactor=Redactor({**secrets_in(self.environ), **more})) if more else self
