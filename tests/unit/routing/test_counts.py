"""Discounting at a constant cost per outcome."""

from __future__ import annotations

import json

import pytest

from autopilot.routing.counts import NOTHING, DiscountedTable


def filled(*outcomes):
    table = DiscountedTable(0.99, 0.995)
    for executor, task_type, success in outcomes:
        table.observe(executor, task_type, success, 2.0, 30.0)
    return table


def test_an_outcome_counts_one():
    assert filled(("a", "docs", True)).get("a", "docs") == pytest.approx((1.0, 1.0, 2.0, 1.0, 30.0, 1.0))


def test_the_same_cell_is_discounted_as_row_and_as_column():
    n, s, *_ = filled(("a", "docs", True), ("a", "docs", False)).get("a", "docs")
    assert n == pytest.approx(1 + 0.99 * 0.995)
    assert s == pytest.approx(0.99 * 0.995)


def test_another_type_of_the_executor_is_discounted_as_row_only():
    assert filled(("a", "docs", True), ("a", "tests", True)).get("a", "docs")[0] == pytest.approx(0.99)


def test_another_executor_at_the_type_is_discounted_as_column_only():
    assert filled(("a", "docs", True), ("b", "docs", True)).get("a", "docs")[0] == pytest.approx(0.995)


def test_a_cell_in_another_row_and_column_keeps_its_counts():
    assert filled(("a", "docs", True), ("b", "tests", True)).get("a", "docs")[0] == pytest.approx(1.0)


def test_a_cell_never_seen_is_empty():
    assert filled(("a", "docs", True)).get("b", "docs") == NOTHING
    assert filled(("a", "docs", True)).get("a", "tests") == NOTHING


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1.0])
def test_an_unknown_or_nonsensical_cost_says_nothing_about_the_cost(value):
    table = DiscountedTable(0.99, 0.995)
    table.observe("a", "docs", True, value, value)
    assert table.get("a", "docs") == pytest.approx((1.0, 1.0, 0.0, 0.0, 0.0, 0.0))


def test_counts_stay_right_over_outcomes_without_end():
    """0.99 to the power of 80,000 is 0 to a float: the scales have to be folded into the cells on the way."""
    table = DiscountedTable(0.99, 0.995)
    table.observe("other", "docs", True, 1.0, 1.0)
    for index in range(80_000):
        table.observe("a", "docs", index % 4 == 0, 1.0, 1.0)
    n, s, *_ = table.get("a", "docs")
    limit = 1 / (1 - 0.99 * 0.995)
    assert n == pytest.approx(limit, rel=1e-9)
    assert s / n == pytest.approx(0.25, abs=0.01)
    assert table.get("other", "docs")[0] == pytest.approx(0.995**80_000, rel=1e-6)


def test_margins_are_the_sums_of_the_cells():
    table = filled(("b", "docs", True), ("a", "docs", False), ("a", "tests", True), ("b", "chores", False))
    sums = table.sums()
    cells = {(name, kind): cell for name, row in table.rows() for kind, cell in row}
    for name in ("a", "b"):
        own = [cell for (executor, _), cell in cells.items() if executor == name]
        assert sums.by_executor[name] == pytest.approx(tuple(map(sum, zip(*own, strict=True))))
    docs = [cell for (_, kind), cell in cells.items() if kind == "docs"]
    assert sums.type_runs["docs"] == pytest.approx(sum(cell[0] for cell in docs))
    assert sums.type_successes["docs"] == pytest.approx(sum(cell[1] for cell in docs))
    assert sums.runs["a"]["tests"] == pytest.approx(cells["a", "tests"][0])


def test_names_come_out_sorted_whatever_order_they_came_in():
    rows = list(filled(("b", "x", True), ("a", "z", True), ("a", "y", True)).rows())
    assert [(name, [kind for kind, _ in cells]) for name, cells in rows] == [("a", ["y", "z"]), ("b", ["x"])]


def test_a_dump_continues_with_equal_bits():
    whole = filled(("a", "docs", True), ("b", "docs", False))
    again = DiscountedTable(0.99, 0.995)
    again.load(json.loads(json.dumps(whole.dump())))
    for table in (whole, again):
        table.observe("a", "tests", True, 0.1, 0.2)
    assert list(whole.rows()) == list(again.rows())


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"rows": {"a": {"scale": 1.0, "cells": {"docs": [1.0]}}}, "columns": {"docs": 1.0}},
        {"rows": {"a": {"scale": 1.0, "cells": {"docs": [1.0] * 6}}}, "columns": {}},
        {"rows": {"a": {"scale": "much", "cells": {}}}, "columns": {}},
        {"rows": [], "columns": []},
    ],
)
def test_a_damaged_dump_is_refused_and_changes_nothing(damaged):
    table = filled(("a", "docs", True))
    before = list(table.rows())
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        table.load(damaged)
    assert list(table.rows()) == before
