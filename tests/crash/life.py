"""One life of a task in the file store alone, with the acks of who lived it, and what must hold after a crash."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import attrs

from autopilot.errors import AutopilotError, BusyError, LeaseLostError
from autopilot.models import Ending, EventDraft, LeaseState, Status, Task, TaskDraft
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import BeatWatch, Liveness, verdict
from autopilot.system.clock import SystemClock
from autopilot.system.failpoints import write_all
from autopilot.system.processes import identify
from autopilot.testing.stores import result_of, text_of
from tests.crash.forks import in_child

__all__ = ["BODY", "Life", "check_life", "open_store", "recover", "task_text"]

BODY = b"\r\nA body with \xe2\x82\xac, CRLF\r\nand no newline at the end"


class Log:
    """An event log of the simplest kind: a line an event; a torn line is ended by the next writer's newline."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "events"

    def publish(self, events):
        lines = b"".join(
            b"\n" + json.dumps([event.id, event.event_type, event.timestamp, dict(event.payload)]).encode()
            for event in events
        )
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            write_all(fd, lines + b"\n", "publish.write")
        finally:
            os.close(fd)

    def read(self) -> dict[str, list]:
        """Whole events by id; the same id must always mean the same fact."""
        found: dict[str, list] = {}
        if not self.path.exists():
            return found
        for line in self.path.read_bytes().split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, list) and len(event) == 4:
                assert found.setdefault(event[0], event) == event, f"two facts with the id {event[0]}"
        return found


def open_store(folder: Path, durability: str = "process") -> FileStore:
    return FileStore(str(folder / ".autopilot"), publish=Log(folder).publish, durability=durability, watch=False)


def task_text(task_id: str) -> bytes:
    return text_of(task_id) + BODY


def fact(kind: str) -> tuple[EventDraft, ...]:
    return (EventDraft(event_type=kind, payload={"pid": os.getpid()}),)


