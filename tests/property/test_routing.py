"""Properties of routing: what holds for every history, not just for the ones we thought of."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.config.settings import RoutingSettings
from autopilot.models import POLICIES, ExecutorInfo, Health, HealthEffect, OutcomeKind, Task, TaskRecord
from autopilot.routing import Contender, HealthBook, History, Parameters, Quality, Router
from autopilot.routing.breaker import Breaker
from autopilot.routing.tiers import Word
from autopilot.system.clock import format_instant
from tests.campaign import size

few = settings(deadline=None, max_examples=size(40, 2000))
many = settings(deadline=None, max_examples=size(100, 5000))

NAMES = ("anvil", "brush", "chisel", "drill")
POOLS = {"anvil": "forge", "brush": "", "chisel": "forge", "drill": "drill"}
TYPES = ("docs", "tests", "architecture")
START = 1_767_225_600.0

names = st.sampled_from(NAMES)
types = st.sampled_from(TYPES)
kinds = st.sampled_from(list(OutcomeKind))
amounts = st.none() | st.floats(0, 1e4)
judgements = st.tuples(names, types, st.booleans(), amounts, amounts)


def instant(seconds: float) -> str:
    return format_instant(datetime.fromtimestamp(seconds, UTC))


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A log of results, decisions, resets and reclaims, with repeats, in the order of time."""
    events: list[dict[str, Any]] = []
    now = START
    for number in range(draw(st.integers(0, 25))):
        now += draw(st.sampled_from((0.0, 1.0, 45.0, 700.0, 20_000.0)))
        name, kind = draw(names), draw(kinds)
        event_type = draw(
            st.sampled_from(
                ("dispatch.result",) * 6 + ("dispatch.decision", "executor.reset", "task.reclaimed", "task.done")
            )
        )
        reset_in = draw(st.none() | st.floats(-1e3, 1e6))
        payload = {
            "attempt": draw(st.integers(1, 3)),
            "executor": name,
            "pool": POOLS[name],
            "task_type": draw(types),
            "outcome": kind.value,
            "judged": POLICIES[kind].judged,
            "success": POLICIES[kind].success and draw(st.booleans()),
            "cost_usd": draw(amounts),
            "duration_s": draw(amounts),
            "reset_at": None if reset_in is None else instant(now + reset_in),
            "message": "said so",
        }
        task = f"t{number % 12}"
        events.append(
            {
                "id": f"evt-{task}.{payload['attempt']}.{event_type}",
                "event_type": event_type,
                "timestamp": instant(now),
                "trace_id": task,
                "payload": payload,
            }
        )
        if draw(st.integers(0, 5)) == 0:
            events.append(draw(st.sampled_from(events)) | {"timestamp": instant(now)})
    return events


@st.composite
def contenders(draw: st.DrawFn) -> list[Contender]:
    """One to four executors in every condition."""
    chosen = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    return [
        Contender(
            info=ExecutorInfo(
                name=name,
                capabilities=draw(
                    st.sampled_from((frozenset({"code"}), frozenset({"shell"}), frozenset({"code", "shell"})))
                ),
                tier=draw(st.sampled_from(("", "high", "volume"))),
                weak=draw(st.sampled_from((frozenset(), frozenset({"docs"})))),
                quota_pool=POOLS[name],
                cost_usd=draw(st.none() | st.floats(0, 10)),
            ),
            health=draw(st.sampled_from((None, Health(ok=True), Health(ok=False, reason="ill", hint="mend")))),
            running=draw(st.integers(0, 3)),
            in_flight_types={draw(types): draw(st.integers(0, 3))},
            slots=draw(st.sampled_from((None, 1, 3))),
        )
        for name in chosen
    ]


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    return Task(
        id="t-new",
        title="a task",
        task_type=draw(types),
        executor=draw(st.none() | names),
        command=draw(st.sampled_from((None, "make"))),
        requires=draw(st.sampled_from((frozenset(), frozenset({"code"})))),
        on_unavailable=draw(st.sampled_from((None, "wait", "fail", "fallback"))),
    )


def decide(history: History, task: Task, candidates: list[Contender], now: float, **config: Any) -> Any:
    router = Router(RoutingSettings(**config), history.quality, history.health)
    return router.decide(task, TaskRecord(task_id=task.id, failed_on=("brush",)), candidates, now=now)


def bits(value: Any) -> str:
    """Floats print as the shortest text that reads back to the same bits, so equal text is equal bits."""
    return json.dumps(value, sort_keys=True, default=repr)


# ------------------------------------------------------------------ determinism


@few
@given(logs(), tasks(), contenders(), st.floats(0, 1e5))
def test_the_same_events_give_the_same_decision_bit_for_bit(events, task, candidates, later):
    one, other = History(), History()
    one.fold(events)
    other.fold_lines([json.dumps(event).encode() for event in events])
    config = {"solved_task_usd": 3.0, "hour_usd": 7.0}
    first = decide(one, task, candidates, START + later, **config)
    second = decide(other, task, candidates, START + later, **config)
    assert repr(first) == repr(second)


