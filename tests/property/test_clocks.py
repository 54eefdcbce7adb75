"""Clocks that jump: by a second, an hour, a year, ten years, either way, before any step of a task's life.

A life with jumps must be the same life as without: the same statuses, attempts and owners, and the same figures
about the executors. Only who is parked until an instant of the wall clock may wait, seen and for a bounded time.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.config.root import Root
from autopilot.config.settings import Settings
from autopilot.dispatcher import gates
from autopilot.dispatcher.board import Board
from autopilot.dispatcher.tick import Dispatcher
from autopilot.errors import LeaseLostError
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Lease,
    LeaseState,
    Outcome,
    OutcomeKind,
    TaskDraft,
    TaskRecord,
)
from autopilot.routing import breaker
from autopilot.store.liveness import GRACE_S, TTL_LONGEST_S, TTL_SHORTEST_S, BeatWatch, Liveness, verdict
from autopilot.system.processes import ProcessIdentity, identify, is_alive
from autopilot.taskfile import render
from autopilot.testing.stores import FakeClock, gone_owner
from tests.campaign import FAST, record, size
from tests.puppets import Stage, control_of, puppet

HOUR_S, DAY_S, YEAR_S = 3600.0, 86_400.0, 365 * 86_400.0
OFFSETS = [sign * much for much in (1, 60, HOUR_S, DAY_S, YEAR_S, 10 * YEAR_S) for sign in (1, -1)]
"""How far the wall clock may be off, in seconds."""

TTL_S = 30.0
JUDGEMENTS = size(150, 4000)


# ---------------------------------------------------------------------- verdicts


def lease_of(owner: ProcessIdentity, beat: float, ttl_s: float) -> Lease:
    return Lease(
        record=TaskRecord(task_id="one", token=1),
        state=LeaseState.STARTED,
        executor="x",
        owner=owner,
        claimed_at=datetime(2026, 11, 22, tzinfo=UTC),
        beat=beat,
        ttl_s=ttl_s,
    )


HERE = identify()
OWNERS = {
    "here": HERE,
    "another host": attrs.evolve(HERE, host="another"),
    "another namespace": attrs.evolve(HERE, pid_space=HERE.pid_space + 1),
    "another boot": attrs.evolve(HERE, boot="another"),
    "a reused pid": attrs.evolve(HERE, start_time="1"),
    "gone": gone_owner(),
}
NEVER = float("-inf")
SEEN, UNSEEN = ("here",), ("another host", "another namespace")

moves = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, TTL_SHORTEST_S + GRACE_S)),
        st.tuples(st.just("wall"), st.sampled_from(OFFSETS)),
        st.tuples(st.just("beat"), st.just(0.0)),
    ),
    max_size=40,
)


@settings(max_examples=JUDGEMENTS, deadline=None, database=None)
@given(
    who=st.sampled_from(sorted(OWNERS)),
    ttl_s=st.sampled_from([TTL_S, 1.0, 0.0, -5.0, 1e9, float("inf")]),
    moves=moves,
)
def judgements(who: str, ttl_s: float, moves: list[tuple[str, float]]) -> None:
    clock, watch = FakeClock(tick_s=0), BeatWatch()
    beat = first_seen = looked = clock.steady
    back = NEVER
    ttl = min(max(ttl_s, TTL_SHORTEST_S), TTL_LONGEST_S)
    for what, much in [("pass", 0.0), *moves]:
        if what == "wall":
            clock.wall = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=much)
        elif what == "pass":
            clock.advance(much)
        elif clock.steady != beat:
            beat = first_seen = clock.steady
            back = NEVER
        if back == NEVER and clock.steady - looked > ttl / 2:
            back = clock.steady
        looked = clock.steady
        patient = clock.steady - back <= ttl / 2
        judged = verdict(lease_of(OWNERS[who], beat, ttl_s), clock, watch)
        if who in SEEN:
            late = clock.steady - beat > ttl
            assert judged is (Liveness.EXPIRED if late and not patient else Liveness.ALIVE)
        elif who in UNSEEN:
            late = clock.steady - first_seen > ttl + GRACE_S
            assert judged is (Liveness.EXPIRED if late and not patient else Liveness.UNKNOWN)
        else:
            assert judged is Liveness.DEAD


def test_an_owner_is_judged_by_steady_time_alone() -> None:
    judgements()
    record("T10", "judgements", sequences=JUDGEMENTS)


# ---------------------------------------------------------------------- lives


class LifeStage(Stage):
    """A launcher whose runner is a process that sleeps: nothing here may ever signal it."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def start(self, spec: AttemptSpec, lease: Lease) -> None:
        life = self._life
        life.lease = life.control.store.start(lease, owner=life.runner)


