"""Claim and start: one atomic commit, then a runner that starts nothing before its own record is durable."""

from __future__ import annotations

import contextlib
import hashlib
import os
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.dispatcher.endings import backoff_of, not_started
from autopilot.dispatcher.spec import build_spec
from autopilot.dispatcher.versions import VersionWatch
from autopilot.errors import BusyError, LeaseLostError, SetupError
from autopilot.models import AttemptSpec, Candidate, Decision, EventDraft, Lease, Task
from autopilot.store.contract import SlotLimits
from autopilot.system.durable import read_error, read_file
from autopilot.system.processes import ProcessIdentity
from autopilot.system.told import as_ours

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["Claim", "Starter"]


@attrs.frozen(kw_only=True)
class Claim:
    """A task that this dispatcher holds and has not started. ``text``: of its file, as it was judged."""

    task: Task
    lease: Lease
    text: str


class Starter:
    """Claims tasks for one dispatcher (``me``) and hands them to runners."""

    def __init__(self, control: Control, me: ProcessIdentity) -> None:
        self._control = control
        self._settings = control.settings
        self._me = me
        known = os.path.join(control.root.state, "cache", "plugins.json")
        self._versions = VersionWatch(known, control.append)

    def claim(self, task: Task, decision: Decision, max_active: int) -> Claim:
        """Take the task for the chosen executor; plugins that were upgraded are told of before.

        Raises: as ``Store.claim``.
        """
        # Read before the claim, which writes the new status into the file, and whoever saves it after that.
        text = _judged_text(task)
        self._versions.look()
        chosen = self._control.executors[str(decision.executor)]
        token = self._control.store.record(task.id).token + 1
        claimed = EventDraft(
            event_type="task.claimed",
            payload={"attempt": token, "executor": chosen.info.name, "pid": self._me.pid},
        )
        lease = self._control.store.claim(
            task.id,
            executor=chosen.info.name,
            owner=self._me,
            limits=SlotLimits(total=max_active, executor=chosen.slots),
            ttl_s=self._settings.limits.lease_ttl_s,
            digest=task.digest,
            events=(_decision_event(task, decision, token), claimed),
        )
        return Claim(task=task, lease=lease, text=text)

    def start(self, claim: Claim) -> bool:
        """Hand a claimed task to a runner; False when none could be started, and the claim was given back.

        Raises:
            Exception: something that nobody foresaw; the claim was given back, too.
        """
        try:
            self._control.launcher.start(self._spec(claim), claim.lease)
        except Exception as fault:
            self._give_back(claim.lease, fault)
            if isinstance(fault, SetupError | OSError):
                return False
            raise
        return True

    def _spec(self, claim: Claim) -> AttemptSpec:
        return build_spec(
            self._control.root,
            self._settings,
            claim.task,
            claim.lease,
            self._control.executors[claim.lease.executor],
            record=claim.lease.record,
            refs=self._control.plugins.refs,
            text=claim.text,
        )

    def _give_back(self, lease: Lease, fault: Exception) -> None:
        ending = not_started(
            lease,
            f"its runner could not be started: {as_ours(fault).message}",
            now=self._control.clock.now(),
            backoff=backoff_of(self._settings.dispatcher),
        )
        with contextlib.suppress(LeaseLostError):
            self._control.store.finish(lease, ending)


def _judged_text(task: Task) -> str:
    """The text of the file that the gates have judged; the body where there is no file.

    Raises:
        BusyError: there is another text by now.
        StorageError: it cannot be read.
    """
    if not task.path:
        return task.body
    try:
        data = read_file(task.path)
    except FileNotFoundError:
        data = b""
    except OSError as fault:
        raise read_error(fault, task.path) from fault
    if hashlib.sha256(data).hexdigest() != task.digest:
        raise BusyError(f"the file of task {task.id} changed since it was judged", code="changed")
    return data.decode("utf-8")


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
