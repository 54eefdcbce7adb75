"""Every event that Autopilot logs, and its payload. ``docs/reference/events.md`` is checked against this."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from autopilot.errors import UsageError

__all__ = ["REGISTRY", "EventType", "check_event_type", "markdown"]

_SHAPE = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)+")


@attrs.frozen(kw_only=True)
class EventType:
    """One kind of fact.

    Attributes:
        name: ``<noun>.<past-tense verb>``.
        sentence: what happened, when one of these is in the log.
        payload: each key of the payload with its meaning.
    """

    name: str
    sentence: str
    payload: Mapping[str, str] = attrs.field(factory=dict)


_REASON = "why: `{code, message, hint}`"
_ATTEMPT = "the attempt's number; 0 where the task never ran"

_TYPES = (
    EventType(
        name="task.created",
        sentence="A task file was stored.",
        payload={
            "by": "who made it",
        },
    ),
    EventType(
        name="task.edited",
        sentence="A person changed the status in the file of a task that runs; once for each content.",
        payload={"keys": "the frontmatter keys that changed", "digest": "SHA-256 of the file's new bytes"},
    ),
    EventType(
        name="task.invalid",
        sentence="A file in the tasks folder cannot be read as a task; once for each content.",
        payload={
            "path": "the file's name",
            "message": "what is wrong",
            "hint": "how to mend it",
            "line": "line, counted from 1; 0 where unknown",
            "column": "column, counted from 1; 0 where unknown",
            "digest": "SHA-256 of the bytes that were read",
        },
    ),
    EventType(
        name="task.claimed",
        sentence="A dispatcher took the task for one attempt.",
        payload={
            "attempt": _ATTEMPT,
            "executor": "who is to do it",
            "pid": "of the dispatcher",
        },
    ),
    EventType(
        name="task.done",
        sentence="The task is done: the executor says success, and the evidence agrees.",
        payload={
            "attempt": _ATTEMPT,
            "reason": "`{code, message, hint}`, or null",
            "result": "what was written under `result:` in the task file",
        },
    ),
    EventType(
        name="task.blocked",
        sentence="The task cannot go on until somebody does something.",
        payload={"attempt": _ATTEMPT, "reason": _REASON},
    ),
    EventType(
        name="task.cancelled",
        sentence="The task was cancelled.",
        payload={
            "attempt": _ATTEMPT,
            "reason": _REASON,
            "by": "who asked",
        },
    ),
    EventType(
        name="task.parked",
        sentence="The task waits until an instant; it uses up no attempt.",
        payload={"attempt": _ATTEMPT, "reason": _REASON, "until": "ISO 8601 instant when it wakes"},
    ),
    EventType(
        name="task.requeued",
        sentence="The task is pending again, for its next attempt.",
        payload={
            "attempt": _ATTEMPT,
            "reason": _REASON,
            "why": "the outcome or command that sent it back",
            "by": "who asked, where a person did",
            "forced": "whether a task that was done or cancelled was sent back",
        },
    ),
    EventType(
        name="task.woken",
        sentence="A parked or blocked task may run again.",
        payload={"attempt": _ATTEMPT, "was": "the reason's code that is gone"},
    ),
    EventType(
        name="task.reclaimed",
        sentence="The owner of the task was dead or too late; the task was taken back.",
        payload={
            "attempt": _ATTEMPT,
            "executor": "who had it",
            "state": "how far the lease was: `claimed` or `started`",
            "why": "the sentence",
        },
    ),
    EventType(
        name="task.cancel_requested",
        sentence="Somebody asked for the end of a running attempt.",
        payload={"attempt": _ATTEMPT, "by": "who asked"},
    ),
    EventType(
        name="task.repaired",
        sentence="The status in the task file contradicted the lease and was set right.",
        payload={"attempt": _ATTEMPT, "was": "the status that the file showed", "why": "what contradicted it"},
    ),
    EventType(
        name="attempt.started",
        sentence="The runner owns the attempt and is about to start the executor.",
        payload={
            "attempt": _ATTEMPT,
            "executor": "who does it",
            "pid": "of the runner",
            "host": "the machine's name",
            "workdir": "where the executor works",
        },
    ),
    EventType(
        name="attempt.refused",
        sentence="A late runner wanted to start an attempt that had been taken back; it started nothing.",
        payload={"attempt": _ATTEMPT, "executor": "who was to do it", "reason": _REASON},
    ),
    EventType(
        name="dispatch.decision",
        sentence="The router chose an executor, with every candidate's numbers and why-nots.",
        payload={
            "attempt": "the attempt's number",
            "task_type": "the task's type",
            "executor": "the choice",
            "reason": "the sentence",
            "confidence": "the posterior mean of success, 0..1",
            "parameters": "a hash of the routing parameters",
            "candidates": "list of `{executor, eligible, score, confidence, why, terms: [{name, value, detail}]}`",
        },
    ),
    EventType(
        name="dispatch.result",
        sentence="An attempt ended and was judged; the router learns from these.",
        payload={
            "attempt": "the attempt's number",
            "executor": "who did it",
            "pool": "the executor's quota pool",
            "task_type": "the task's type",
            "outcome": "the outcome's kind",
            "judged": "whether it is charged to the executor's quality",
            "success": "whether the work was good",
            "verified": "true: all verifications passed; false: none configured; null: not reached or failed",
            "cost_usd": "US dollars, null where unknown",
            "duration_s": "seconds from start to end",
            "reset_at": "when a rate limit or quota ends, null where unknown",
            "message": "what happened, in a sentence",
            "usage": "`{input_tokens, output_tokens, cached_tokens}`, or null",
            "status": "the task's new status",
            "host_fault": "whether this machine is to blame and not the executor",
        },
    ),
    EventType(
        name="lease.stale",
        sentence="A result, an end or a sign of life came with an old token and was refused.",
        payload={
            "attempt": "the old token",
            "current": "the token that counts",
            "what": "what was refused: `beat`, `result` or `end`",
        },
    ),
    EventType(
        name="file.kept",
        sentence="A file was moved aside instead of being lost: one of ours that cannot be read, or a person's "
        "save that could not be merged.",
        payload={"path": "where it lies now", "why": "the sentence"},
    ),
    EventType(
        name="reclaim.deferred",
        sentence="A task is not taken back yet: processes of its old attempt are still alive.",
        payload={"attempt": _ATTEMPT, "why": "what is alive or unknown"},
    ),
    EventType(
        name="executor.reset",
        sentence="A person ended an executor's rest.",
        payload={
            "executor": "which",
            "pool": "its quota pool",
            "by": "who asked",
        },
    ),
    EventType(
        name="plugin.quarantined",
        sentence="A plugin failed too often; it is not called any more in this process.",
        payload={
            "plugin": "its name",
            "hook": "the hook that failed",
            "reason": "the last fault, and how often",
        },
    ),
    EventType(
        name="plugin.changed",
        sentence="A plugin comes in another version or from another package than before the last claim.",
        payload={
            "plugin": "its name",
            "distribution": "the package",
            "was": "the old version, after the old package where that was another one",
            "version": "the new one",
        },
    ),
    EventType(
        name="dispatcher.started",
        sentence="A dispatcher began.",
        payload={"pid": "of the dispatcher", "host": "the machine's id", "max_active": "attempts at once"},
    ),
    EventType(
        name="dispatcher.stopped",
        sentence="A dispatcher ended as it should.",
        payload={"pid": "of the dispatcher", "reason": "why"},
    ),
    EventType(
        name="dispatcher.paused", sentence="Nothing new is started until `resume`.", payload={"by": "who asked"}
    ),
    EventType(name="dispatcher.resumed", sentence="Starting goes on.", payload={"by": "who asked"}),
    EventType(
        name="dispatcher.drained",
        sentence="Dispatchers finish what runs and then stop.",
        payload={"by": "who asked"},
    ),
    EventType(
        name="message.published",
        sentence="A message was put on a channel.",
        payload={
            "channel": "the channel's name",
            "message": "any JSON value",
            "ttl_s": "seconds after which readers drop it, null for never",
        },
    ),
    EventType(
        name="log.healed",
        sentence="The end of the log was mended: a torn line was moved aside, or acknowledged lines were missing.",
        payload={
            "segment": "the segment's number",
            "bytes": "length of the fragment, now in `events.ndjson.torn`",
            "sha256": "of the fragment",
            "missing_events": "acknowledged events that are not there any more (a power cut, or a hand)",
        },
    ),
    EventType(
        name="log.rotated",
        sentence="A new segment begins; always its first line.",
        payload={
            "segment": "the new segment's number",
            "previous": "the file that holds the segment before",
            "head": "SHA-256 of that segment's last line",
            "events": "how many events the log had before this one, pruned ones included",
            "latest": "the latest timestamp among them",
        },
    ),
    EventType(
        name="log.pruned",
        sentence="Old segments were removed, whole, by the retention policy.",
        payload={
            "removed": "list of `{segment, file, events, head}`; `events` and `head` are the log's at its end",
            "bytes": "how much space they took",
            "reason": "the policy",
        },
    ),
    EventType(
        name="storage.failed",
        sentence="The disk refused a write; the dispatcher starts nothing until it works again.",
        payload={"message": "what was refused", "hint": "how to mend it"},
    ),
    EventType(
        name="storage.recovered",
        sentence="The disk takes writes again.",
        payload={"seconds": "how long it did not"},
    ),
)

REGISTRY: Mapping[str, EventType] = MappingProxyType({kind.name: kind for kind in _TYPES})


@functools.lru_cache(maxsize=1024)
def check_event_type(name: str) -> str:
    """Return ``name`` if it has the shape of an event type; plugins may use types of their own.

    Raises:
        UsageError: it is not words of ``a-z 0-9 _ -`` joined by dots.
    """
    if not _SHAPE.fullmatch(name):
        raise UsageError(
            f"{name!r} is no event type",
            hint="write `<noun>.<past-tense verb>` in small letters, such as `deploy.finished`",
        )
    return name


def markdown(kind: EventType) -> str:
    """The section of ``docs/reference/events.md`` about one type."""
    rows = "".join(f"| `{key}` | {meaning} |\n" for key, meaning in kind.payload.items())
    return f"### `{kind.name}`\n\n{kind.sentence}\n\n| payload | meaning |\n|---|---|\n{rows}"
