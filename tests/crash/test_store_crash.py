"""The file store, killed or refused by the disk at every named point of every step, then recovered and examined.

Each injection runs one whole life of a task in a forked child. What the child says it has achieved (its *acks*,
written to a file of its own after each call returned) is held against what a fresh process finds afterwards.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from autopilot.errors import AutopilotError, BusyError, LeaseLostError
from autopilot.models import Ending, EventDraft, LeaseState, Status, Task, TaskDraft
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import BeatWatch, Liveness, verdict
from autopilot.system import failpoints
from autopilot.system.clock import SystemClock
from autopilot.system.failpoints import write_all
from autopilot.system.processes import identify
from autopilot.testing.stores import result_of, text_of

SIZE = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))
FAST = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
BODY = b"\r\nA body with \xe2\x82\xac, CRLF\r\nand no newline at the end"


@pytest.fixture
def arena() -> Iterator[Path]:
    """A folder on the fastest disk there is."""
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        yield Path(folder)


# ---------------------------------------------------------------------------- one life


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
        kept = attrs.evolve(self.lease.record, used=self.lease.record.used + 1)
        self.store.finish(
            self.lease, Ending(status=status, record=kept, result=result, events=fact(f"to {status}"))
        )

    def move(self, status: Status, expected: Status) -> None:
        ending = Ending(status=status, record=self.store.record("one"), events=fact(f"to {status}"))
        self.store.move("one", ending, expected=expected)


# ---------------------------------------------------------------------------- children


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child; its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, 1)
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def live_with(folder: Path, spec: str, durability: str = "process") -> int:
    def work() -> None:
        failpoints.arm(spec)
        Life(folder, durability).live()

    return in_child(work)


def kill_at(nth: int) -> None:
    """Die at the nth failpoint of whatever name."""
    left = nth

    def next_action(name: str) -> str:
        nonlocal left
        left -= 1
        return "kill" if left == 0 else ""

    failpoints.arm("")
    failpoints._next_action = next_action


# ---------------------------------------------------------------------------- recovery


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


# ---------------------------------------------------------------------------- T1


def passes_of(folder: Path, durability: str) -> list[tuple[str, int]]:
    """Every failpoint of an undisturbed life, with its pass number."""
    log = folder / "passes"

    def work() -> None:
        failpoints.arm("", str(log))
        Life(folder, durability).live()

    assert in_child(work) == 0
    count: Counter[str] = Counter()
    found = []
    for name in log.read_text().split():
        count[name] += 1
        found.append((name, count[name]))
    return found


def actions_at(name: str) -> list[str]:
    always = ["kill", "ENOSPC", "EIO", "EACCES"]
    return always + (["torn:1", "torn:40", "torn:-1"] if name.endswith(".write") else [])


def injections(durability: str) -> list[tuple[str, int, str]]:
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        passes = passes_of(Path(folder), durability)
    return [(name, nth, action) for name, nth in passes for action in actions_at(name)]


STEPS = ["create", "edit", "claim.lease", "claim.md", "start.lease", "beat", "cancel", "finish.lease", "finish.md"]
STEPS += ["move.lease", "move.md", "report", "retire", "publish"]


def test_every_step_has_its_points() -> None:
    points = {name for name, _, _ in injections("full")}
    assert len(points) >= 60
    for step in STEPS:
        assert any(point.startswith(step) for point in points), f"no failpoint was passed in {step}"


@pytest.mark.parametrize("durability", ["process", "full"])
@pytest.mark.parametrize("action", ["kill", "torn", "ENOSPC", "EIO", "EACCES"])
def test_every_point_of_a_life_killed_or_refused(durability: str, action: str) -> None:
    everything = [one for one in injections(durability) if one[2].partition(":")[0] == action]
    if durability == "full" and SIZE == 1:
        # The same points; only the fsyncs differ, so that a part of the injections will do.
        everything = everything[::4]
    bad = []
    for name, nth, spell in everything:
        with tempfile.TemporaryDirectory(dir=FAST) as folder:
            spec = f"{name}={spell}@{nth}"
            code = live_with(Path(folder), spec, durability)
            try:
                assert code == (-signal.SIGKILL if action in ("kill", "torn") else 0), (
                    f"{spec} did not fire: {code}"
                )
                check_life(Path(folder))
            except AssertionError:
                bad.append(spec)
    assert not bad, f"{len(bad)} of {len(everything)} injections: {bad[:20]}"


def test_recovery_killed_at_any_point_too() -> None:
    rng = random.Random(20261122)
    everything = [one for one in injections("process") if one[2] == "kill"]
    for name, nth, _ in rng.sample(everything, min(len(everything), 40 * SIZE)):
        with tempfile.TemporaryDirectory(dir=FAST) as place:
            folder = Path(place)
            live_with(folder, f"{name}=kill@{nth}")
            spec = f"{name}@{nth}"
            for again in range(1, 30):
                code = in_child(lambda folder=folder, again=again: (kill_at(again), recover(folder)))
                assert code in (0, -signal.SIGKILL), spec
                if code == 0:
                    break
            check_life(folder)


# ---------------------------------------------------------------------------- T3: at any line


def test_killed_at_any_line() -> None:
    """SIGKILL before the k-th line executed in store and system modules."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        counted = Path(place) / "lines"

        def count() -> None:
            counted.write_text(str(trace_life(Path(place), kill_line=0)))

        assert in_child(count) == 0
        total = int(counted.read_text())
    assert total > 1000
    rng = random.Random(7)
    for line in sorted(rng.sample(range(1, total), 80 * SIZE)):
        with tempfile.TemporaryDirectory(dir=FAST) as place:
            folder = Path(place)
            code = in_child(lambda folder=folder, line=line: trace_life(folder, kill_line=line))
            assert code == -signal.SIGKILL
            check_life(folder)


