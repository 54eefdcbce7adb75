"""No process of an attempt outlives it: every shape of the zoo, for every way an attempt can end.

The shapes of one ending run side by side; only those that keep a whole core busy run alone.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs
import pytest

from autopilot.models import Lease, LeaseState, OutcomeKind
from autopilot.runner.folders import read_reaped, read_tree
from autopilot.runner.launcher import Launcher
from autopilot.runner.reclaim import Cleared, clear
from autopilot.system.clock import SystemClock
from autopilot.system.processes import boot_id
from tests.process.runner_support import Arena, arena, kill, until
from tests.process.zoo import Shape, argv_of, living, new_tag, staying

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")

NOISY = ("deaf_daemon_flood", "fork_bomb", "respawner")
QUIET = [shape for shape in staying() if shape.name not in NOISY]
GROUPS = [QUIET, *[[shape] for shape in staying() if shape.name in NOISY]]
GRACE_S = 0.5


@attrs.frozen
class Cell:
    """One shape at work in an attempt."""

    shape: Shape
    tag: str
    folder: Path
    lease: Lease

    @property
    def ready(self) -> bool:
        """Whether its whole tree is there."""
        return (self.folder / "ready").exists()


class Zoo:
    """The shapes of one test, and a decoy that looks like them."""

    def __init__(self, place: Arena) -> None:
        self.place = place
        self.cells: list[Cell] = []
        self.decoy_tag = new_tag()
        self.decoy = subprocess.Popen(["sleep", f"1000.{self.decoy_tag}"], start_new_session=True)

    def let_out(self, shapes: list[Shape], *, and_leave: bool = False, **changes) -> None:
        """Start each shape in an attempt; ``and_leave``: its program then ends, with success."""
        for shape in shapes:
            tag, folder = new_tag(), self.place.work / shape.name
            line = shlex.join(argv_of(shape, folder, tag))
            ready = shlex.quote(str(folder / "ready"))
            wait = f"while [ ! -e {ready} ]; do sleep 0.05; done"
            body = f"{line} &\n{wait}\n" if and_leave else f"{line} &\n{wait}\nwait\nexec sleep 1000.{tag}\n"
            task_id = f"{self.place.task_id}.{shape.name.replace('_', '-')}"
            limits = {"grace_s": GRACE_S, **changes.get("limits", {})}
            lease = self.place.start(body, task_id=task_id, executor="shell", **{**changes, "limits": limits})
            self.cells.append(Cell(shape, tag, folder, lease))

    def wait_ready(self) -> None:
        """Until every tree is there."""
        for cell in self.cells:
            until(lambda cell=cell: cell.ready, f"{cell.shape.name} to be ready")

    def survivors(self) -> dict[str, list[int]]:
        """Who is alive, by shape."""
        return {cell.shape.name: pids for cell in self.cells if (pids := living(cell.tag))}

    def outcomes(self) -> dict[str, OutcomeKind]:
        """What the attempts came to."""
        found = {}
        for cell in self.cells:
            result = self.place.store.result(cell.lease)
            assert result is not None, cell.shape.name
            found[cell.shape.name] = result.outcome.kind
        return found

    def close(self) -> None:
        """End what the test failed to."""
        assert self.decoy.poll() is None, "the decoy was hit"
        self.decoy.kill()
        self.decoy.wait()
        for cell in self.cells:
            for pid in living(cell.tag):
                kill(pid)


@pytest.fixture
def zoo(tmp_path):
    with arena(tmp_path) as place:
        made = Zoo(place)
        with contextlib.closing(made):
            yield made


def group(test):
    """Over quiet shapes together and noisy ones alone."""
    return pytest.mark.parametrize("shapes", GROUPS, ids=["quiet", *NOISY])(test)


@group
def test_nobody_survives_a_success(zoo: Zoo, shapes):
    zoo.let_out(shapes, and_leave=True)
    for cell in zoo.cells:
        assert zoo.place.ended(cell.lease).exit_code == 0
        assert living(cell.tag) == [], cell.shape.name
    assert set(zoo.outcomes().values()) == {OutcomeKind.SUCCEEDED}


@group
def test_nobody_survives_a_timeout(zoo: Zoo, shapes):
    zoo.let_out(shapes, limits={"deadline_s": 1.0 + 0.5 * len(shapes)})
    for cell in zoo.cells:
        assert zoo.place.ended(cell.lease).exit_code == 0
        assert living(cell.tag) == [], cell.shape.name
    assert set(zoo.outcomes().values()) == {OutcomeKind.TIMED_OUT}
    assert any(cell.ready for cell in zoo.cells)


@group
def test_nobody_survives_a_cancel(zoo: Zoo, shapes):
    zoo.let_out(shapes)
    zoo.wait_ready()
    for cell in zoo.cells:
        assert zoo.place.store.request_cancel(cell.lease.task_id, by="a test")
    for cell in zoo.cells:
        assert zoo.place.ended(cell.lease).exit_code == 0
        assert living(cell.tag) == [], cell.shape.name
    assert set(zoo.outcomes().values()) == {OutcomeKind.CANCELLED}


@group
def test_nobody_survives_the_death_of_the_runner(zoo: Zoo, shapes):
    zoo.let_out(shapes)
    zoo.wait_ready()
    for cell in zoo.cells:
        kill(zoo.place.started(cell.lease).owner)
    orphans = 0
    for cell in zoo.cells:
        # The launcher tells the end only when the orphans are gone.
        assert zoo.place.ended(cell.lease).exit_code == -signal.SIGKILL
        assert living(cell.tag) == [], cell.shape.name
        reaped = read_reaped(zoo.place.run_dir(cell.lease))
        assert reaped is not None
        assert reaped.runner_exit == -signal.SIGKILL
        orphans += reaped.orphans_killed
        lease = zoo.place.store.lease(cell.lease.task_id)
        assert isinstance(clear(lease, zoo.place.run_dir(lease), clock=SystemClock()), Cleared)
    # Whose an orphan was cannot be told when several runners die at once: the sum is what counts.
    assert orphans >= len(shapes)


def die_after(place: Arena, work) -> None:
    """Let a dispatcher of its own do ``work`` and then be killed where it stands."""
    place.launcher.close()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            place.launcher = Launcher(str(place.root), environ=place.environ)
            work()
            os.write(writing, b"done")
            time.sleep(1000)
        finally:
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read(4) == b"done", place.complaints()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def let_out_by_a_dispatcher_that_dies(zoo: Zoo, shapes, **changes) -> list[Lease]:
    """The started leases of attempts whose dispatcher was killed."""
    # Claims and tags are made here, so that this process knows them; only the start is the dispatcher's.
    starts = []
    zoo.place.launcher.start = lambda spec, lease: starts.append((spec, lease))
    zoo.let_out(shapes, **changes)
    die_after(zoo.place, lambda: [zoo.place.launcher.start(spec, lease) for spec, lease in starts])
    return [zoo.place.started(cell.lease) for cell in zoo.cells]


@group
def test_attempts_outlive_their_dispatcher_and_nobody_outlives_them(zoo: Zoo, shapes):
    leases = let_out_by_a_dispatcher_that_dies(zoo, shapes)
    zoo.wait_ready()
    for lease in leases:
        assert zoo.place.store.request_cancel(lease.task_id, by="a test")
    for lease in leases:
        until(lambda lease=lease: zoo.place.store.result(lease), "the report")
    assert zoo.survivors() == {}
    assert set(zoo.outcomes().values()) == {OutcomeKind.CANCELLED}
    launcher = leases[0].guardian
    until(lambda: not os.path.exists(f"/proc/{launcher.pid}"), "the launcher to end after its last runner")


@group
def test_nobody_survives_the_death_of_both(zoo: Zoo, shapes):
    leases = let_out_by_a_dispatcher_that_dies(zoo, shapes)
    zoo.wait_ready()
    for lease in leases:
        kill(lease.owner)
    for lease in leases:
        until(lambda lease=lease: isinstance(clear_of(zoo, lease), Cleared), "the reclaim")
    assert zoo.survivors() == {}


@group
def test_nobody_survives_the_death_of_all_three(zoo: Zoo, shapes):
    """Dispatcher, launcher and runner: what is left is known by its mark, or by the runner's notes."""
    leases = let_out_by_a_dispatcher_that_dies(zoo, shapes)
    zoo.wait_ready()
    for cell in zoo.cells:
        if cell.shape.name not in NOISY:
            until(lambda cell=cell: set(living(cell.tag)) <= noted(zoo, cell.lease), f"notes of {cell.shape.name}")
    kill(leases[0].guardian)
    for lease in leases:
        kill(lease.owner)
    for lease in leases:
        until(lambda lease=lease: isinstance(clear_of(zoo, lease), Cleared), "the reclaim")
    assert zoo.survivors() == {}


def noted(zoo: Zoo, lease: Lease) -> set[int]:
    return {pid for pid, _ in read_tree(zoo.place.run_dir(lease), boot_id())}


def clear_of(zoo: Zoo, lease: Lease):
    now = zoo.place.store.lease(lease.task_id)
    assert now is not None
    assert now.state is LeaseState.STARTED
    return clear(now, zoo.place.run_dir(now), clock=SystemClock())
