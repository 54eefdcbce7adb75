"""T8, the process zoo: no process of an attempt outlives it, for every shape and every way an attempt can end.

A cell is one shape and one ending: an attempt of its own. The shapes of one ending run side by side in one root,
those that keep a whole core busy apart from the others, and by default with fewer endings. At full size every cell
is done three times.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import psutil
import pytest

from tests.campaign import FULL, record, sample, size
from tests.process.bench import RIGHTLESS
from tests.process.cage import GRACE_S, Cage, Cell, cage
from tests.process.zoo import SHAPES, Shape, argv_of, end_all, living, new_tag, staying, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")

NOISY = ("deaf_daemon_flood", "fork_bomb", "respawner", "always_young")
PLACE = os.environ.get("AUTOPILOT_ZOO_PLACE", "here")
"""Where this process runs: the matrix is run again in other places, once, by another pytest."""

NEARLY_ALL = 0.8
"""The share of a cage's shapes that must be there for it to count."""

REPEATS = size(1, 3) if PLACE == "here" else 1

GROUPS = {
    "quiet": [shape for shape in staying() if shape.name not in NOISY],
    "noisy": [SHAPES[name] for name in NOISY],
}
BUSY = sample(("timeout", "cancel", "runner KILL", "dispatcher, runner KILL", "all three KILL"), 2)
"""The endings that the noisy shapes have by default."""


# ---------------------------------------------------------------------- endings


@attrs.frozen(kw_only=True)
class Ending:
    """A way in which attempts end.

    Attributes:
        do: brings it about; what is left is for the files to say.
        outcome: what the attempts come to.
        ticks: nobody is left who would notice before the next tick.
        leave: the program itself ends, with success.
        timed: it is the attempt's deadline.
    """

    do: Callable[[Cage], None]
    outcome: str
    ticks: bool = False
    leave: bool = False
    timed: bool = False


def _cancel_after(number: int) -> Callable[[Cage], None]:
    """The dispatcher goes, the attempts go on, and can be cancelled all the same."""

    def do(caged: Cage) -> None:
        caged.kill_dispatcher(number)
        assert all(cell.alive() for cell in caged.cells)
        caged.cancel()

    return do


def _kill(*, dispatcher: bool = False, launcher: bool = False) -> Callable[[Cage], None]:
    """SIGKILL for every runner, and for who is above them; where no dispatcher lives, the next tick comes."""

    def do(caged: Cage) -> None:
        if dispatcher:
            caged.kill_dispatcher()
        if launcher:
            caged.kill_launcher()
        caged.kill_runners()
        if dispatcher:
            caged.tick()

    return do


TICKS = {"outcome": "lost", "ticks": True}
ENDINGS = {
    "success": Ending(do=lambda caged: None, outcome="succeeded", leave=True),
    "timeout": Ending(do=lambda caged: None, outcome="timed_out", timed=True),
    "cancel": Ending(do=Cage.cancel, outcome="cancelled"),
    "dispatcher TERM": Ending(do=_cancel_after(signal.SIGTERM), outcome="cancelled"),
    "dispatcher KILL": Ending(do=_cancel_after(signal.SIGKILL), outcome="cancelled"),
    "runner KILL": Ending(do=_kill(), outcome="lost"),
    "dispatcher, runner KILL": Ending(do=_kill(dispatcher=True), **TICKS),
    "launcher, runner KILL": Ending(do=_kill(launcher=True), **TICKS),
    "all three KILL": Ending(do=_kill(dispatcher=True, launcher=True), **TICKS),
}


# ---------------------------------------------------------------------- the matrix


