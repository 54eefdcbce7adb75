"""What executors say of themselves."""

from __future__ import annotations

import pytest

from autopilot.models import ExecutorInfo
from autopilot.routing.tiers import TIERS, Word, canonical_type, declared_word, declares

HIGH = ExecutorInfo(name="claude-code", tier="high")
VOLUME = ExecutorInfo(name="kimi", tier="volume")


@pytest.mark.parametrize("task_type", ["architecture", "refactor", "security", "debugging", "migration"])
def test_the_high_tier_is_strong_at_hard_work_and_the_volume_tier_has_no_word_on_it(task_type):
    assert declared_word(HIGH, task_type) is Word.STRONG
    assert declared_word(VOLUME, task_type) is Word.SILENT


@pytest.mark.parametrize("task_type", ["docs", "formatting", "tests", "chores"])
def test_the_volume_tier_is_strong_at_volume_work_and_the_high_tier_has_no_word_on_it(task_type):
    assert declared_word(VOLUME, task_type) is Word.STRONG
    assert declared_word(HIGH, task_type) is Word.SILENT


@pytest.mark.parametrize("info", [HIGH, VOLUME, ExecutorInfo(name="x")])
def test_nobody_has_a_word_on_other_types(info):
    assert declared_word(info, "general") is Word.SILENT


def test_common_spellings_of_a_type_are_understood():
    assert [canonical_type(word) for word in ("Test", "doc", " refactoring ")] == ["tests", "docs", "refactor"]
    assert declared_word(VOLUME, "documentation") is Word.STRONG


def test_the_executors_own_lists_go_before_its_tier():
    info = ExecutorInfo(name="x", tier="high", strong=frozenset({"haiku"}), weak=frozenset({"security"}))
    assert declared_word(info, "haiku") is Word.STRONG
    assert declared_word(info, "security") is Word.WEAK
    assert declared_word(info, "architecture") is Word.STRONG


def test_a_type_that_is_declared_both_strong_and_weak_is_no_word():
    info = ExecutorInfo(name="x", tier="high", strong=frozenset({"refactor"}), weak=frozenset({"refactor"}))
    assert declared_word(info, "refactor") is Word.SILENT


def test_an_unknown_tier_declares_nothing():
    assert not declares(ExecutorInfo(name="x", tier="middling"))
    assert declares(HIGH)
    assert declares(ExecutorInfo(name="x", weak=frozenset({"docs"})))


def test_no_type_belongs_to_two_tiers():
    assert not TIERS["high"] & TIERS["volume"]
