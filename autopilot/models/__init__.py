"""The words of Autopilot as values: frozen, keyword-only attrs classes without behaviour of their own."""

from autopilot.models.attempt import AttemptResult, AttemptSpec, Limits, PluginRef, Verdict
from autopilot.models.decision import Candidate, Decision, Gate, Term
from autopilot.models.event import Event, EventDraft
from autopilot.models.executor import ExecutorInfo, Health
from autopilot.models.lease import NO_BEAT, Ending, Lease, LeaseSignal, LeaseState, TaskRecord
from autopilot.models.outcome import Outcome, OutcomeKind, Usage
from autopilot.models.policy import MAX_LOST, MAX_UNAVAILABLE, POLICIES, HealthEffect, Next, OutcomePolicy
from autopilot.models.status import ALLOWED_TRANSITIONS, TERMINAL, Priority, Status, check_transition
from autopilot.models.task import InvalidTask, Reason, Task, TaskDraft, Workspace

__all__ = [
    "ALLOWED_TRANSITIONS",
    "MAX_LOST",
    "MAX_UNAVAILABLE",
    "NO_BEAT",
    "POLICIES",
    "HealthEffect",
    "Next",
    "OutcomePolicy",
    "TERMINAL",
    "AttemptResult",
    "AttemptSpec",
    "Candidate",
    "Decision",
    "Ending",
    "Event",
    "EventDraft",
    "ExecutorInfo",
    "Gate",
    "Health",
    "InvalidTask",
    "Lease",
    "LeaseSignal",
    "LeaseState",
    "Limits",
    "Outcome",
    "OutcomeKind",
    "PluginRef",
    "Priority",
    "Reason",
    "Status",
    "Task",
    "TaskDraft",
    "TaskRecord",
    "Term",
    "Usage",
    "Verdict",
    "Workspace",
    "check_transition",
]
