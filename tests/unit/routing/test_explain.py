"""Decisions and knowledge in words and rows."""

from __future__ import annotations

import json

import pytest

from autopilot.models import OutcomeKind
from autopilot.routing import Parameters, Quality
from autopilot.routing.explain import candidate_rows, decision_payload, explain_lines, stats_rows
from tests.unit.routing.world import NOW, make_contender, make_task


@pytest.fixture
def decision(world):
    world.health.observe("c", "c", OutcomeKind.RATE_LIMITED, NOW, NOW + 60)
    world.quality.observe("a", "docs", True)
    contenders = [make_contender(name) for name in "abc"] + [make_contender("local", ("shell",))]
    return world.decide(make_task(task_type="docs"), contenders)


def test_the_table_marks_the_choice_and_the_excluded(decision):
    rows = candidate_rows(decision)
    assert [(row.executor, row.mark) for row in rows] == [("a", "→"), ("b", ""), ("c", "-"), ("local", "-")]
    assert rows[0].score == f"{decision.candidates[0].score:.3f}"
    assert (rows[3].score, rows[3].confidence) == ("–", "–")


def test_the_lines_tell_choice_terms_and_why_nots(decision):
    text = "\n".join(explain_lines(decision))
    assert text.startswith(f"a (chosen): {decision.reason}\n")
    assert "quality: 1.0 of 1.0 docs runs succeeded; elsewhere" in text
    assert "rests until 2026-01-01 00:01:00Z" in text
    assert "a shell" in text
    assert text.endswith(f"parameters: {decision.parameters}")


def test_terms_can_be_left_out(decision):
    assert "quality:" not in "\n".join(explain_lines(decision, terms=False))


def test_a_decision_for_nobody_tells_the_hint_and_the_next_try(world):
    world.health.observe("c", "c", OutcomeKind.AUTH_ERROR, NOW)
    lines = explain_lines(world.decide(make_task(), [make_contender("c")]))
    assert lines[0].startswith("nobody (resting): c: rests until 2026-01-01 00:30:00Z")
    assert lines[1] == "hint: log in or set its credentials, then run `autopilotctl executors reset c`"
    assert lines[2] == "next try: 2026-01-01 00:30:00Z"


def test_no_candidates_at_all_can_be_shown(world):
    assert explain_lines(world.decide(make_task(), []))[0].startswith("nobody (no_capable_executor)")


def test_the_payload_is_json_with_every_term(decision):
    payload = json.loads(json.dumps(decision_payload(decision, attempt=3)))
    assert (payload["executor"], payload["attempt"], payload["parameters"]) == ("a", 3, decision.parameters)
    assert payload["candidates"][0]["terms"][0]["value"] == decision.candidates[0].terms[0].value


def test_statistics_have_a_row_for_each_executor_and_type_that_was_seen():
    quality = Quality(Parameters(published=(("a", 0.9, 10.0),)))
    quality.observe("b", "docs", True, 0.5, 120.0)
    quality.observe("a", "tests", False)
    rows = stats_rows(quality)
    assert [(row.executor, row.task_type) for row in rows] == [("a", "tests"), ("b", "docs")]
    assert rows[1].runs == pytest.approx(1)
    assert rows[1].mean == quality.estimate("b", "docs").mean
    assert rows[1].minutes > 0
