"""The learning rule: its numbers worked out by hand, and what it learns in a small world."""

from __future__ import annotations

import math

import attrs
import pytest

from autopilot.routing import Parameters, Quality
from autopilot.routing.quality import PUBLISHED
from autopilot.routing.tiers import Word
from tests.unit.routing.world import RATES, uniform


def test_with_an_empty_history_everybody_is_the_stranger_of_the_prior():
    estimate = Quality().estimate("anyone", "anything")
    assert (estimate.base, estimate.lift, estimate.prior, estimate.w) == pytest.approx((0.6, 1.0, 0.6, 2.0))
    assert estimate.mean == pytest.approx(0.6)
    assert estimate.sd == pytest.approx(math.sqrt(0.6 * 0.4 / 3))
    assert estimate.score == pytest.approx(0.6 + math.sqrt(0.08))


def test_one_success_worked_out_by_hand():
    quality = Quality()
    quality.observe("a", "docs", True)
    g = (1 + 4 * 0.6) / (1 + 4)
    base = (1 + 4 * g) / (1 + 4)
    lift = (1 + 4) / (base + 4)
    prior = base * lift
    mean = (2 * prior + 1) / 3
    estimate = quality.estimate("a", "docs")
    assert (estimate.base, estimate.lift, estimate.prior) == pytest.approx((base, lift, prior))
    assert (estimate.n, estimate.s, estimate.w) == pytest.approx((1, 1, 2))
    assert estimate.mean == pytest.approx(mean)
    assert estimate.sd == pytest.approx(math.sqrt(mean * (1 - mean) / (2 + 1 + 1)))


def test_a_type_never_seen_has_the_overall_rate_times_the_lift():
    quality = Quality()
    for _ in range(10):
        quality.observe("good", "docs", True)
        quality.observe("bad", "docs", False)
    good, bad = quality.estimate("good", "tests"), quality.estimate("bad", "tests")
    assert good.base == bad.base == pytest.approx(0.53, abs=0.03)
    assert good.lift > 1 > bad.lift
    assert good.mean > bad.mean


def test_runs_of_other_types_make_the_borrowed_prior_heavier_up_to_eight():
    quality = Quality()
    for _ in range(30):
        quality.observe("a", "docs", True)
    elsewhere = sum(0.99**i * 0.995**i for i in range(30))
    assert quality.estimate("a", "tests").w == pytest.approx(2 + elsewhere / 10)
    assert quality.estimate("a", "docs").w == pytest.approx(2)
    parameters = Parameters(executor_discount=1.0, type_discount=1.0)
    quality = Quality(parameters)
    for _ in range(200):
        quality.observe("a", "docs", True)
    assert quality.estimate("a", "tests").w == 8


def test_a_borrowed_rate_is_never_certain():
    quality = Quality()
    for _ in range(200):
        quality.observe("good", "docs", True)
        quality.observe("bad", "chores", False)
    assert quality.estimate("good", "docs").prior == 0.98
    assert quality.estimate("bad", "chores").prior >= 0.02


def test_attempts_in_flight_lower_the_uncertainty_and_not_the_mean():
    quality = Quality()
    idle, busy = quality.estimate("a", "docs"), quality.estimate("a", "docs", 3)
    assert busy.mean == idle.mean
    assert busy.sd == pytest.approx(math.sqrt(0.24 / 6))


def test_declared_strength_and_weakness_are_worth_six_runs():
    quality = Quality()
    strong, weak, silent = (quality.estimate("a", "docs", declared=word).mean for word in Word)
    assert strong == pytest.approx((2 * 0.6 + 6 * 0.75) / 8)
    assert weak == pytest.approx((2 * 0.6 + 6 * 0.5) / 8)
    assert silent == pytest.approx(0.6)
    assert quality.estimate("a", "docs", declared=Word.SILENT).sd == pytest.approx(math.sqrt(0.24 / 9))


def test_silence_counts_at_a_fixed_rate_or_at_the_types_own():
    quality = Quality()
    for _ in range(20):
        quality.observe("other", "docs", False)
    by_type = attrs.evolve(Parameters(), silent_rate=None)
    fixed = quality.estimate("a", "docs", declared=Word.SILENT)
    moving = quality.estimate("a", "docs", declared=Word.SILENT, parameters=by_type)
    assert fixed.mean == pytest.approx((2 * fixed.prior + 6 * 0.6) / 8)
    assert moving.mean == pytest.approx((2 * moving.prior + 6 * moving.base) / 8)


