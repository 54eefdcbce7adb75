"""How well and how fast does the router route?

    python tests/benchmarks/bench_routing.py speed      decision time, fold of 100,000 events, checkpoint
    python tests/benchmarks/bench_routing.py replay     share of the best executor per type, on real outcomes
    python tests/benchmarks/bench_routing.py declared   the same with declared strengths, right and wrong
    python tests/benchmarks/bench_routing.py            all three

``replay`` and ``declared`` need a folder with ``replay.py`` (the simulator) and ``data/`` in the environment
variable ``AUTOPILOT_REPLAY``; without it they are skipped, and say so. ``AUTOPILOT_SEEDS`` sets the number of
seeds, 20 by default.

The *share* is what the served executors were expected to solve, divided by what the best executor of each type
(in hindsight, present and not broken) was expected to solve, over the whole stream; the mean over seeds is
printed, with its standard error. The *regret* is the difference of the two instead of the ratio.

Times are seconds of this process's CPU, because other work on the machine should not count.
"""

from __future__ import annotations

import functools
import gc
import importlib.util
import itertools
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median, stdev
from typing import Any

from autopilot.config.settings import RoutingSettings
from autopilot.models import ExecutorInfo, Task, TaskRecord
from autopilot.routing import Contender, History, Parameters, Router
from autopilot.system.clock import format_instant, parse_instant

EPOCH = parse_instant("2026-01-01T00:00:00Z").timestamp()
REFERENCE = {"plain": (0.940, 0.863), "degrade": (0.935, 0.824), "outage": (0.946, 0.838)}
SALTS = 4
OUTCOMES = {"pass": "succeeded", "fail": "failed", "timeout": "timed_out", "infra": "unavailable"}


def instant(seconds: float) -> str:
    from datetime import UTC, datetime

    return format_instant(datetime.fromtimestamp(EPOCH + seconds, UTC))


def result_event(number: int, task: str, executor: str, task_type: str, outcome: str, now: float, **more: Any):
    judged = outcome in ("succeeded", "failed", "timed_out")
    payload = {
        "attempt": number,
        "executor": executor,
        "pool": executor,
        "task_type": task_type,
        "outcome": outcome,
        "judged": judged,
        "success": outcome == "succeeded",
        "verified": outcome == "succeeded",
        "reset_at": None,
        "message": "",
        **more,
    }
    return {
        "id": f"evt-{task}.{number}.4",
        "event_type": "dispatch.result",
        "timestamp": instant(now),
        "source": "autopilot",
        "trace_id": task,
        "payload": payload,
    }


# ------------------------------------------------------------------ replay


class Product:
    """The product's router as a policy of the simulator: events in, decisions out."""

    name = "autopilot"

    def __init__(
        self,
        scenario: Any,
        seed: int,
        *,
        parameters: Parameters | None = None,
        strong: Callable[[Any], dict[str, frozenset[str]]] = lambda scenario: {},
    ) -> None:
        self.history = History(parameters)
        self.router = Router(RoutingSettings(), self.history.quality, self.history.health)
        self.contenders = {
            name: Contender(
                info=ExecutorInfo(
                    name=name,
                    capabilities=frozenset({"code"}),
                    strong=strong(scenario).get(name, frozenset()),
                )
            )
            for name in scenario.executors
        }
        self.attempts: Counter[str] = Counter()
        self.wake: float | None = None

    def select(self, task: Any, candidates: list[str]) -> str | None:
        asked = Task(id=f"t{task.seq}", title=task.id, task_type=task.type)
        decision = self.router.decide(
            asked,
            TaskRecord(task_id=asked.id),
            [self.contenders[name] for name in candidates],
            now=EPOCH + task.now,
        )
        self.wake = decision.wake_at
        return decision.executor

    def wake_at(self, now: float) -> float:
        return self.wake - EPOCH if self.wake else now + 60.0

    def update(self, task: Any, executor: str, outcome: Any) -> None:
        name = f"t{task.seq}"
        self.attempts[name] += 1
        kind = OUTCOMES.get(outcome.kind, "rate_limited")
        reset = None if outcome.retry_after is None else instant(outcome.now + outcome.retry_after)
        event = result_event(
            self.attempts[name],
            name,
            executor,
            task.type,
            kind,
            outcome.now,
            reset_at=reset,
            cost_usd=outcome.cost,
            duration_s=outcome.duration,
        )
        self.history.fold([event])


