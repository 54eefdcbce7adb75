"""The constants, prices in words, and the hash."""

from __future__ import annotations

import attrs
import pytest

from autopilot.config.settings import RoutingSettings
from autopilot.routing import Parameters
from autopilot.routing.parameters import price_weights


def test_without_prices_cost_and_time_are_left_out():
    assert price_weights(0, 0) == (0.0, 0.0)


def test_a_price_per_hour_needs_a_price_per_task_to_be_compared_with():
    assert price_weights(0, 60) == (0.0, 0.0)


def test_an_attempt_that_costs_as_much_as_a_solved_task_is_worth_weighs_as_much_as_certain_success():
    cost_weight, minute_weight = price_weights(5.0, 60.0)
    assert cost_weight * 5.0 == pytest.approx(1.0)
    # an hour costs 60 USD, so five minutes cost 5 USD: the whole worth of a task
    assert minute_weight * 5 == pytest.approx(1.0)


def test_the_order_by_score_is_the_order_by_money():
    value, hour = 4.0, 30.0
    cost_weight, minute_weight = price_weights(value, hour)
    attempts = [(0.9, 2.0, 10.0), (0.5, 0.1, 3.0), (0.7, 0.5, 30.0), (0.65, 0.0, 0.0)]
    by_money = sorted(attempts, key=lambda a: value * a[0] - a[1] - hour / 60 * a[2])
    by_score = sorted(attempts, key=lambda a: a[0] - cost_weight * a[1] - minute_weight * a[2])
    assert by_money == by_score


def test_settings_enter_the_parameters():
    settings = RoutingSettings(solved_task_usd=2, hour_usd=6, weights={"night": 0.5}, order=("kimi", "codex"))
    parameters = Parameters.from_settings(settings)
    assert (parameters.cost_weight, parameters.minute_weight) == (0.5, 0.05)
    assert parameters.weights == (("night", 0.5),)
    assert parameters.order == ("kimi", "codex")


def test_equal_parameters_have_equal_hashes_whatever_the_order_of_the_weights():
    first = Parameters.from_settings(RoutingSettings(weights={"a": 1.0, "b": 2.0}))
    second = Parameters.from_settings(RoutingSettings(weights={"b": 2, "a": 1}))
    assert first.hash == second.hash
    assert len(first.hash) == 16


def test_every_single_parameter_changes_the_hash():
    start = Parameters()
    other = {"weights": (("x", 2.0),), "order": ("x",), "published": (("x", 0.5, 1.0),)}
    hashes = {start.hash}
    for field in attrs.fields(Parameters):
        value = getattr(start, field.name)
        changed = attrs.evolve(start, **{field.name: other.get(field.name, None) or value + 1})
        hashes.add(changed.hash)
    assert len(hashes) == len(attrs.fields(Parameters)) + 1