@few
@given(logs(), tasks(), contenders(), st.randoms(use_true_random=False), st.permutations(NAMES))
def test_only_the_configured_order_of_executors_matters(events, task, candidates, rng, order):
    history = History()
    history.fold(events)
    shuffled = list(candidates)
    rng.shuffle(shuffled)
    first = decide(history, task, candidates, START + 1e5, order=tuple(order))
    assert repr(decide(history, task, shuffled, START + 1e5, order=tuple(order))) == repr(first)


@few
@given(logs(), tasks(), contenders(), st.floats(0, 1e6))
def test_every_decision_is_whole(events, task, candidates, later):
    history = History()
    history.fold(events)
    decision = decide(history, task, candidates, START + later)
    assert {c.executor for c in decision.candidates} == {c.name for c in candidates}
    assert all(candidate.why for candidate in decision.candidates)
    by_name = {candidate.executor: candidate for candidate in decision.candidates}
    if decision.executor is None:
        assert decision.reason
        assert not any(candidate.eligible for candidate in decision.candidates)
        assert decision.wake_at is None or decision.wake_at > START + later
    else:
        chosen = by_name[decision.executor]
        assert chosen.eligible
        assert decision.candidates[0] is chosen
        assert 0 < chosen.confidence < 1
        assert math.isclose(chosen.score, sum(term.value for term in chosen.terms))
        assert task.executor in (None, decision.executor) or task.on_unavailable == "fallback"
        info = next(c.info for c in candidates if c.name == decision.executor)
        assert task.requires <= info.capabilities
        assert task.command is None or "shell" in info.capabilities
        prose_to_shell = task.command is None and info.capabilities == {"shell"}
        assert not prose_to_shell or task.executor == decision.executor


# ------------------------------------------------------------------ checkpoints and repeats


@few
@given(logs(), st.data())
def test_a_fold_over_checkpoints_is_the_fold_from_scratch(tmp_path_factory, events, data):
    path = str(tmp_path_factory.mktemp("fold") / "history.json")
    scratch, stepwise = History(), History()
    scratch.fold(events)
    at = 0
    while at < len(events):
        step = data.draw(st.integers(1, 15))
        stepwise.fold(events[at : at + step], cursor=at + step)
        at += step
        stepwise.save(path)
        stepwise = History()
        assert stepwise.load(path)
        assert stepwise.cursor == at
    assert bits(stepwise.quality.dump()) == bits(scratch.quality.dump())
    assert bits(stepwise.health.dump()) == bits(scratch.health.dump())
    assert stepwise.folded == scratch.folded


@few
@given(logs(), st.data())
def test_outcomes_that_are_repeated_at_once_or_later_count_once(events, data):
    results = [event for event in events if event["event_type"] == "dispatch.result"]
    repeated = list(results)
    for event in results:
        after = data.draw(st.integers(repeated.index(event), len(repeated)))
        repeated.insert(after + 1, event)
    once, twice = History(), History()
    once.fold(results)
    twice.fold(repeated)
    assert bits(once.quality.dump()) == bits(twice.quality.dump())
    assert bits(once.health.dump()) == bits(twice.health.dump())


# ------------------------------------------------------------------ two layers that never mix


@few
@given(logs())
def test_what_is_not_judged_never_changes_quality(events):
    history = History()
    for event in events:
        before = bits(history.quality.dump())
        history.fold([event])
        judged = event["event_type"] == "dispatch.result" and event["payload"]["judged"]
        assert judged or bits(history.quality.dump()) == before


@few
@given(st.lists(st.tuples(names, kinds), max_size=40))
def test_judged_failures_never_rest_anybody(outcomes):
    book = HealthBook()
    for name, kind in outcomes:
        if POLICIES[kind].health is HealthEffect.NONE:
            book.observe(name, POOLS[name], kind, START)
    assert all(book.state(name, POOLS[name], START).ok for name in NAMES)


@many
@given(
    st.lists(
        st.tuples(
            names,
            kinds,
            st.sampled_from((0.0, 1.0, 59.0, 61.0, 500.0, 2000.0, 90_000.0)),
            st.none() | st.floats(-1e5, 1e7) | st.sampled_from((float("inf"), float("nan"))),
        ),
        max_size=40,
    )
)
def test_no_outcome_ever_shortens_a_rest(outcomes):
    book, now = HealthBook(), START
    for name, kind, passed, reset_in in outcomes:
        now += passed
        before = {other: book.state(other, POOLS[other], now).until or 0.0 for other in NAMES}
        book.observe(name, POOLS[name], kind, now, None if reset_in is None else now + reset_in)
        for other in NAMES:
            after = book.state(other, POOLS[other], now)
            assert (after.until or 0.0) >= before[other]
            assert after.until is None or now < after.until <= now + book.parameters.rest_max_s
            assert after.ok == (after.until is None)


