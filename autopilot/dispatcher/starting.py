"""Claim and start: one atomic commit, then a runner that starts nothing before its own record is durable."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.dispatcher.endings import backoff_of, not_started
from autopilot.dispatcher.spec import build_spec
from autopilot.dispatcher.versions import VersionWatch
from autopilot.errors import AutopilotError, LeaseLostError, SetupError
from autopilot.models import Candidate, Decision, EventDraft, Lease, Task
from autopilot.store.contract import SlotLimits
from autopilot.system.processes import ProcessIdentity

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["Starter"]


class Starter:
    """Claims tasks for one dispatcher (``me``) and hands them to runners."""

    def __init__(self, control: Control, me: ProcessIdentity) -> None:
        self._control = control
        self._settings = control.settings
        self._me = me
        known = os.path.join(control.root.state, "cache", "plugins.json")
        self._versions = VersionWatch(known, control.append)

    def claim(self, task: Task, decision: Decision, max_active: int) -> Lease:
        """Take the task for the chosen executor; plugins that were upgraded are told of before.

        Raises: as ``Store.claim``.
        """
        self._versions.look()
        chosen = self._control.executors[str(decision.executor)]
        token = self._control.store.record(task.id).token + 1
        claimed = EventDraft(
            event_type="task.claimed",
            payload={"attempt": token, "executor": chosen.info.name, "pid": self._me.pid},
        )
        return self._control.store.claim(
            task.id,
            executor=chosen.info.name,
            owner=self._me,
            limits=SlotLimits(total=max_active, executor=chosen.slots),
            ttl_s=self._settings.limits.lease_ttl_s,
            digest=task.digest,
            events=(_decision_event(task, decision, token), claimed),
        )

    def start(self, task: Task, lease: Lease) -> bool:
        """Hand a claimed task to a runner; False when none could be started, and the claim was given back."""
        spec = build_spec(
            self._control.root,
            self._settings,
            task,
            lease,
            self._control.executors[lease.executor],
            record=lease.record,
            refs=self._control.plugins.refs,
            text=self._control.text_of(task),
        )
        try:
            self._control.launcher.start(spec, lease)
        except (SetupError, OSError) as fault:
            self._give_back(lease, fault)
            return False
        return True

    def _give_back(self, lease: Lease, fault: Exception) -> None:
        why = fault.message if isinstance(fault, AutopilotError) else str(fault)
        ending = not_started(
            lease,
            f"its runner could not be started: {why}",
            now=self._control.clock.now(),
            backoff=backoff_of(self._settings.dispatcher),
        )
        with contextlib.suppress(LeaseLostError):
            self._control.store.finish(lease, ending)


def _decision_event(task: Task, decision: Decision, token: int) -> EventDraft:
    return EventDraft(
        event_type="dispatch.decision",
        payload={
            "attempt": token,
            "task_type": task.task_type,
            "executor": decision.executor,
            "reason": decision.reason,
            "confidence": decision.confidence,
            "parameters": decision.parameters,
            "candidates": [_candidate(candidate) for candidate in decision.candidates],
        },
    )


def _candidate(candidate: Candidate) -> dict[str, Any]:
    told = attrs.asdict(candidate)
    told.pop("wake_at")
    return told
