"""What the tables of states and outcomes promise, checked against every event that the log receives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

__all__ = ["ENDS", "MOST_ATTEMPTS", "MOST_LOST", "Facts", "Key", "Trail"]

ALLOWED = {
    "pending": {"pending", "claimed", "cancelled", "blocked"},
    "claimed": {"in_progress", "pending", "cancelled"},
    "in_progress": {"done", "blocked", "cancelled", "pending"},
    "blocked": {"blocked", "pending", "cancelled"},
    "done": {"pending"},
    "cancelled": {"pending"},
}
"""The transitions; a parked or blocked task may be stated once more."""

ENDS = ("done", "blocked", "cancelled")
MOST_ATTEMPTS = 3
MOST_LOST = 3

_MOVES = {
    "task.claimed": "claimed",
    "attempt.started": "in_progress",
    "task.done": "done",
    "task.blocked": "blocked",
    "task.cancelled": "cancelled",
    "task.requeued": "pending",
    "task.parked": "pending",
    "task.woken": "pending",
    "task.repaired": "pending",
}

Key = tuple[str, int]


@attrs.define
class Facts:
    """What the log says of one task. ``status`` may have been set by a person, ``committed`` was not."""

    status: str = "pending"
    committed: str = "pending"
    token: int = 0
    used: int = 0
    lost: int = 0
    was_done: bool = False

    def set_to(self, status: str) -> None:
        """Somebody says so: the log, or a person in the file."""
        self.status = status
        self.was_done = self.was_done or status == "done"


class Trail:
    """Follows the log.

    Args:
        reported: what the runner of an attempt reported, None where it did not.
        living: whether anything of an attempt is alive; who waits at the gate has nothing yet.
        cancel_asked: whether a cancel of the attempt was asked for.
        needs: what a task depends on.
    """

    def __init__(
        self,
        *,
        reported: Callable[[Key], str | None],
        living: Callable[[Key], bool],
        cancel_asked: Callable[[Key], bool],
        needs: Callable[[str], Iterable[str]],
    ) -> None:
        self.tasks: dict[str, Facts] = defaultdict(Facts)
        self.ids: set[str] = set()
        self.invalid: list[tuple[str, str]] = []
        self._judged: set[Key] = set()
        self._reported, self._living, self._cancel_asked, self._needs = reported, living, cancel_asked, needs

    def take(self, event: Mapping[str, Any]) -> None:
        """One line of the log; a repeated id is the same fact."""
        if event["id"] in self.ids:
            return
        self.ids.add(event["id"])
        kind, payload = event["event_type"], event["payload"]
        if kind == "task.invalid":
            self.invalid.append((event["trace_id"], payload["digest"]))
        elif kind == "task.created":
            self.tasks[event["trace_id"]].status = "pending"
        elif event["trace_id"]:
            self._move(event["trace_id"], self.tasks[event["trace_id"]], kind, payload)

    def _move(self, task_id: str, task: Facts, kind: str, payload: Mapping[str, Any]) -> None:
        if kind == "task.claimed":
            self._claimed(task_id, task, payload["attempt"])
        elif kind == "dispatch.result":
            self._judge((task_id, payload["attempt"]), task, payload)
        elif kind == "task.requeued" and payload["why"] == "retry":
            task.used = task.lost = 0
        elif kind == "task.blocked" and payload["reason"]["code"] == "attempts_exhausted":
            fresh = task.committed in ENDS and task.status == "pending"
            assert task.used >= MOST_ATTEMPTS and not fresh, f"{task_id} was sent back, and is used up: {task}"
        to = _MOVES.get(kind)
        if kind == "task.reclaimed" and payload["state"] == "claimed":
            to = "pending"
        elif kind == "task.repaired" and task.committed in ENDS:
            # What a person's old text says of it is no news.
            task.status = to = task.committed
        if to is not None:
            assert to == task.status or to in ALLOWED[task.status], (
                f"{task_id} went from {task.status} to {to} by {kind}"
            )
            task.set_to(to)
            task.committed = to

    def _claimed(self, task_id: str, task: Facts, token: int) -> None:
        assert token > task.token, f"{task_id} was claimed with {token} after {task.token}"
        task.token = token
        early = [name for name in self._needs(task_id) if not self.tasks[name].was_done]
        assert not early, f"{task_id} was claimed before {early} were done"
        if task.committed in ENDS:
            # Only a person can have set it back: once more, with fresh counters.
            task.used = task.lost = 0

    def _judge(self, key: Key, task: Facts, payload: Mapping[str, Any]) -> None:
        assert key not in self._judged, f"{key} ended twice"
        self._judged.add(key)
        assert key[1] == task.token, f"{key} ended, and the task is at {task.token}"
        kind, said = payload["outcome"], self._reported(key)
        if said is None:
            assert not self._living(key), f"{key} was given up while it lived"
            assert kind == "lost" or (kind == "cancelled" and self._cancel_asked(key)), f"{key} gave {kind}"
        else:
            assert kind == said, f"{key} reported {said} and was taken for {kind}"
        task.used += kind in ("succeeded", "failed", "needs_input")
        task.lost = task.lost + 1 if kind == "lost" else 0
        then = _after(kind, task)
        if self._cancel_asked(key) and payload["status"] == "cancelled" and then == "pending":
            return  # the cancel came too late for the attempt, not for the next one
        assert payload["status"] == then, f"{key} {kind}: {payload['status']}, {task}"


def _after(kind: str, task: Facts) -> str:
    if kind == "failed":
        return "pending" if task.used < MOST_ATTEMPTS else "blocked"
    if kind == "lost":
        return "pending" if task.lost < MOST_LOST else "blocked"
    fixed = {"succeeded": "done", "needs_input": "blocked", "cancelled": "cancelled", "rate_limited": "pending"}
    return fixed[kind]