def trace_life(folder: Path, *, kill_line: int) -> int:
    lines = 0
    life = Life(folder)

    def local(frame, kind, argument):
        nonlocal lines
        if kind == "line":
            lines += 1
            if lines == kill_line:
                os.kill(os.getpid(), signal.SIGKILL)
        return local

    def trace(frame, kind, argument):
        file = frame.f_code.co_filename
        return local if "autopilot/store/" in file or "autopilot/system/" in file else None

    sys.settrace(trace)
    try:
        life.live()
    finally:
        sys.settrace(None)
    return lines


# ---------------------------------------------------------------------------- T4: races of processes


def start_children(count: int, work: Callable[[int], None]) -> list[int]:
    """Children that all begin at the same moment."""
    gate, opener = os.pipe()
    pids = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                os.close(opener)
                os.read(gate, 1)
                work(number)
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    os.close(gate)
    os.close(opener)
    return pids


def join(pids: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def say(path: Path, *words: object) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(fd, (" ".join(map(str, words)) + "\n").encode())
    os.close(fd)


def test_sixteen_processes_claim_each_task_once(arena: Path) -> None:
    ids = [f"t{number:04}" for number in range(150 * SIZE)]
    store = open_store(arena)
    for task_id in ids:
        store.create(TaskDraft(id=task_id, text=task_text(task_id)))
    oracle = arena / "oracle"

    def racer(number: int) -> None:
        mine = open_store(arena)
        for task_id in ids:
            try:
                lease = mine.claim(
                    task_id, executor="x", owner=identify(), limits=SlotLimits(total=10**6), ttl_s=30.0
                )
            except BusyError:
                continue
            say(oracle, task_id, lease.token)

    assert join(start_children(16, racer)) == [0] * 16
    won = oracle.read_text().split("\n")[:-1]
    assert sorted(won) == [f"{task_id} 1" for task_id in ids]
    assert len(store.leases()) == len(ids)


def test_sixteen_processes_create_each_id_once(arena: Path) -> None:
    ids = [f"t{number:04}" for number in range(60 * SIZE)]
    oracle = arena / "oracle"

    def racer(number: int) -> None:
        mine = open_store(arena)
        for task_id in ids:
            try:
                mine.create(TaskDraft(id=task_id, text=text_of(task_id, title=f"by {number}")))
            except AutopilotError:
                continue
            say(oracle, task_id, number)

    assert join(start_children(16, racer)) == [0] * 16
    winners = dict(line.split() for line in oracle.read_text().splitlines())
    assert len(oracle.read_text().splitlines()) == len(ids) == len(winners)
    assert all(open_store(arena).get(task_id).title == f"by {winners[task_id]}" for task_id in ids)


def test_killed_and_stopped_workers_never_share_a_task(arena: Path) -> None:
    """Workers claim, start, hold, finish and reclaim; some are killed, some stopped past their lease.

    The judge is the oracle file that the workers write while they hold a task.
    """
    tasks, workers, limit = 80 * SIZE, 4, 3
    ids = [f"t{number:04}" for number in range(tasks)]
    store = open_store(arena)
    for task_id in ids:
        store.create(TaskDraft(id=task_id, text=task_text(task_id)))
    oracle = arena / "oracle"
    rng = random.Random(4)
    pids = start_children(workers, lambda number: work_through(arena, ids, limit, seed=number))
    kills = stops = 0
    deadline = time.monotonic() + 120
    while pids and time.monotonic() < deadline:
        time.sleep(rng.uniform(0.02, 0.1))
        for pid in list(pids):
            if os.waitpid(pid, os.WNOHANG)[0]:
                pids.remove(pid)
        if pids and kills < 25 * SIZE and rng.random() < 0.6:
            victim = rng.choice(pids)
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            pids.remove(victim)
            kills += 1
            seed = 100 + kills
            pids += start_children(1, lambda _, seed=seed: work_through(arena, ids, limit, seed=seed))
        elif pids and stops < 8:
            victim = rng.choice(pids)
            os.kill(victim, signal.SIGSTOP)
            time.sleep(0.15)
            os.kill(victim, signal.SIGCONT)
            stops += 1
    assert not pids, "the workers did not come to an end"
    assert kills >= 10
    judge(oracle.read_text().splitlines(), ids, kills)
    assert all(store.get(task_id).status is Status.DONE for task_id in ids)
    store.project()
    assert store.leases() == []


def work_through(folder: Path, ids: list[str], limit: int, *, seed: int) -> None:
    rng = random.Random(seed)
    oracle = folder / "oracle"
    store = open_store(folder)
    watch = BeatWatch()
    while True:
        store.project()
        for lease in store.leases():
            if lease.state is not LeaseState.ENDED and verdict(lease, SystemClock(), watch) is Liveness.DEAD:
                say(oracle, "dead", lease.task_id, lease.token)
                attempt(
                    lambda lease=lease: store.finish(lease, Ending(status=Status.PENDING, record=lease.record))
                )
        todo = [task_id for task_id in ids if store.get(task_id).status is not Status.DONE]
        if not todo:
            return
        pending = [task_id for task_id in todo if store.get(task_id).status is Status.PENDING]
        if not pending:
            time.sleep(0.01)
            continue
        task_id = rng.choice(pending)
        attempt(lambda task_id=task_id: one_attempt(store, oracle, task_id, limit, rng))


def one_attempt(store: FileStore, oracle: Path, task_id: str, limit: int, rng: random.Random) -> None:
    lease = store.claim(task_id, executor="x", owner=identify(), limits=SlotLimits(total=limit), ttl_s=30.0)
    lease = store.start(lease, owner=identify())
    say(oracle, "start", task_id, lease.token)
    time.sleep(rng.uniform(0, 0.1))
    say(oracle, "end", task_id, lease.token)
    store.finish(lease, Ending(status=Status.DONE, record=lease.record))
    say(oracle, "accepted", task_id, lease.token)


def attempt(step: Callable[[], object]) -> None:
    try:
        step()
    except BusyError:
        pass


def judge(lines: list[str], ids: list[str], kills: int) -> None:
    running: dict[str, int] = {}
    last: dict[str, int] = {}
    accepted: Counter[str] = Counter()
    starts = 0
    for line in lines:
        what, task_id, token = line.split()
        if what == "start":
            starts += 1
            assert task_id not in running, f"{task_id} was started twice at once"
            assert int(token) > last.get(task_id, 0), f"token {token} of {task_id} is old"
            running[task_id] = last[task_id] = int(token)
        elif what == "accepted":
            accepted[task_id] += 1
        else:
            running.pop(task_id, None)
        assert len(running) <= 3 + kills
    assert all(accepted[task_id] <= 1 for task_id in ids)
    assert starts <= len(ids) + kills
