"""Executors and quota pools: who rests, until when, and why."""

from __future__ import annotations

import json

import pytest

from autopilot.models import POLICIES, HealthEffect, OutcomeKind
from autopilot.routing import HealthBook
from tests.unit.routing.world import NOW

K = OutcomeKind


def test_an_executor_nobody_knows_is_well():
    state = HealthBook().state("a", "", NOW)
    assert (state.ok, state.until, state.reason, state.half_open) == (True, None, "", False)


@pytest.mark.parametrize("kind", [k for k in K if POLICIES[k].health is HealthEffect.NONE])
def test_outcomes_that_say_nothing_about_health_open_nothing(kind):
    book = HealthBook()
    for _ in range(20):
        book.observe("a", "p", kind, NOW)
    assert book.state("a", "p", NOW).ok
    assert book.calm


def test_three_unavailables_rest_the_executor_but_not_its_pool():
    book = HealthBook()
    for _ in range(3):
        book.observe("a", "p", K.UNAVAILABLE, NOW, message="503\noverloaded")
    state = book.state("a", "p", NOW)
    assert not state.ok
    assert state.until == NOW + 60
    assert state.reason == "rests until 2026-01-01 00:01:00Z: unavailable: 503 overloaded"
    assert book.state("b", "p", NOW).ok


def test_a_rate_limit_rests_every_executor_of_the_pool():
    book = HealthBook()
    book.observe("a", "account", K.RATE_LIMITED, NOW, NOW + 3600, message="5-hour limit")
    for name in ("a", "b"):
        state = book.state(name, "account", NOW)
        assert state.until == NOW + 3600
        assert "pool account rests until 2026-01-01 01:00:00Z: rate_limited: 5-hour limit" in state.reason
    assert book.state("a", "other account", NOW).ok


@pytest.mark.parametrize("kind", [k for k in K if POLICIES[k].health is HealthEffect.BREAKER_CAP])
def test_what_only_a_person_can_mend_rests_at_the_cap_at_once_and_tells_how(kind):
    book = HealthBook()
    book.observe("a", "p", kind, NOW)
    state = book.state("a", "p", NOW)
    assert state.until == NOW + 1800
    assert state.hint.endswith("then run `autopilotctl executors reset a`")


def test_the_longer_of_two_rests_counts():
    book = HealthBook()
    book.observe("a", "p", K.RATE_LIMITED, NOW, NOW + 100)
    book.observe("a", "p", K.AUTH_ERROR, NOW)
    assert book.state("a", "p", NOW).until == NOW + 1800
    assert book.state("b", "p", NOW).until == NOW + 100


@pytest.mark.parametrize("reset_at", [float("nan"), float("inf"), float("-inf")])
def test_a_reset_time_that_is_no_number_is_no_reset_time(reset_at):
    book = HealthBook()
    book.observe("a", "p", K.RATE_LIMITED, NOW, reset_at)
    assert book.state("a", "p", NOW).until == NOW + 60


def test_half_open_lets_one_attempt_through():
    book = HealthBook()
    for _ in range(3):
        book.observe("a", "p", K.UNAVAILABLE, NOW)
    state = book.state("a", "p", NOW + 60)
    assert (state.ok, state.half_open, state.probing) == (True, True, "")
    assert state.reason == "half-open after unavailable"
    book.started("a", NOW + 60, "t1.4", "p")
    assert book.state("a", "p", NOW + 61).probing == "executor"
    book.ended("a", "p")
    assert book.state("a", "p", NOW + 62).probing == ""


def test_half_open_of_a_pool_lets_one_attempt_of_all_its_executors_through():
    book = HealthBook()
    book.observe("a", "p", K.RATE_LIMITED, NOW)
    book.started("b", NOW + 60, "t1.4", "p")
    assert book.state("a", "p", NOW + 61).probing == "pool"
    book.observe("b", "p", K.SUCCEEDED, NOW + 90)
    state = book.state("a", "p", NOW + 91)
    assert (state.ok, state.half_open) == (True, False)


def test_starts_of_a_healthy_executor_are_not_noted():
    book = HealthBook()
    book.started("a", NOW, "t1.1", "p")
    assert book.state("a", "p", NOW).probing == ""
    assert book.dump()["executors"] == {}


def test_a_trial_that_fails_rests_twice_as_long():
    book = HealthBook()
    for _ in range(3):
        book.observe("a", "p", K.UNAVAILABLE, NOW)
    book.started("a", NOW + 60, "t1.4", "p")
    book.observe("a", "p", K.UNAVAILABLE, NOW + 70)
    assert book.state("a", "p", NOW + 70).until == NOW + 70 + 120


def test_a_trial_that_asks_a_question_leaves_it_half_open_for_the_next():
    book = HealthBook()
    for _ in range(3):
        book.observe("a", "p", K.UNAVAILABLE, NOW)
    book.started("a", NOW + 60, "t1.4", "p")
    book.observe("a", "p", K.NEEDS_INPUT, NOW + 70)
    state = book.state("a", "p", NOW + 71)
    assert (state.half_open, state.probing) == (True, "")


def test_a_reset_by_the_operator_ends_the_rest_of_executor_and_pool():
    book = HealthBook()
    book.observe("a", "account", K.RATE_LIMITED, NOW, NOW + 3600)
    book.observe("a", "account", K.AUTH_ERROR, NOW)
    book.reset("a")
    assert book.state("a", "account", NOW).ok
    assert book.calm


def test_a_reset_of_an_executor_nobody_knows_is_harmless():
    HealthBook().reset("nobody", "nothing")


def test_an_outcome_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="blown_up"):
        HealthBook().observe("a", "p", "blown_up", NOW)


def test_a_judgement_withheld_closes_nothing():
    book = HealthBook()
    for _ in range(3):
        book.observe("a", "p", K.UNAVAILABLE, NOW)
    book.observe("a", "p", K.FAILED, NOW + 100, judged=False)
    assert book.state("a", "p", NOW + 100).half_open


def test_a_dump_gives_the_same_book():
    book = HealthBook()
    book.observe("a", "p", K.RATE_LIMITED, NOW, NOW + 3600)
    book.observe("a", "p", K.UNAVAILABLE, NOW)
    again = HealthBook()
    again.load(json.loads(json.dumps(book.dump())))
    assert again.dump() == book.dump()
    again.reset("a")
    assert not book.state("a", "p", NOW).ok


def test_a_book_does_not_grow_with_executors_that_are_well():
    book = HealthBook()
    for index in range(50):
        book.observe(f"e{index}", "p", K.UNAVAILABLE, NOW)
        for _ in range(10):
            book.observe(f"e{index}", "p", K.SUCCEEDED, NOW)
    assert book.dump()["executors"] == {}


def test_an_executor_with_an_error_too_few_is_well():
    book = HealthBook()
    book.observe("a", "p", K.UNAVAILABLE, NOW)
    assert book.state("a", "p", NOW) == HealthBook().state("b", "p", NOW)


def test_a_judged_outcome_forgets_nothing_that_still_counts():
    book = HealthBook()
    for kind in (K.UNAVAILABLE, K.SUCCEEDED, K.UNAVAILABLE, K.UNAVAILABLE, K.FAILED, K.UNAVAILABLE):
        book.observe("a", "p", kind, NOW)
    assert book.state("a", "p", NOW).ok
    book.observe("a", "p", K.UNAVAILABLE, NOW)
    assert not book.state("a", "p", NOW).ok
