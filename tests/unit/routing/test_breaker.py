"""One circuit breaker, by its rules."""

from __future__ import annotations

import pytest

from autopilot.routing.breaker import CLOCK_SLACK_S, Breaker, BreakerState
from autopilot.routing.parameters import Parameters

P = Parameters()


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        breaker.fault(at, P, "down")
    return breaker


def test_two_errors_in_a_row_do_not_open_it():
    breaker = Breaker()
    breaker.fault(0, P)
    breaker.fault(1, P)
    assert breaker.state(2) is BreakerState.CLOSED


def test_three_errors_in_a_row_open_it_for_a_minute():
    breaker = opened(10.0)
    assert breaker.state(10.0) is BreakerState.OPEN
    assert breaker.deadline(69.9) == 70.0
    assert breaker.state(70.0) is BreakerState.HALF_OPEN


def test_five_errors_among_ten_outcomes_open_it():
    breaker = Breaker()
    for now, kind in enumerate("x.xx.x."):
        breaker.fault(now, P) if kind == "x" else breaker.judged(now, P)
    assert breaker.state(7) is BreakerState.CLOSED
    breaker.fault(7, P)
    assert breaker.state(7) is BreakerState.OPEN


def test_errors_longer_ago_than_ten_outcomes_do_not_count():
    breaker = Breaker()
    for now, kind in enumerate("xx.xx......."):
        breaker.fault(now, P) if kind == "x" else breaker.judged(now, P)
    breaker.fault(12, P)
    assert breaker.state(12) is BreakerState.CLOSED


def test_an_error_when_half_open_doubles_the_cooldown_up_to_half_an_hour():
    breaker, now, rests = opened(0.0), 0.0, []
    for _ in range(8):
        rests.append(breaker.deadline(now) - now)
        now = breaker.until + 1
        breaker.fault(now, P)
    assert rests == [60, 120, 240, 480, 960, 1800, 1800, 1800]


def test_errors_during_a_rest_are_the_same_outage_and_only_extend_it():
    breaker = opened(0.0)
    breaker.fault(50.0, P)
    assert breaker.deadline(50.0) == 110.0
    breaker.fault(111.0, P)
    assert breaker.deadline(111.0) == 111.0 + 120


def test_a_judged_outcome_closes_it_when_half_open():
    breaker = opened(0.0)
    breaker.judged(61.0, P)
    assert breaker.state(61.0) is BreakerState.CLOSED
    breaker.fault(62.0, P)
    assert breaker.state(62.0) is BreakerState.CLOSED
    assert opened(100.0).deadline(100.0) == 160.0


def test_a_judged_outcome_ends_no_rest_that_is_running():
    breaker = opened(0.0)
    breaker.judged(30.0, P)
    assert breaker.state(31.0) is BreakerState.OPEN
    assert breaker.state(60.0) is BreakerState.HALF_OPEN


def test_the_cap_is_reached_at_once_and_stays():
    breaker = Breaker()
    breaker.cap(0.0, P, "no credentials", "log in")
    assert breaker.deadline(0.0) == 1800.0
    assert breaker.hint == "log in"
    breaker.fault(1801.0, P)
    assert breaker.deadline(1801.0) == 1801.0 + 1800


def test_the_cap_ends_with_parameters_that_can_never_reach_it():
    breaker = Breaker()
    breaker.cap(0.0, Parameters(cooldown_s=0.0), "broken")
    assert breaker.deadline(0.0) == 1800.0


def test_a_reset_time_is_trusted_and_needs_no_trial():
    breaker = Breaker()
    breaker.rest(0.0, P, 18_000.0, "limit")
    assert breaker.state(17_999.0) is BreakerState.OPEN
    assert breaker.state(18_000.0) is BreakerState.CLOSED


@pytest.mark.parametrize("reset_at", [None, 100.0, 99.0, -5.0])
def test_a_limit_without_a_reset_in_the_future_rests_for_a_cooldown_and_needs_a_trial(reset_at):
    breaker = Breaker()
    breaker.rest(100.0, P, reset_at)
    assert breaker.deadline(100.0) == 160.0
    assert breaker.state(160.0) is BreakerState.HALF_OPEN


def test_a_reset_in_the_next_century_is_believed_for_eight_days():
    breaker = Breaker()
    breaker.rest(0.0, P, 4e9)
    assert breaker.deadline(0.0) == 8 * 86400


def test_a_reset_time_never_shortens_a_rest():
    breaker = Breaker()
    breaker.rest(0.0, P, 5000.0, "weekly limit")
    breaker.rest(10.0, P, 40.0, "minute limit")
    assert breaker.deadline(10.0) == 5000.0
    assert breaker.reason == "weekly limit"
    breaker.rest(20.0, P, None)
    assert breaker.deadline(20.0) == 5000.0
    assert breaker.state(5000.0) is BreakerState.CLOSED


def test_a_provider_that_always_says_in_one_second_is_not_asked_every_second():
    breaker, now, rests = Breaker(), 0.0, []
    for _ in range(8):
        breaker.rest(now, P, now + 1)
        rests.append(breaker.until - now)
        now = breaker.until
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60]


def test_work_that_was_judged_makes_a_short_reset_short_again():
    breaker, now = Breaker(), 0.0
    for _ in range(5):
        breaker.rest(now, P, now + 1)
        now = breaker.until
    breaker.judged(now, P)
    breaker.rest(now, P, now + 1)
    assert breaker.deadline(now) == now + 1


def test_a_clock_that_was_set_back_does_not_make_a_rest_of_years():
    breaker = opened(10 * 365 * 86400.0)
    assert breaker.state(0.0) is BreakerState.HALF_OPEN
    breaker.fault(1.0, P)
    assert breaker.deadline(1.0) == 121.0


def test_clocks_that_disagree_a_little_end_no_rest():
    breaker = opened(1000.0)
    assert breaker.state(1000.0 - CLOCK_SLACK_S + 1) is BreakerState.OPEN


def test_a_breaker_with_nothing_in_it_is_spotless():
    breaker = Breaker()
    assert breaker.spotless
    breaker.fault(0, P)
    assert not breaker.spotless
    for now in range(10):
        breaker.judged(now, P)
    assert breaker.spotless
    assert not opened().spotless