def test_costs_and_durations_are_shrunk_to_the_executors_and_everyones_mean():
    quality = Quality(Parameters(executor_discount=1.0, type_discount=1.0))
    quality.observe("a", "docs", True, 4.0, 600.0)
    quality.observe("b", "docs", True, 1.0, 60.0)
    everyone = (4 + 1) / 2
    own = (4 + 3 * everyone) / (1 + 3)
    assert quality.estimate("a", "docs").cost_usd == pytest.approx((4 + 3 * own) / 4)
    assert quality.estimate("a", "tests").cost_usd == pytest.approx(own)
    assert quality.estimate("c", "docs").cost_usd == pytest.approx(everyone)
    assert quality.estimate("c", "docs").minutes == pytest.approx(5.5)


def test_a_run_of_unknown_cost_is_not_a_free_run():
    quality = Quality(Parameters(executor_discount=1.0, type_discount=1.0))
    quality.observe("a", "docs", True, 3.0)
    quality.observe("a", "docs", True, None)
    assert quality.estimate("a", "docs").cost_usd == pytest.approx(3.0)


def test_a_declared_cost_stands_until_there_is_evidence():
    quality = Quality()
    assert quality.estimate("a", "docs", typical_cost=0.8).cost_usd == pytest.approx(0.8)
    for _ in range(30):
        quality.observe("a", "docs", True, 0.2)
    assert quality.estimate("a", "docs", typical_cost=0.8).cost_usd == pytest.approx(0.2, abs=0.05)


def test_prices_lower_the_score():
    quality = Quality()
    quality.observe("a", "docs", True, 2.0, 600.0)
    priced = attrs.evolve(Parameters(), cost_weight=0.1, minute_weight=0.01)
    estimate = quality.estimate("a", "docs", parameters=priced)
    assert estimate.score == pytest.approx(estimate.mean + estimate.sd - 0.2 - 0.1)


def test_other_parameters_are_used_although_the_sums_are_kept_from_question_to_question():
    quality = Quality()
    sceptic = attrs.evolve(Parameters(), prior_rate=0.1)
    assert quality.estimate("a", "docs").mean == pytest.approx(0.6)
    assert quality.estimate("a", "docs", parameters=sceptic).mean == pytest.approx(0.1)
    assert quality.estimate("a", "docs").mean == pytest.approx(0.6)


def test_published_scores_start_an_executor_with_at_most_twenty_runs():
    quality = Quality(Parameters(published=(("known", 0.9, 500.0), ("poor", 0.2, 10.0))))
    cells = {(name, kind): counts for name, kind, counts in quality.cells()}
    assert cells["known", PUBLISHED].runs == 20
    assert cells["poor", PUBLISHED].successes == pytest.approx(2)
    means = {name: quality.estimate(name, "docs").mean for name in ("known", "new", "poor")}
    assert means["known"] > means["new"] > means["poor"]


def play(seed: int, pick) -> list[float]:
    """What the picked executors were expected to solve, task by task, as a share of what the best would have."""
    kinds = ("bugfix", "docs", "tests")
    shares = []
    for index in range(400):
        kind = kinds[int(uniform("kind", seed, index) * 3)]
        executor = pick(index, kind)
        shares.append(RATES[executor][kind] / max(rates[kind] for rates in RATES.values()))
    return shares


def learn(seed: int) -> list[float]:
    quality = Quality()

    def pick(index: int, kind: str) -> str:
        executor = max(sorted(RATES), key=lambda name: quality.estimate(name, kind).score)
        quality.observe(executor, kind, uniform("run", seed, index, executor) < RATES[executor][kind])
        return executor

    return play(seed, pick)


def test_it_learns_who_is_best_at_what():
    runs = [learn(seed) for seed in range(10)]
    early = sum(sum(run[:50]) for run in runs) / 500
    late = sum(sum(run[50:]) for run in runs) / 3500
    assert late > 0.88
    assert late > early
    blind = sum(play(0, lambda index, kind: sorted(RATES)[index % 4])) / 400
    assert sum(map(sum, runs)) / 4000 > blind + 0.2


def test_it_notices_when_the_best_gets_worse():
    quality = Quality()
    for index in range(100):
        quality.observe("anvil", "bugfix", uniform("a", index) < 0.9)
        quality.observe("chisel", "bugfix", uniform("c", index) < 0.6)
    assert quality.estimate("anvil", "bugfix").score > quality.estimate("chisel", "bugfix").score
    for index in range(40):
        quality.observe("anvil", "bugfix", uniform("worse", index) < 0.3)
    assert quality.estimate("anvil", "bugfix").score < quality.estimate("chisel", "bugfix").score
