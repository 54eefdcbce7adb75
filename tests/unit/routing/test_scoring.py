"""The summands of a score."""

from __future__ import annotations

import attrs
import pytest

from autopilot.models import Term
from autopilot.routing import Parameters, Quality
from autopilot.routing.scoring import figures, plugin_terms, quality_terms


def test_the_built_in_terms_add_up_to_the_score():
    quality = Quality()
    quality.observe("a", "docs", True, 2.0, 600.0)
    priced = attrs.evolve(Parameters(), cost_weight=0.1, minute_weight=0.01)
    estimate = quality.estimate("a", "docs", parameters=priced)
    terms = quality_terms(estimate, "docs", priced)
    assert [term.name for term in terms] == ["quality", "uncertainty", "cost", "time"]
    assert sum(term.value for term in terms) == pytest.approx(estimate.score, abs=1e-12)
    assert all(term.detail for term in terms)


def test_prices_that_are_off_have_no_term():
    terms = quality_terms(Quality().estimate("a", "docs"), "docs", Parameters())
    assert [term.name for term in terms] == ["quality", "uncertainty"]


@pytest.mark.parametrize(("said", "counted"), [(0.1, 0.1), (5.0, 0.2), (-5.0, -0.2)])
def test_a_plugin_term_is_clamped(said, counted):
    (term,) = plugin_terms([Term(name="night", value=said, detail="cheap")], Parameters())
    assert term == Term(name="night", value=counted, detail="cheap")


def test_the_weight_is_found_by_the_plugins_name_and_applied_after_the_clamp():
    parameters = Parameters(weights=(("loud", 0.0), ("night", 2.0)))
    terms = [Term(name="night:moon", value=1.0), Term(name="loud", value=0.1), Term(name="other", value=0.1)]
    assert [(t.name, t.value) for t in plugin_terms(terms, parameters)] == [
        ("loud", 0.0),
        ("night:moon", 0.4),
        ("other", 0.1),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_term_that_is_no_number_is_dropped(value):
    assert plugin_terms([Term(name="x", value=value)], Parameters()) == ()


def test_scorers_see_the_past_and_cannot_change_it():
    quality = Quality()
    quality.observe("a", "docs", True)
    seen = figures(quality.estimate("a", "docs"))
    assert seen["runs"] == seen["successes"] == pytest.approx(1.0)
    assert 0 < seen["mean"] < 1
    with pytest.raises(TypeError):
        seen["runs"] = 9