class Naive:
    """Success ratio x min(1, runs / 12); ties at random.

    It keeps to whom it tries first, so its figures depend much on the ties: each seed is run with several salts.

    Args:
        by_type: counts per executor and type; else per executor.
    """

    name = "naive"

    def __init__(self, scenario: Any, seed: int, *, salt: int = 0, by_type: bool = False) -> None:
        self.seed = f"{salt}|{seed}"
        self.by_type = by_type
        self.runs: Counter[tuple[str, str]] = Counter()
        self.successes: Counter[tuple[str, str]] = Counter()

    def key(self, executor: str, task: Any) -> tuple[str, str]:
        return executor, task.type if self.by_type else ""

    def select(self, task: Any, candidates: list[str]) -> str:
        worth = {name: self.worth(self.key(name, task)) for name in candidates}
        best = [name for name in candidates if worth[name] == max(worth.values())]
        return random.Random(f"{self.seed}|{task.seq}").choice(best)

    def worth(self, key: tuple[str, str]) -> float:
        runs = self.runs[key]
        return self.successes[key] / runs * min(1.0, runs / 12) if runs else 0.0

    def update(self, task: Any, executor: str, outcome: Any) -> None:
        self.runs[self.key(executor, task)] += 1
        self.successes[self.key(executor, task)] += outcome.resolved


def scenarios(replay: Any) -> dict[str, Any]:
    table = replay.Table.load("outcomes")

    def make(kind: str) -> Any:
        def of_seed(seed: int) -> Any:
            rng = random.Random(seed)
            pool = sorted(rng.sample(table.executors, rng.randint(4, 8)))
            few = table.restrict(pool)
            n = 600 if kind == "plain" else 900
            scenario = replay.Scenario(few, pool, n=n, name=kind, replace=True)
            if kind != "plain":
                best = replay.best_single(scenario)
                first = next(iter(best.choice.values()))[0]
                fault = {
                    "degrade": replay.Fault(first, "degrade", 300, p=0.5),
                    "outage": replay.Fault(first, "outage", 300, 450),
                }
                scenario.faults = (fault[kind],)
            return scenario

        return of_seed

    return {kind: make(kind) for kind in REFERENCE}