class Ledger:
    """What the cells of one campaign came to."""

    def __init__(self) -> None:
        self.cells: Counter[str] = Counter()
        self.survivors = 0
        self.decoys_hit = 0
        self.took_s: dict[bool, list[float]] = {True: [0.0], False: [0.0]}

    def note(self, name: str, caged: Cage, took: Callable[[Cell], float]) -> None:
        """Count a cage whose attempts are over; ``took``: seconds from the ending to nobody."""
        self.decoys_hit += caged.decoys_hit()
        for cell in caged.cells:
            self.cells[name] += cell.ready
            self.survivors += len(cell.left)
            self.took_s[ENDINGS[name].ticks].append(took(cell))

    def publish(self, campaign: str) -> None:
        record(
            "T8",
            campaign,
            place=PLACE,
            cells=self.cells.total(),
            endings=len(self.cells),
            survivors=self.survivors,
            decoys_hit=self.decoys_hit,
            later_than_grace_and_2_s=sum(took > GRACE_S + 2 for took in self.took_s[False]),
            worst_s=round(max(self.took_s[False]), 2),
            worst_with_next_tick_s=round(max(self.took_s[True]), 2),
        )


@pytest.fixture(scope="module")
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    if made.cells:
        made.publish("matrix")


def run_cell(name: str, shapes: Sequence[Shape], folder: Path, ledger: Ledger, **more) -> None:
    """Let shapes out, end their attempts, and look who is left.

    An attempt's deadline waits for nobody: where it left too few shapes the time to come out, it is a longer one.
    """
    deadline_s = 2.0 + size(3, 20) * len(shapes) / 10 if ENDINGS[name].timed else 3600.0
    for longer in (1, 3, 9):
        place = folder / f"{longer} times"
        ready = let_out_and_end(name, shapes, place, ledger, deadline_s=longer * deadline_s, **more)
        if ready >= NEARLY_ALL * len(shapes):
            return
    raise AssertionError(f"{name}: {ready} of {len(shapes)} shapes were there when they were ended")


def let_out_and_end(
    name: str, shapes: Sequence[Shape], folder: Path, ledger: Ledger, *, deadline_s: float, **more
) -> int:
    """How many of the shapes were all there."""
    ending = ENDINGS[name]
    with cage(folder, shapes, leave=ending.leave, deadline_s=deadline_s, **more) as caged:
        if not ending.timed:
            caged.wait_ready()
        if ending.outcome == "lost":
            caged.ctl("dispatch", "pause")  # or the next attempt would let the shape out again
        ending.do(caged)
        caged.wait_over()
        ledger.note(name, caged, caged.overtime if ending.timed else caged.took)
        assert {cell.shape.name: cell.left for cell in caged.cells if cell.left} == {}
        assert caged.decoys_hit() == 0, "a stranger of the same name, or with a mark nearly ours, was hit"
        assert caged.outcomes() == {ending.outcome}
        if name == "runner KILL":
            assert caged.orphans_killed() >= len(shapes)
        return sum(cell.ready for cell in caged.cells)


@pytest.mark.parametrize(
    ("name", "group"),
    [(name, group) for name in ENDINGS for group in GROUPS if group != "noisy" or FULL or name in BUSY],
)
def test_nobody_survives(name: str, group: str, tmp_path: Path, ledger: Ledger) -> None:
    for number in range(REPEATS):
        run_cell(name, GROUPS[group], tmp_path / str(number), ledger)


# ---------------------------------------------------------------------- the same elsewhere


@attrs.frozen(kw_only=True)
class Place:
    """Another world to run the matrix in: a prefix of the command, and why it may not be there."""

    prefix: tuple[str, ...]
    missing: str = ""


_BWRAP = ("bwrap", "--unshare-pid", "--dev-bind", "/", "/", "--proc", "/proc", "--")


def _places() -> dict[str, Place]:
    has = {program: shutil.which(program) is not None for program in ("bwrap", "setpriv")}
    works = has["bwrap"] and subprocess.run([*_BWRAP, "true"], capture_output=True, check=False).returncode == 0
    return {
        "pid namespace": Place(prefix=_BWRAP, missing="" if works else "no bwrap that may make a pid namespace"),
        "no capabilities": Place(
            prefix=RIGHTLESS,
            missing="" if has["setpriv"] and os.geteuid() == 0 else "not root with setpriv: nothing to give up",
        ),
    }


