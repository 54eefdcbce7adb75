"""Many processes at once on one file store: claims, creations, and workers that are killed and stopped."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autopilot.errors import AlreadyExistsError, BusyError
from autopilot.models import Ending, LeaseState, Status, TaskDraft
from autopilot.store.contract import SlotLimits
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import BeatWatch, Liveness, verdict
from autopilot.system.clock import SystemClock
from autopilot.system.processes import identify
from autopilot.testing.stores import text_of
from tests.campaign import FAST, FULL, record, size
from tests.crash.forks import join, say, start_children
from tests.crash.life import open_store, task_text
from tests.crash.naive_claims import NAIVE

pytestmark = pytest.mark.timeout(7200 if FULL else 600)


@pytest.fixture
def arena() -> Iterator[Path]:
    """A folder on the fastest disk there is."""
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        yield Path(folder)


RACERS = 16


def race(ids: list[str], oracle: Path, enter: Callable[[int], Callable[[str], object]]) -> list[list[str]]:
    """Have sixteen processes meet at a barrier before each task and then try it all at once; who won what.

    Args:
        enter: called in each racer with its number; gives its try, which tells what it won, None for nothing.
    """
    barrier = multiprocessing.get_context("fork").Barrier(RACERS)

    def racer(number: int) -> None:
        attempt = enter(number)
        for task_id in ids:
            barrier.wait(600)
            won = attempt(task_id)
            if won is not None:
                say(oracle, task_id, won)

    assert join(start_children(RACERS, racer)) == [0] * RACERS
    return [line.split() for line in oracle.read_text().splitlines()]


def test_sixteen_processes_claim_each_task_once(arena: Path) -> None:
    tasks = size(150, 5000)
    # Each claim counts the slots that are taken: thousands of held tasks at once would be about nothing else.
    rounds = [min(250, tasks - begun) for begun in range(0, tasks, 250)]
    winners = sum(claim_race(arena / f"{number}", count) for number, count in enumerate(rounds))
    record("T4", "claim race", processes=RACERS, tasks=tasks, winners=winners)
    assert winners == tasks


def claim_race(arena: Path, tasks: int) -> int:
    """Race for so many tasks; how many winners there were, and each task has one."""
    arena.mkdir()
    ids = [f"t{number:04}" for number in range(tasks)]
    store = open_store(arena)
    for task_id in ids:
        store.create(TaskDraft(id=task_id, text=task_text(task_id)))

    def enter(number: int) -> Callable[[str], object]:
        mine, limits = open_store(arena), SlotLimits(total=10**6)

        def claim(task_id: str) -> int | None:
            try:
                return mine.claim(task_id, executor="x", owner=identify(), limits=limits, ttl_s=30.0).token
            except BusyError:
                return None

        return claim

    won = race(ids, arena / "oracle", enter)
    assert sorted(won) == [[task_id, "1"] for task_id in ids]
    assert len(store.leases()) == len(ids)
    return len(won)


def test_sixteen_processes_create_each_id_once(arena: Path) -> None:
    ids = [f"t{number:04}" for number in range(size(60, 5000))]

    def enter(number: int) -> Callable[[str], object]:
        mine = open_store(arena)

        def create(task_id: str) -> int | None:
            try:
                mine.create(TaskDraft(id=task_id, text=text_of(task_id, title=f"by {number}")))
            except AlreadyExistsError:
                return None
            return number

        return create

    won = race(ids, arena / "oracle", enter)
    record("T4", "create race", processes=RACERS, tasks=len(ids), winners=len(won))
    assert sorted(task_id for task_id, _ in won) == ids
    store = open_store(arena)
    assert all(store.get(task_id).title == f"by {number}" for task_id, number in won)


def test_sixteen_commands_create_an_id_once(arena: Path) -> None:
    rounds = size(1, 20)
    for number in range(rounds):
        words = ["task", "create", "--id", f"t{number}", "--command", "true", "--title"]
        command = [sys.executable, "-m", "autopilot.cli", "--root", str(arena / ".autopilot"), *words]
        racers = [
            subprocess.Popen([*command, f"by {racer}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for racer in range(RACERS)
        ]
        said = [process.communicate(timeout=600) for process in racers]
        codes = Counter(process.returncode for process in racers)
        assert codes == {0: 1, AlreadyExistsError.exit_code: RACERS - 1}, said
        winner = next(racer for racer, process in enumerate(racers) if process.returncode == 0)
        assert f"by {winner}" in (arena / ".autopilot" / "tasks" / f"t{number}.md").read_text()
    record("T4", "create race of commands", processes=RACERS, tasks=rounds, winners=rounds)


def test_the_race_finds_those_who_did_not_think_of_it(arena: Path) -> None:
    """Without this a race with one winner each could be no race at all."""
    ids = [f"t{number:04}" for number in range(size(200, 5000))]
    assert any(sum([doubled(arena / f"{number}", ids, way) for way in NAIVE]) for number in range(10))


def doubled(arena: Path, ids: list[str], way: str) -> int:
    """How many tasks several processes believe to have claimed."""
    arena.mkdir(exist_ok=True)

    def enter(number: int) -> Callable[[str], object]:
        return lambda task_id: number if NAIVE[way](arena, task_id, os.getpid()) else None

    won = Counter(task_id for task_id, _ in race(ids, arena / f"oracle {way}", enter))
    several = sum(winners > 1 for winners in won.values())
    record("T4", f"claim race, naive: {way}", processes=RACERS, tasks=len(ids), won_by_several=several)
    return several


def test_killed_and_stopped_workers_never_share_a_task(arena: Path) -> None:
    """Workers claim, start, hold, finish and reclaim; some are killed, some stopped past their lease.

    The judge is the oracle file that the workers write while they hold a task.
    """
    tasks, workers, limit = size(80, 800), 4, 3
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
        if pids and kills < size(25, 250) and rng.random() < 0.6:
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
