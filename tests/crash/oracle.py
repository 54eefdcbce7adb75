"""What must hold after any crash, judged from outside: acks, what the executors wrote, the files and the log.

Nothing here asks what the code under test believes; it reads what is there and holds it against what was promised.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import attrs

from tests.crash.world import BODY, World, notes

__all__ = ["Facts", "examine", "judge"]

STATES_AT_REST = {"done", "cancelled", "blocked"}


@attrs.frozen
class Facts:
    """What is there.

    Attributes:
        acks: what calls that returned have promised, in order.
        ran: (task, token) of each attempt whose work was begun, written by the work itself.
        files: the bytes of every task file.
        statuses: what each file says.
        events: every line of the log, repeated ids dropped; None for a line that is no event.
    """

    acks: list[list[Any]]
    ran: list[list[Any]]
    files: dict[str, bytes]
    statuses: dict[str, str]
    events: list[dict[str, Any] | None]

    def told(self, event_type: str) -> set[tuple[str, int]]:
        """(task, attempt) of every event of a type."""
        return {
            (event["trace_id"], event["payload"].get("attempt", 0))
            for event in self.events
            if event and event["event_type"] == event_type
        }


def judge(facts: Facts) -> list[str]:
    """Every broken promise, as a sentence."""
    return [*_of_tasks(facts), *_of_attempts(facts), *_of_the_log(facts)]


def _of_tasks(facts: Facts) -> list[str]:
    broken = []
    for _, task_id in _acked(facts, "created"):
        data = facts.files.get(task_id, b"")
        if not data.endswith(BODY) or b"# kept\n" not in data:
            broken.append(f"{task_id} was created, and is lost or damaged")
        elif facts.statuses[task_id] not in STATES_AT_REST:
            broken.append(f"{task_id} is {facts.statuses[task_id]} for ever")
        if data.count(b"\nstatus:") > 1:
            broken.append(f"{task_id} has two statuses")
    for _, task_id, values in _acked(facts, "edited"):
        broken += [
            f"the edit {key} of {task_id} is lost"
            for key, value in values.items()
            if f"\n{key}: {value}\n".encode() not in facts.files.get(task_id, b"")
        ]
    for _, task_id, mark in _acked(facts, "saved"):
        if mark.encode() not in facts.files.get(task_id, b""):
            broken.append(f"what a person saved in {task_id} is lost")
    return broken


def _of_attempts(facts: Facts) -> list[str]:
    broken = []
    tokens: dict[str, list[int]] = defaultdict(list)
    for task_id, token in facts.ran:
        if token <= max(tokens[task_id], default=0):
            broken.append(f"attempt {token} of {task_id} began after {tokens[task_id]}")
        tokens[task_id].append(token)
        if (task_id, token) not in facts.told("task.claimed"):
            broken.append(f"attempt {token} of {task_id} ran and was never recorded")
    for _, task_id, token, outcome in _acked(facts, "reported"):
        if (task_id, token) not in facts.told("dispatch.result"):
            broken.append(f"the report of attempt {token} of {task_id} was not adopted")
        if outcome == "succeeded" and max(tokens[task_id]) > token and not _sent_again(facts, task_id):
            broken.append(f"{task_id} ran again after the success of attempt {token}")
    done = [(event["trace_id"], event["payload"]["attempt"]) for event in _typed(facts, "task.done")]
    broken += [f"{task_id} was done twice by attempt {token}" for task_id, token in _repeated(done)]
    for task_id, status in facts.statuses.items():
        if status == "done" and not any(task_id == one for one, _ in done):
            broken.append(f"{task_id} is done, and nothing in the log says so")
    return broken


def _of_the_log(facts: Facts) -> list[str]:
    broken = ["a line of the log is no event"] if None in facts.events else []
    ids = {event["id"] for event in facts.events if event}
    for _, *logged in _acked(facts, "logged"):
        broken += [f"the event {one} was acknowledged and is lost" for one in logged if one not in ids]
    for _, task_id in _acked(facts, "created"):
        if not any(one == task_id for one, _ in facts.told("task.created")):
            broken.append(f"the creation of {task_id} is not in the log")
    return broken


def _acked(facts: Facts, kind: str) -> list[list[Any]]:
    return [ack for ack in facts.acks if ack[0] == kind]


def _typed(facts: Facts, event_type: str) -> list[dict[str, Any]]:
    return [event for event in facts.events if event and event["event_type"] == event_type]


def _sent_again(facts: Facts, task_id: str) -> bool:
    return any(ack[1] == task_id for ack in _acked(facts, "saved"))


def _repeated(items: list[Any]) -> list[Any]:
    return [item for number, item in enumerate(items) if item in items[:number]]


# ---------------------------------------------------------------------- Autopilot's root


def examine(folder: Path) -> list[str]:
    """Every broken promise of a root that has settled."""
    world = World(folder)
    store, log = world.control.store, world.control.log
    # What a crash left as a torn end is mended by the next append, whoever makes it.
    log.append([])
    report = log.verify()
    events: dict[str, Any] = {}
    broken = [fault.message for fault in report.faults]
    for number, line in enumerate(log.lines()):
        event = _event(line)
        key = event["id"] if event else str(number)
        if not _same_fact(events.setdefault(key, event), event):
            broken.append(f"two facts with the id {key}")
    files = {path.stem: path.read_bytes() for path in sorted(Path(world.root.tasks).glob("*.md"))}
    facts = Facts(notes(world.acks), notes(world.ran), files, {}, list(events.values()))
    facts.statuses.update({task.id: str(task.status) for task in store.tasks()})
    broken += judge(facts)
    broken += [f"{lease.task_id} is still held" for lease in store.leases()]
    broken += ["something is left to project"] if store.project() else []
    broken += store.faults()
    broken += [
        f"{path} was set aside"
        for place in ("conflicts", "state/corrupt")
        for path in Path(world.root.folder, place).glob("*")
    ]
    world.close()
    return broken


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event_type" in event else None


def _same_fact(one: Any, other: Any) -> bool:
    return one is other or (one and other and {**one, "prev": ""} == {**other, "prev": ""})