class Life:
    """One task, one dispatcher, one runner."""

    def __init__(self, folder: str, runner: ProcessIdentity) -> None:
        self.clock = FakeClock(tick_s=1e-6)
        self.born = self.clock.wall
        self.off = 0.0
        self.runner = runner
        self.lease: Lease | None = None
        self.control = control_of(
            Root(f"{folder}/.autopilot"),
            clock=self.clock,
            settings=Settings(durability="process"),
            executors={"coder": puppet("coder")},
            launcher=LifeStage(self),
        )
        fields = {"id": "one", "title": "one", "created_at": self.born}
        self.control.create_task(TaskDraft(id="one", text=render(fields, "Do it.\n")))
        self.dispatcher = Dispatcher(self.control)

    def jump(self, off: float) -> None:
        """Set the wall clock so many seconds off what it should be."""
        self.clock.wall += timedelta(seconds=off - self.off)
        self.off = off

    def do(self, step: str) -> None:
        self.clock.advance(1.0)
        if step == "tick":
            self.dispatcher.tick()
        elif step == "suspend":
            # Wall time goes on while the machine is asleep, and steady time does not.
            self.clock.wall += timedelta(hours=5)
        elif step == "freeze":
            # A paused container: both go on, and nobody is there to beat or look.
            self.clock.advance(5 * HOUR_S)
        elif self.lease is not None and step == "beat":
            self.control.store.renew(self.lease)
        elif self.lease is not None:
            self.end(OutcomeKind(step))

    def end(self, kind: OutcomeKind) -> None:
        assert self.lease is not None
        now = self.clock.now()
        reset = now + timedelta(minutes=30) if kind is OutcomeKind.RATE_LIMITED else None
        lease, self.lease = self.lease, None
        self.control.store.report(
            lease,
            AttemptResult(
                task_id="one",
                token=lease.token,
                executor="coder",
                outcome=Outcome(kind=kind, message="as told", reset_at=reset),
                started_at=now,
                ended_at=now,
                duration_s=1.0,
            ),
        )

    def seen(self) -> tuple[Any, ...]:
        """What may not depend on the wall clock."""
        task, lease = self.control.read_task("one"), self.control.store.lease("one")
        return str(task.status), task.attempt, lease and lease.token, lease and lease.owner.pid

    def wait_for_the_end(self) -> float:
        """Let it come to its end, the clocks being well again; the seconds that it was parked."""
        waited = 0.0
        for _ in range(100):
            self.do("tick")
            if self.control.read_task("one").status in ("done", "cancelled"):
                return waited
            if self.lease is not None:
                self.end(OutcomeKind.SUCCEEDED)
                continue
            assert self.control.why("one")["reason"], "it waits for no reason"
            alarm = self.dispatcher.next_alarm()
            pause = 5.0 if alarm is None else max(5.0, alarm - self.clock.now().timestamp())
            self.clock.advance(pause)
            waited += pause
        raise AssertionError(f"not at an end after {waited} s: {self.control.why('one')}")


@pytest.fixture
def runner() -> Iterator[ProcessIdentity]:
    with subprocess.Popen(["sleep", "100000"]) as process:
        yield identify(process.pid)
        process.kill()


ENDS = ["succeeded", "failed", "cancelled", "rate_limited", "unavailable"]
STEPS = ["tick", "beat", "tick", "suspend", "tick", "freeze", "tick", "beat", "tick", "{end}", "tick"]


def lived(steps: list[str], jumps: list[float], runner: ProcessIdentity) -> tuple[list[Any], Any, float]:
    """What was seen after each step, the figures of the executor, and how long it was parked."""
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        life, seen = Life(folder, runner), []
        for step, jump in zip(steps, jumps, strict=True):
            life.jump(jump)
            life.do(step)
            seen.append(life.seen())
        life.jump(0.0)
        waited = life.wait_for_the_end()
        figures = life.control.routes.figures()
        life.control.close()
        return seen, figures, waited


def compare(lives: int, runner: ProcessIdentity) -> tuple[int, float]:
    """Live so many lives, and assert that jumps make no difference; how many jumps, and the longest parking."""
    rng = random.Random(10)
    straight: dict[str, Any] = {}
    jumped, longest = 0, 0.0
    for number in range(lives):
        end = ENDS[number % len(ENDS)]
        steps = [step.format(end=end) for step in STEPS]
        if end not in straight:
            straight[end] = lived(steps, [0.0] * len(steps), runner)
        jumps = [rng.choice(OFFSETS) if rng.random() < 0.6 else 0.0 for _ in steps]
        seen, figures, waited = lived(steps, jumps, runner)
        assert is_alive(runner), "a living runner was killed"
        assert (seen, figures) == straight[end][:2], jumps
        assert waited < 9 * DAY_S, jumps
        jumped += sum(jump != 0 for jump in jumps)
        longest = max(longest, waited)
    return jumped, longest


@pytest.mark.skipif(sys.platform != "linux", reason="start times are read from /proc")
def test_a_life_with_jumps_is_the_same_life(runner: ProcessIdentity) -> None:
    lives = size(50, 1000)
    jumped, longest = compare(lives, runner)
    record("T10", "lives", lives=lives, jumps=jumped, longest_parking_h=round(longest / HOUR_S, 1))


# ---------------------------------------------------------------------- mutation


def who_was_away_is_in_a_hurry(m: pytest.MonkeyPatch) -> None:
    real = BeatWatch.look
    m.setattr(BeatWatch, "look", lambda self, lease, now, **_: real(self, lease, now, seldom_s=float("inf")))


def alarms_ring_by_the_wall_clock_alone(m: pytest.MonkeyPatch) -> None:
    real = Board.ring

    def ring(self: Board, now: datetime) -> None:
        self._rung = float("-inf")
        real(self, now)

    m.setattr(Board, "ring", ring)


def parking_is_believed_without_end(m: pytest.MonkeyPatch) -> None:
    m.setattr(gates, "_set_back", lambda *_: False)


def rests_are_believed_without_end(m: pytest.MonkeyPatch) -> None:
    m.setattr(breaker, "CLOCK_SLACK_S", float("inf"))


PLANTS = [
    who_was_away_is_in_a_hurry,
    alarms_ring_by_the_wall_clock_alone,
    parking_is_believed_without_end,
    rests_are_believed_without_end,
]


@pytest.mark.skipif(sys.platform != "linux", reason="start times are read from /proc")
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_the_lives_find(plant: Any, runner: ProcessIdentity, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, LeaseLostError)):
        compare(50, runner)
