"""What is crashed: pieces of a control plane's life, together all of its writing code, and the way back from each.

A scenario prepares a root, once; each injection works on a copy of it. ``act`` is what is disturbed. ``settle`` is
the way back: ticks of fresh processes, with no repair of any kind.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from autopilot.errors import AutopilotError, LeaseLostError
from autopilot.models import InvalidTask, OutcomeKind, Status, Task
from tests.campaign import FAST
from tests.crash.forks import in_child
from tests.crash.oracle import examine
from tests.crash.world import World

__all__ = ["SCENARIOS", "Scenario", "broken_in", "copy_of", "settle", "warm_templates"]

Step = Callable[[World], object]


@attrs.frozen
class Scenario:
    """A piece of life.

    Attributes:
        prepare: done once, undisturbed, in a process that is dead when ``steps`` begin.
        steps: what is disturbed, in order.
    """

    name: str
    prepare: tuple[Step, ...]
    steps: tuple[Step, ...]

    def template(self, folder: Path) -> None:
        """Make the root that every injection gets a copy of."""

        def work() -> None:
            world = World(folder)
            world.control.ensure_root()
            for step in self.prepare:
                step(world)
            world.close()

        folder.mkdir(parents=True)
        assert in_child(work) == 0

    def act(self, folder: Path, durability: str = "process") -> None:
        """The steps, in this process. One that the disk refuses is tried again, as a person or the loop would."""
        world = World(folder, durability)
        for number, step in enumerate(self.steps):
            for _ in range(3):
                try:
                    step(world)
                except LeaseLostError:
                    pass
                except (AutopilotError, OSError) as fault:
                    world.ack("refused", number, str(fault))
                    continue
                break
        world.close()


def copy_of(template: Path, folder: Path) -> Path:
    """A root like ``template``."""
    return Path(shutil.copytree(template, folder, symlinks=True))


def settle(folder: Path) -> None:
    """Fresh dispatchers, one after the other, until nothing moves any more. Who paused them resumes them."""
    for _ in range(8):
        world = World(folder)
        if world.control.hold() is not None:
            world.control.resume()
        world.tick()
        world.tick()
        moving = world.control.store.leases() or not all(map(_rests, world.control.store.tasks()))
        world.close()
        if not moving:
            return


def _rests(task: Task | InvalidTask) -> bool:
    return isinstance(task, Task) and task.status in (Status.DONE, Status.CANCELLED, Status.BLOCKED)


def broken_in(folder: Path) -> list[str]:
    """Every promise that does not hold after the way back, judged by a fresh process."""
    told = folder / "broken"

    def work() -> None:
        settle(folder)
        told.write_text("\n".join(examine(folder)))

    code = in_child(work)
    return told.read_text().splitlines() if code == 0 else [f"the way back ended with {code}"]


@contextmanager
def warm_templates() -> Iterator[dict[str, Path]]:
    """The prepared root of every scenario, and this process warm: what its children need is imported."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        folders = {scenario.name: Path(place, scenario.name) for scenario in SCENARIOS}
        for scenario in SCENARIOS:
            scenario.template(folders[scenario.name])
            _try(scenario, folders[scenario.name], Path(place, "tried"))
        yield folders


def _try(scenario: Scenario, template: Path, folder: Path) -> None:
    """All of it undisturbed: by a child, which dies as all others will; by this process, to import all of it."""
    copy_of(template, folder)
    assert in_child(lambda: scenario.act(folder)) == 0
    assert broken_in(folder) == [], scenario.name
    shutil.rmtree(folder)
    scenario.act(copy_of(template, folder))
    settle(folder)
    shutil.rmtree(folder)


# ---------------------------------------------------------------------- steps


def create(task_id: str, *lines: str) -> Step:
    return lambda world: world.create(task_id, *lines)


def tick(world: World) -> None:
    world.tick()


def attempts_reach(stage: str) -> Step:
    return lambda world: setattr(world.hands, "reach", stage)


def attempts_come_to(task_id: str, *kinds: OutcomeKind) -> Step:
    return lambda world: world.hands.outcomes.update({task_id: list(kinds)})


def saved(task_id: str, status: str) -> Step:
    """A person writes another status, and a remark, and saves."""
    line = f"status: {status}\n".encode()

    def change(data: bytes) -> bytes:
        return line.join(re.split(rb"(?m)^status: .*\n", data, maxsplit=1))

    return lambda world: world.save(task_id, change, f"{status}, please")


def torn(world: World) -> None:
    """Somebody died in the middle of an append, and the disk has a piece of the line."""
    with open(Path(world.root.events, "events.ndjson"), "ab") as file:
        file.write(b'{"id":"evt-torn","event_type":"task.cre')


def forget(world: World) -> None:
    """What was promised until here is removed on purpose later."""
    world.acks.unlink()


def logs(count: int) -> Step:
    return lambda world: world.append(*["dispatcher.paused", "dispatcher.resumed"] * count)


SCENARIOS = (
    Scenario(
        "creation",
        prepare=(),
        steps=(
            create("one"),
            create("two", "depends_on: [one]"),
            lambda world: world.edit("one", {"priority": "high"}),
            lambda world: world.control.pause(),
            lambda world: world.control.resume(),
        ),
    ),
    Scenario("claim and start", prepare=(create("one"),), steps=(tick,)),
    Scenario("finish", prepare=(create("one"), create("two"), tick), steps=(tick,)),
    Scenario(
        "reclaim",
        prepare=(
            create("one"),
            attempts_reach("claimed"),
            tick,
            create("two"),
            attempts_reach("started"),
            tick,
        ),
        steps=(tick, tick),
    ),
    Scenario(
        "people",
        prepare=(create("done"), tick, tick, create("one")),
        steps=(
            attempts_reach("started"),
            tick,
            saved("one", "cancelled"),
            tick,
            attempts_reach("reported"),
            saved("done", "pending"),
            tick,
            create("two"),
            lambda world: world.control.cancel("two"),
            lambda world: world.control.retry("two", force=True),
            tick,
        ),
    ),
    Scenario(
        "failures",
        prepare=(create("one"), create("two", "max_attempts: 2"), create("three"), create("odd", "executor: odd")),
        steps=(
            attempts_come_to("one", OutcomeKind.UNAVAILABLE, OutcomeKind.FAILED),
            attempts_come_to("two", OutcomeKind.FAILED, OutcomeKind.FAILED),
            attempts_come_to("three", OutcomeKind.NEEDS_INPUT),
            tick,
            tick,
            tick,
        ),
    ),
    Scenario(
        "the log",
        prepare=(create("one"), logs(12), forget, torn),
        steps=(
            logs(1),
            logs(2),
            lambda world: world.control.log.rotate(),
            lambda world: world.control.log.gc(keep_bytes=2000),
            logs(1),
        ),
    ),
    Scenario("a whole life", prepare=(), steps=(create("one"), create("two", "depends_on: [one]"), *[tick] * 5)),
)