class Life:
    """One task from creation through two attempts, a move, an edit and a cancel to ``done``."""

    def __init__(self, folder: Path, durability: str = "process") -> None:
        self.folder = folder
        self.store = open_store(folder, durability)
        self.acks = os.open(folder / "acks", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.lease = None

    def steps(self) -> list[tuple[str, Callable[[], object]]]:
        store = self.store
        return [
            ("create", lambda: store.create(TaskDraft(id="one", text=task_text("one")), fact("task.created"))),
            ("scan", store.changes),
            ("edit", lambda: store.edit("one", {"priority": "high"})),
            ("claim 1", lambda: self.take(1)),
            ("start 1", lambda: self.begin()),
            ("renew 1", lambda: store.renew(self.lease)),
            ("cancel 1", lambda: store.request_cancel("one", by="me")),
            ("finish 1", lambda: self.end(Status.PENDING)),
            ("block", lambda: self.move(Status.BLOCKED, Status.PENDING)),
            ("wake", lambda: self.move(Status.PENDING, Status.BLOCKED)),
            ("claim 2", lambda: self.take(2)),
            ("start 2", lambda: self.begin()),
            # The runner makes its folder itself, without an fsync.
            ("run folder", lambda: os.makedirs(f"{self.folder}/.autopilot/runs/one/2", exist_ok=True)),
            ("report 2", lambda: store.report(self.lease, result_of(self.lease))),
            ("finish 2", lambda: self.end(Status.DONE, {"outcome": "succeeded", "executor": "local"})),
            ("project", store.project),
            ("close", store.close),
        ]

    def live(self) -> None:
        """All steps; each is tried again when the disk refused, as the dispatcher's next tick would."""
        for name, step in self.steps():
            for _ in range(3):
                try:
                    step()
                except LeaseLostError:
                    # The refusal came after the commit: the step is done.
                    pass
                except BusyError:
                    pass
                except (AutopilotError, OSError) as fault:
                    self.ack("refused", name, str(fault))
                    self.recover_own(name)
                    continue
                break
            self.ack("done", name, self.lease.token if self.lease else 0)

    def recover_own(self, name: str) -> None:
        """What a live process may see of its own step after a refusal."""
        lease = self.store.lease("one")
        if lease is not None and lease.state is not LeaseState.ENDED:
            self.lease = lease

    def ack(self, *what: object) -> None:
        os.write(self.acks, json.dumps(what).encode() + b"\n")

    def take(self, token: int) -> None:
        held = self.store.lease("one")
        if held is not None and held.owner == identify() and held.state is LeaseState.CLAIMED:
            self.lease = held
            return
        self.lease = self.store.claim(
            "one",
            executor="local",
            owner=identify(),
            limits=SlotLimits(total=1),
            ttl_s=30.0,
            events=fact("claimed"),
        )

    def begin(self) -> None:
        if self.lease.state is LeaseState.CLAIMED:
            self.lease = self.store.start(self.lease, owner=identify(), events=fact("started"))

    def end(self, status: Status, result: dict | None = None) -> None:
        judged = self.store.lease("one") or self.lease
        kept = attrs.evolve(judged.record, used=judged.record.used + 1)
        self.store.finish(judged, Ending(status=status, record=kept, result=result, events=fact(f"to {status}")))

    def move(self, status: Status, expected: Status) -> None:
        ending = Ending(status=status, record=self.store.record("one"), events=fact(f"to {status}"))
        self.store.move("one", ending, expected=expected)


def recover(folder: Path) -> None:
    """A tick's first part: adopt results, take back what dead owners held. Repeats do no harm."""
    store = open_store(folder)
    watch = BeatWatch()
    for _ in range(3):
        store.project()
        for lease in store.leases():
            if lease.state is LeaseState.ENDED:
                continue
            assert verdict(lease, SystemClock(), watch) is Liveness.DEAD
            result = store.result(lease)
            if result is not None and lease.state is LeaseState.STARTED:
                ending = Ending(
                    status=Status.DONE,
                    record=lease.record,
                    result={"outcome": "succeeded"},
                    events=fact("to done"),
                )
            else:
                ending = Ending(status=Status.PENDING, record=lease.record, events=fact("reclaimed"))
            store.finish(lease, ending)
    store.close()


def bring_to_an_end(folder: Path) -> None:
    """Whatever state the task was left in, it can still be done."""
    store = open_store(folder)
    if "one" not in store.ids():
        store.create(TaskDraft(id="one", text=task_text("one")))
    task = store.get("one")
    if task.status is Status.BLOCKED:
        store.move("one", Ending(status=Status.PENDING, record=store.record("one")), expected=Status.BLOCKED)
    if store.get("one").status is not Status.DONE:
        lease = store.claim("one", executor="local", owner=identify(), limits=SlotLimits(total=1), ttl_s=30.0)
        lease = store.start(lease, owner=identify())
        store.finish(lease, Ending(status=Status.DONE, record=lease.record))
    assert store.get("one").status is Status.DONE
    assert store.project() == 0
    assert store.leases() == []
    store.close()


def acks(folder: Path) -> list[list]:
    path = folder / "acks"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


EVENTS_OF = {"create": "evt-one.0.1", "claim 1": "evt-one.1.1", "start 1": "evt-one.1.2", "claim 2": "evt-one.2.1"}


def examine(folder: Path) -> None:
    """Every promise about one life, held against the acks."""
    done = {ack[1]: ack[2] for ack in acks(folder) if ack[0] == "done"}
    store = open_store(folder)
    root = folder / ".autopilot"
    if "create" in done:
        task = store.get("one")
        assert isinstance(task, Task), task
        data = (root / "tasks/one.md").read_bytes()
        assert data.endswith(BODY)
        assert b"# kept\n" in data and b"x-team:   blue   # kept, too\n" in data
        assert data.count(b"status:") <= 1
    if "finish 2" in done:
        assert store.get("one").status is Status.DONE
    if "report 2" in done:
        assert (root / "runs/one/2/result.json").exists()
        assert store.get("one").status is Status.DONE, "the result was not adopted"
    assert store.leases() == [], "something is left in motion"
    assert store.project() == 0
    tokens = [token for name, token in done.items() if name.startswith("claim")]
    assert tokens == sorted(set(tokens))
    if tokens:
        assert store.record("one").token >= max(tokens)
        assert store.get("one").attempt >= max(tokens)
    log = Log(folder).read()
    for name, event_id in EVENTS_OF.items():
        if name in done:
            assert event_id in log, f"{name} was acknowledged but is not in the log"
    for state, name in (("to pending", "finish 1"), ("to blocked", "block"), ("to done", "finish 2")):
        if name in done:
            assert any(event[1] == state for event in log.values()), f"no event of {name}"
    for place in ("conflicts", "state/corrupt"):
        assert not (root / place).exists() or not os.listdir(root / place), f"something in {place}"
    assert not store.faults()
    store.close()


def check_life(folder: Path) -> None:
    def check() -> None:
        recover(folder)
        examine(folder)
        bring_to_an_end(folder)

    assert in_child(check) == 0
