"""Limits that a dispatcher meets in the middle of its work: it says so, starts nothing that it cannot record, lets
running attempts go on, and goes on by itself when the limit is lifted."""

from __future__ import annotations

import contextlib
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign import FAST, FULL, record, sample, size
from tests.process.bench import Bench, mounted
from tests.process.limits import LIMITS, Full, Limit, Memory, ReadOnly

DISK = "size=768k,nr_inodes=400,mode=700"
SAYS_SO = {"full", "no inodes", "read-only", "no access", "file size", "descriptors"}
"""Under these the dispatcher can start nothing, and must say why; the others it may not even notice."""
REFUSES = {"full", "no inodes", "read-only", "no access"}
"""Under these a person's command is refused, too."""
BEATS = {"full", "no inodes", "file size", "processes"}
"""Under these the signs of life of a running attempt need nothing that is lacking."""


@contextlib.contextmanager
def new_bench() -> Iterator[Bench]:
    """A bench on a small disk of its own, where one can be mounted."""
    with tempfile.TemporaryDirectory(dir=FAST) as outside, mounted(Path(outside, "disk"), DISK) as able:
        place = Bench(Path(outside, "disk"), Path(outside), small=able)
        try:
            yield place
        finally:
            place.end()


@pytest.fixture
def bench() -> Iterator[Bench]:
    with new_bench() as place:
        yield place


ROOTLESS = "file size"
"""A limit under which nothing can be recorded, and that everybody can impose."""


@pytest.mark.parametrize("name", sorted({ROOTLESS, *sample(LIMITS, 4)}))
def test_a_limit_is_met_and_outlived(name: str, bench: Bench) -> None:
    limit = LIMITS[name](bench)
    if reason := limit.unusable():
        pytest.skip(reason)
    bench.waiting_task("before")
    bench.start()
    bench.until(lambda: bench.executed()["before"] == 1, "a task that runs before")
    with imposed(limit, "a", "b"):
        if name in SAYS_SO:
            bench.until(lambda: "waiting for the disk" in bench.said.read_text(), "that the dispatcher says why")
            assert bench.executed() == {"before": 1}
        if name in BEATS:
            last = bench.beat("before")
            bench.until(lambda: bench.beat("before") != last, "a sign of life under the limit")
        if name in REFUSES:
            check_commands(bench)
        bench.go.touch()
        time.sleep(1.0)
    if limit.kills:
        bench.retry_poison()
    bench.until_done()
    assert bench.stop() == 0
    bench.check(again=limit.kills or isinstance(limit, ReadOnly))
    record("T9", f"limit: {name}", tasks=3, lost=0, damaged=0)


@contextlib.contextmanager
def imposed(limit: Limit, *tasks: str) -> Iterator[None]:
    """The limit comes between the creation of these tasks and the dispatcher's next look."""
    with limit.quiet():
        for name in tasks:
            limit.bench.task(name)
        limit.impose()
    try:
        yield
    finally:
        limit.lift()


def check_commands(bench: Bench) -> None:
    refused = bench.run("task", "create", "--title", "refused")
    assert refused.returncode == 4, refused.stderr
    said = refused.stderr.splitlines()
    assert len(said) == 2, said
    assert said[0].startswith("error: cannot ")
    assert said[1].startswith("hint: ")
    read = bench.run("task", "list")
    assert (read.returncode, read.stderr) == (0, "")


def test_a_full_disk_is_in_the_log(bench: Bench) -> None:
    """The ballast makes room for that, and is there again afterwards."""
    limit = Full(bench)
    if reason := limit.unusable():
        pytest.skip(reason)
    bench.start()
    ballast, log = Path(bench.root.state, "ballast"), bench.control().log
    bench.until(ballast.exists, "the ballast")
    with imposed(limit, "a"):
        bench.until(lambda: log.tail(1, types="storage.failed") != [], "the event that tells of the full disk")
        assert not ballast.exists()
    bench.until_done()
    bench.until(lambda: log.tail(1, types="storage.recovered") != [], "the event that tells of the end")
    assert ballast.exists()
    assert bench.stop() == 0
    (failed,) = log.tail(9, types="storage.failed")
    assert "No space left" in failed.data["payload"]["message"]
    (recovered,) = log.tail(9, types="storage.recovered")
    assert recovered.data["payload"]["seconds"] > 0
    bench.check()


def test_who_needs_too_much_memory_is_killed_and_the_others_are_not(bench: Bench) -> None:
    limit = Memory(bench)
    if reason := limit.unusable():
        pytest.skip(reason)
    bench.start()
    bench.until(lambda: "dispatching" in bench.said.read_text(), "the dispatcher")
    with imposed(limit, "a", "b"):
        hog = f'exec {sys.executable} -c "x = bytearray({2 * limit.bytes})"'
        bench.task("hog", hog, "max_attempts: 1")
        bench.until(lambda: bench.statuses() == {"a": "done", "b": "done", "hog": "blocked"}, "all three end")
    assert bench.stop() == 0
    assert bench.control().store.get("hog").result["outcome"] == "failed"


@pytest.mark.skipif(not FULL, reason="a campaign of many minutes; AUTOPILOT_TEST_SIZE=1000 runs it")
@pytest.mark.timeout(5400)
def test_random_sequences_of_limits() -> None:
    sequences, limits, tasks = size(1, 50), 0, 0
    for seed in range(sequences):
        with new_bench() as bench:
            done = run_sequence(bench, random.Random(seed))
            limits, tasks = limits + done, tasks + len(bench.names)
    record("T9", "random sequences of limits", sequences=sequences, limits=limits, tasks=tasks, lost=0, damaged=0)


def run_sequence(bench: Bench, rng: random.Random) -> int:
    """Three to six limits one after another, for a while each, with tasks that come and run meanwhile."""
    usable = [make for make in LIMITS.values() if not make(bench).unusable()]
    chosen = [rng.choice(usable)(bench) for _ in range(rng.randint(3, 6))]
    bench.task("first")
    bench.start()
    bench.until_done()
    for number, limit in enumerate(chosen):
        with imposed(limit, f"t{number}-a", f"t{number}-b"):
            time.sleep(rng.uniform(0.1, 2.5))
        if limit.kills:
            bench.retry_poison()
        if isinstance(limit, ReadOnly):
            bench.until_done()  # the next limit is not to meet a dispatcher that only begins
        time.sleep(rng.uniform(0, 1.0))
    bench.until_done()
    assert bench.stop() == 0
    bench.check(again=any(limit.kills or isinstance(limit, ReadOnly) for limit in chosen))
    return len(chosen)