PLACES = _places() if sys.platform == "linux" and PLACE == "here" else {}


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.parametrize("place", PLACES)
def test_it_holds_in_other_places(place: str, tmp_path: Path) -> None:
    """As in a container; and as a user who may neither raise limits nor look into who is not dumpable."""
    if PLACES[place].missing:
        pytest.skip(PLACES[place].missing)
    wanted = "test_nobody_survives" if FULL else "test_nobody_survives and three and quiet"
    command = [sys.executable, "-m", "pytest", __file__, "-q", "-s", "-k", wanted, "-p", "no:cacheprovider"]
    environ = {**os.environ, "AUTOPILOT_ZOO_PLACE": place}
    done = subprocess.run(
        [*PLACES[place].prefix, *command, "--basetemp", str(tmp_path / "there")],
        env=environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"T8 matrix: place {place}, cells " in done.stdout


MOST_PIDS = 80
PIDS = Path("/sys/fs/cgroup/pids") if os.path.isdir("/sys/fs/cgroup/pids") else Path("/sys/fs/cgroup")


@pytest.fixture
def narrow() -> Iterator[Path]:
    """A cgroup in which there is room for a dispatcher and an attempt, and then for nobody."""
    folder = PIDS / f"autopilot-zoo-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "pids.max").write_text(str(MOST_PIDS))
    except OSError as fault:
        pytest.skip(f"no cgroup with a limit on processes can be made: {fault}")
    try:
        yield folder
    finally:
        wait_until(lambda: not (folder / "cgroup.procs").read_text().strip(), 10)
        folder.rmdir()


@pytest.mark.root
@pytest.mark.parametrize("name", ENDINGS if FULL else ["cancel", "all three KILL"])
def test_a_fork_bomb_that_leaves_no_room_is_ended(name: str, narrow: Path, tmp_path: Path) -> None:
    ledger = Ledger()
    run_cell(name, [SHAPES["fork_bomb"]], tmp_path / "cage", ledger, cgroup=narrow)
    ledger.publish(f"fork bomb at {MOST_PIDS} pids, {name}")


# ---------------------------------------------------------------------- what others leave


def _killpg(programs: Sequence[subprocess.Popen[bytes]]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        for program in programs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, number)
        time.sleep(GRACE_S)


def _psutil(programs: Sequence[subprocess.Popen[bytes]]) -> None:
    tree: list[psutil.Process] = []
    for program in programs:
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = psutil.Process(program.pid)
            tree += [*parent.children(recursive=True), parent]
    for end in (psutil.Process.terminate, psutil.Process.kill):
        for process in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                end(process)
        psutil.wait_procs(tree, GRACE_S)


def _let_out(shape: Shape, folder: Path) -> tuple[str, subprocess.Popen[bytes]]:
    tag = new_tag()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    program = subprocess.Popen(argv_of(shape, folder, tag), start_new_session=True, **streams)
    assert wait_until((folder / "ready").exists), shape.name
    return tag, program


@pytest.mark.parametrize("end", [_killpg, _psutil])
def test_the_zoo_is_not_tame(end: Callable[[Sequence[subprocess.Popen[bytes]]], None], tmp_path: Path) -> None:
    """The same shapes under what programs usually do about their children: what zero is to be held against."""
    out: dict[str, tuple[str, subprocess.Popen[bytes]]] = {}
    try:
        for shape in staying():
            out[shape.name] = _let_out(shape, tmp_path / shape.name)
        end([program for _, program in out.values()])
        survivors = {name: len(living(tag)) for name, (tag, _) in out.items()}
    finally:
        for tag, program in out.values():
            end_all(tag)
            program.wait()
    escaped = {name: count for name, count in survivors.items() if count}
    record(
        "T8",
        f"naive {end.__name__.lstrip('_')}",
        shapes=len(survivors),
        shapes_with_survivors=len(escaped),
        survivors=sum(escaped.values()),
        which=" ".join(sorted(escaped)),
    )
    assert {"daemon", "orphans", "always_young"} <= escaped.keys()
