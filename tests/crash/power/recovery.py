"""The next start on a disk as the cut left it, with the program's own code, and what must hold after it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from unittest import mock

from autopilot.dispatcher.endings import Backoff
from autopilot.dispatcher.faults import Faults
from autopilot.dispatcher.reconcile import Means, Reconciler
from autopilot.events.log import EventLog
from autopilot.models import Ending, EventDraft, Status, Task, TaskDraft
from autopilot.store import scan
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import BeatWatch, verdict
from autopilot.system.clock import SystemClock
from autopilot.system.processes import identify
from autopilot.testing.stores import text_of
from tests.crash.power.site import Found, Step, fact

__all__ = ["examine", "reconciler"]

_CLOCK = SystemClock()
_ME = identify()
_HELD = (Status.CLAIMED, Status.IN_PROGRESS)


def examine(place: str, done: list[Step], under_way: list[Step]) -> None:
    """Start on the root below ``place``, and hold what is found against what had been acknowledged.

    Raises:
        AssertionError: a promise is broken.
    """
    root = f"{place}/.autopilot"
    log = EventLog(f"{root}/events", durability="process")
    store = FileStore(root, publish=log.publish, durability="process", watch=False)
    try:
        log.append([fact("dispatcher.started")])
        # Longer than an hour later, when nobody lives that wrote then.
        with mock.patch.multiple(scan, _LEFTOVER_S=float("-inf"), start_time_of=lambda pid: None):
            for _ in range(2):
                tick = reconciler(store, log)
                tick.sweep()
                for summary in store.changes().tasks:
                    task = store.get(summary.id)
                    if isinstance(task, Task) and task.status in _HELD:
                        tick.repair(task)
        assert store.leases() == [], "something is left in motion"
        found = Found(root, store, log, frozenset(step.name for step in (*done, *under_way)))
        _check_tasks(found, done, under_way)
        _check_leftovers(found)
        _bring_to_an_end(store, {step.task for step in (*done, *under_way) if step.task}, done)
        _check_log(log, done)
    finally:
        store.close()
        log.close()


def reconciler(store: FileStore, log: EventLog) -> Reconciler:
    """The first part of a tick."""
    watch = BeatWatch()
    means = Means(
        starting=lambda lease: False,
        forget=lambda held: watch.keep_only(held, _CLOCK.monotonic()),
        verdict=lambda lease: str(verdict(lease, _CLOCK, watch)),
        clear=lambda lease: None,
        bury=lambda task_id, token: None,
        onward=lambda task, lease, result: None,
        pool=lambda executor: executor,
        log=lambda drafts, trace: log.append(drafts, trace_id=trace),
    )
    return Reconciler(store, _CLOCK, Backoff(), means, _ME, Faults())


def _check_log(log: EventLog, done: Iterable[Step]) -> None:
    report = log.verify()
    assert report.ok, f"the chain is broken: {report.faults[0]}"
    facts: dict[str, dict] = {}
    pruned = 0
    for line in log.lines():
        value = json.loads(line)
        value.pop("prev")
        assert facts.setdefault(value["id"], value) == value, f"two facts with the id {value['id']}"
        pruned += value["event_type"] == "log.pruned"
    promised = frozenset().union(*(step.events for step in done))
    lost = promised - facts.keys()
    assert not lost or pruned, f"acknowledged and lost: {sorted(lost)}"
    _check_kept(log, facts.values())


def _check_kept(log: EventLog, events: Iterable[dict]) -> None:
    """What an event says is kept is there."""
    root = os.path.dirname(log.folder)
    torn = [_read(f"{log.folder}/{name}") for name in os.listdir(log.folder) if name.endswith(".torn")]
    for event in events:
        told = event["payload"]
        if event["event_type"] == "file.kept":
            place = os.path.join(root, told["path"].partition("/.autopilot/")[2])
            assert os.path.exists(place), f"an event says that a file was kept, and it is gone: {place}"
        elif event["event_type"] == "log.healed" and told["bytes"]:
            assert any(_has(data, told["bytes"], told["sha256"]) for data in torn), "a kept fragment is gone"


def _has(data: bytes, size: int, digest: str) -> bool:
    starts = range(len(data) - size + 1)
    return any(hashlib.sha256(data[at : at + size]).hexdigest() == digest for at in starts)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _check_tasks(found: Found, done: list[Step], under_way: list[Step]) -> None:
    for step in done:
        if step.proof is not None:
            step.proof(found)
    for task_id in {step.task for step in (*done, *under_way)} - {""}:
        moves = [step for step in done if step.task == task_id and step.settles is not None]
        allowed = [step.settles for step in under_way if step.task == task_id and step.settles is not None]
        if moves:
            allowed.append(moves[-1].settles)
        elif task_id not in found.store.ids():
            continue
        task = found.store.get(task_id)
        assert isinstance(task, Task), f"{task_id} cannot be read: {task}"
        last = moves[-1].name if moves else "nothing"
        assert task.status in allowed, f"{task_id} is {task.status} after {last}"
        token = max((step.token for step in moves), default=0)
        assert found.store.record(task_id).token >= token, f"a token of {task_id} would be given twice"


def _check_leftovers(found: Found) -> None:
    if not found.begun & {"save", "damage", "edit"}:
        assert not found.store.faults()
        for folder in ("conflicts", "state/corrupt"):
            kept = f"{found.root}/{folder}"
            assert not os.path.exists(kept) or not os.listdir(kept), f"something was set aside in {folder}"
    tasks = f"{found.root}/tasks"
    if os.path.isdir(tasks):
        assert not [name for name in os.listdir(tasks) if name.startswith(".")], "a temporary file was left"


def _bring_to_an_end(store: FileStore, tasks: set[str], done: list[Step]) -> None:
    """Whatever the cut left, each task can still be done, with a token that nobody had before."""
    for task_id in tasks:
        if task_id not in store.ids():
            store.create(TaskDraft(id=task_id, text=text_of(task_id)), (fact("task.created"),))
        task = store.get(task_id)
        assert isinstance(task, Task)
        if task.status is not Status.PENDING:
            ending = Ending(status=Status.PENDING, record=store.record(task_id), events=(fact("task.requeued"),))
            store.move(task_id, ending, expected=task.status)
        lease = store.claim(
            task_id,
            executor="local",
            owner=_ME,
            limits=SlotLimits(total=9),
            ttl_s=30.0,
            events=(EventDraft(event_type="task.claimed", payload={"again": True}),),
        )
        known = max((step.token for step in done if step.task == task_id), default=0)
        assert lease.token > known, f"token {lease.token} of {task_id} was given twice"
        lease = store.start(lease, owner=_ME, events=(fact("attempt.started"),))
        store.finish(lease, Ending(status=Status.DONE, record=lease.record, events=(fact("task.done"),)))
        assert store.get(task_id).status is Status.DONE
    assert store.project() == 0
    assert store.leases() == []
