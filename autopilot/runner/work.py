"""What the parts of one attempt share inside its runner."""

from __future__ import annotations

import os
from collections.abc import Mapping

import attrs

from autopilot.models import AttemptSpec
from autopilot.runner.children import Setting
from autopilot.runner.keeper import Keeper
from autopilot.runner.logs import Sink
from autopilot.runner.wakeup import Wakeup
from autopilot.runner.watch import Watcher
from autopilot.system.clock import Clock
from autopilot.system.redact import Redactor

__all__ = ["Work"]


@attrs.frozen(kw_only=True)
class Work:
    """One attempt at work.

    Attributes:
        redactor: hides the secrets of the launcher's environment.
        environment: the part of that which the executor and verifications may see.
    """

    spec: AttemptSpec
    keeper: Keeper
    watcher: Watcher
    wakeup: Wakeup
    clock: Clock
    redactor: Redactor
    environment: Mapping[str, str]

    @property
    def setting(self) -> Setting:
        """Where the executor's code and the verify plugins find themselves."""
        return Setting(self.environment, self.spec.workdir, self.wakeup)

    def sink(self, name: str) -> Sink:
        """Where what a child prints is kept: a file of the run folder."""
        path = os.path.join(self.spec.run_dir, name)
        return Sink(path, self.redactor, self.spec.limits.output_bytes)

    def interrupted(self) -> bool:
        """Whether a cancel was asked for, or we were told to end."""
        return self.keeper.cancelled_by is not None or self.wakeup.terminated