@many
@given(st.lists(st.tuples(st.sampled_from("xcr."), st.floats(0, 4000)), max_size=60), st.floats(0, 1e7))
def test_every_rest_ends(steps, idle):
    """Whatever happened, an executor is tried again: at the latest when the longest rest is over."""
    breaker, p, now = Breaker(), Parameters(), START
    for step, passed in steps:
        now += passed
        if step == "x":
            breaker.fault(now, p)
        elif step == "c":
            breaker.cap(now, p)
        elif step == "r":
            breaker.rest(now, p, now + idle)
        else:
            breaker.judged(now, p)
    assert breaker.deadline(now + p.rest_max_s + 1) == 0.0


# ------------------------------------------------------------------ the formulas


class Eager:
    """The rule as the page writes it, with every count multiplied at every outcome."""

    def __init__(self) -> None:
        self.n: dict[tuple[str, str], float] = {}
        self.s: dict[tuple[str, str], float] = {}

    def observe(self, executor: str, kind: str, success: bool) -> None:
        for table in (self.n, self.s):
            for e, k in table:
                table[e, k] *= (0.99 if e == executor else 1.0) * (0.995 if k == kind else 1.0)
        self.n[executor, kind] = self.n.get((executor, kind), 0.0) + 1
        self.s[executor, kind] = self.s.get((executor, kind), 0.0) + success

    def total(self, table: dict[tuple[str, str], float], e: str | None = None, k: str | None = None) -> float:
        return sum(value for (a, b), value in table.items() if e in (None, a) and k in (None, b))

    def base(self, k: str) -> float:
        g = (self.total(self.s) + 4 * 0.6) / (self.total(self.n) + 4)
        return (self.total(self.s, k=k) + 4 * g) / (self.total(self.n, k=k) + 4)

    def score(self, e: str, k: str, in_flight: int, declared: Word | None) -> tuple[float, float]:
        expected = sum(n * self.base(kind) for (a, kind), n in self.n.items() if a == e)
        lift = (self.total(self.s, e=e) + 4) / (expected + 4)
        prior = min(0.98, max(0.02, self.base(k) * lift))
        n, s = self.n.get((e, k), 0.0), self.s.get((e, k), 0.0)
        w = min(8, 2 + (self.total(self.n, e=e) - n) / 10)
        rate = {None: 0.0, Word.STRONG: 0.75, Word.WEAK: 0.5, Word.SILENT: 0.6}[declared]
        said = 0 if declared is None else 6
        mean = (w * prior + said * rate + s) / (w + said + n)
        return mean, mean + math.sqrt(mean * (1 - mean) / (w + said + n + 1 + in_flight))


@few
@given(
    st.lists(judgements, max_size=80),
    st.lists(st.tuples(names, types, st.integers(0, 4), st.sampled_from((None, *Word))), min_size=1, max_size=6),
)
def test_it_is_the_rule_of_the_page(outcomes, questions):
    quality, eager = Quality(), Eager()
    for executor, kind, success, cost, seconds in outcomes:
        quality.observe(executor, kind, success, cost, seconds)
        eager.observe(executor, kind, success)
    for executor, kind, in_flight, declared in questions:
        estimate = quality.estimate(executor, kind, in_flight, declared=declared)
        mean, score = eager.score(executor, kind, in_flight, declared)
        assert math.isclose(estimate.mean, mean, rel_tol=1e-9)
        assert math.isclose(estimate.score, score, rel_tol=1e-9)


@few
@given(st.lists(judgements, max_size=60), names, types, st.integers(0, 9))
def test_estimates_are_always_in_range(outcomes, executor, kind, in_flight):
    quality = Quality()
    for outcome in outcomes:
        quality.observe(*outcome)
    estimate = quality.estimate(executor, kind, in_flight)
    assert 0 < estimate.mean < 1
    assert 0 < estimate.sd <= 0.5
    assert 2 <= estimate.w <= 8
    assert 0.02 <= estimate.prior <= 0.98
    known = [cost for _, _, _, cost, _ in outcomes if cost is not None] or [0.0]
    assert min(*known, 0.0) <= estimate.cost_usd <= max(known) * (1 + 1e-9)
    assert 0 <= estimate.s <= estimate.n * (1 + 1e-9)


# ------------------------------------------------------------------ strangers in the log

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(("attempt", "executor", "pool", "task_type", "outcome", "judged", "reset_at", "cost_usd"))
event_types = st.sampled_from(("dispatch.result", "dispatch.decision", "executor.reset", "task.reclaimed", "x"))
strange = st.fixed_dictionaries(
    {"event_type": event_types, "payload": anything | st.dictionaries(fields, kinds.map(str) | anything)},
    optional={"id": anything, "timestamp": st.just("2026-01-01T00:00:00Z") | anything, "trace_id": anything},
)


@many
@given(st.lists(strange, max_size=8))
def test_no_event_of_a_strange_shape_raises_or_spoils_a_checkpoint(tmp_path_factory, events):
    history = History()
    history.fold(events)
    history.fold_lines([json.dumps(event).encode() for event in events])
    path = str(tmp_path_factory.getbasetemp() / "strange.json")
    history.save(path)
    again = History()
    assert again.load(path)
    assert bits(again.quality.dump()) == bits(history.quality.dump())