def load_replay() -> Any | None:
    folder = os.environ.get("AUTOPILOT_REPLAY")
    if not folder:
        print("SKIPPED replay: set AUTOPILOT_REPLAY to the folder with replay.py and data/", file=sys.stderr)
        return None
    spec = importlib.util.spec_from_file_location("replay", Path(folder) / "replay.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["replay"] = module
    spec.loader.exec_module(module)
    return module


def share(results: list[Any]) -> str:
    shares = [sum(result.mu) / sum(result.mu_best) for result in results]
    error = stdev(shares) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
    return f"{mean(shares):6.4f} ± {error:.4f}"


def run_replay() -> None:
    replay = load_replay()
    if replay is None:
        return
    seeds = range(int(os.environ.get("AUTOPILOT_SEEDS", "20")))
    print(f"share of the best executor per type in hindsight, mean of {len(seeds)} seeds")
    print("naive/e counts per executor, naive/t per executor and type; regret is ours / theirs")
    print(
        f"{'scenario':9}{'ours':>16}{'ref.':>7}{'naive/e':>17}{'naive/t':>17}{'ref.':>7}{'regret/e':>10}{'/t':>7}"
    )
    for kind, scenario in scenarios(replay).items():
        ours = replay.evaluate(scenario, Product, seeds, opaque=True)
        plain, typed = (naive_results(replay, scenario, seeds, by_type) for by_type in (False, True))
        regret = mean(r.regret for r in ours)
        want, naive_want = REFERENCE[kind]
        print(
            f"{kind:9}  {share(ours)}{want:7.3f}  {share(plain)}  {share(typed)}{naive_want:7.3f}"
            f"{regret / mean(r.regret for r in plain):10.3f}{regret / mean(r.regret for r in typed):7.3f}",
            flush=True,
        )


def naive_results(replay: Any, scenario: Any, seeds: range, by_type: bool) -> list[Any]:
    makers = [functools.partial(Naive, salt=salt, by_type=by_type) for salt in range(SALTS)]
    return [result for make in makers for result in replay.evaluate(scenario, make, seeds, opaque=True)]


def strong_at(place: int) -> Callable[[Any], dict[str, frozenset[str]]]:
    """At each type, the executor at this place of the true ranking (0 best, -1 worst) calls itself strong."""

    def words(scenario: Any) -> dict[str, frozenset[str]]:
        rate = scenario.table.rate()
        claims: dict[str, set[str]] = {}
        for kind in sorted({kind for kind, _, _ in scenario.table.tasks.values()}):
            ranking = sorted(scenario.executors, key=lambda name: (-rate[name, kind], name))
            claims.setdefault(ranking[place], set()).add(kind)
        return {name: frozenset(kinds) for name, kinds in claims.items()}

    return words


def run_declared() -> None:
    replay = load_replay()
    if replay is None:
        return
    seeds = range(int(os.environ.get("AUTOPILOT_SEEDS", "20")))
    print(f"share with one declared strength per type, plain pools, mean of {len(seeds)} seeds")
    print(f"{'declared by':14}{'silence at 0.6':>18}{'at the type rate':>20}")
    scenario = scenarios(replay)["plain"]
    for who, place in (("the best", 0), ("the worst", -1)):
        columns = []
        for parameters in (Parameters(), Parameters(silent_rate=None)):
            make = functools.partial(Product, parameters=parameters, strong=strong_at(place))
            columns.append(share(replay.evaluate(scenario, make, seeds)))
        print(f"{who:14}{columns[0]:>18}{columns[1]:>20}", flush=True)


# ------------------------------------------------------------------ speed

TYPES = ("bugfix", "feature", "docs", "tests", "refactor", "architecture", "security", "chores")


def synthetic_events(count: int) -> list[dict[str, Any]]:
    """Half decisions with 20 candidates, half results, of 20 executors; deterministic."""
    rng = random.Random("events")
    names = [f"executor-{i:02}" for i in range(20)]
    talk = [{"executor": n, "eligible": True, "score": 0.7, "why": "expected success 0.70"} for n in names]
    events = []
    for i in range(count // 2):
        task, name, kind = f"req-20260101-{i:08x}", rng.choice(names), rng.choice(TYPES)
        outcome = rng.choices(("succeeded", "failed", "unavailable"), (70, 29, 1))[0]
        decision = result_event(1, task, name, kind, outcome, i * 60.0)
        decision |= {
            "id": f"evt-{task}.1.1",
            "event_type": "dispatch.decision",
            "payload": {"attempt": 1, "executor": name, "candidates": talk},
        }
        events.append(decision)
        cost, seconds = rng.random(), rng.random() * 900
        events.append(result_event(1, task, name, kind, outcome, i * 60.0 + 30, cost_usd=cost, duration_s=seconds))
    return events


def best_of(repeats: int, action: Any) -> float:
    times = []
    for _ in range(repeats):
        began = time.process_time()
        action()
        times.append(time.process_time() - began)
    return median(times)


def run_speed() -> None:
    events = synthetic_events(100_000)
    lines = [json.dumps(event).encode() for event in events]
    results = [event for event in events if event["event_type"] == "dispatch.result"]
    size = sum(map(len, lines)) / 1e6
    # The events themselves are the benchmark's, not the product's: keep the collector from walking over them.
    gc.collect()
    gc.freeze()
    print(f"fold 100,000 parsed events          {best_of(3, lambda: History().fold(events)):8.3f} s  (target 2)")
    took = best_of(3, lambda: History().fold_lines(lines))
    print(f"fold 100,000 raw lines ({size:.0f} MB)     {took:8.3f} s  (target 2)")
    twice = itertools.chain(results, (event | {"trace_id": event["trace_id"] + "x"} for event in results))
    took = best_of(1, lambda: History().fold(twice))
    print(f"fold 100,000 parsed outcomes        {took:8.3f} s  (target 2)")

    history = History()
    history.fold(results[:10_000])
    router = Router(RoutingSettings(), history.quality, history.health)
    contenders = [
        Contender(info=ExecutorInfo(name=f"executor-{i:02}", capabilities=frozenset({"code"}))) for i in range(20)
    ]
    task = Task(id="t", title="t", task_type="docs")
    record = TaskRecord(task_id="t")
    number = iter(range(10**9))

    def decide_after_news() -> None:
        i = next(number)
        history.quality.observe(f"executor-{i % 20:02}", "docs", True, 0.1, 60.0)
        router.decide(task, record, contenders, now=EPOCH + 10**7)

    def decide() -> None:
        router.decide(task, record, contenders, now=EPOCH + 10**7)

    print(f"decision, 20 executors, nothing new {best_of(2000, decide) * 1e3:8.3f} ms (target 1)")
    print(f"decision right after an outcome     {best_of(2000, decide_after_news) * 1e3:8.3f} ms (target 1)")

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "history.json")
        history.save(path)
        again = History()
        print(f"load a checkpoint ({os.path.getsize(path) / 1e3:.0f} kB)          ", end="")
        print(f"{best_of(20, lambda: again.load(path)) * 1e3:8.3f} ms (target: a few)")
        print(f"save a checkpoint                   {best_of(20, lambda: history.save(path)) * 1e3:8.3f} ms")


def main(parts: list[str]) -> None:
    if not parts or "speed" in parts:
        run_speed()
    if not parts or "replay" in parts:
        run_replay()
    if not parts or "declared" in parts:
        run_declared()


if __name__ == "__main__":
    main(sys.argv[1:])
