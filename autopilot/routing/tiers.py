"""What an executor says of itself: tiers and declared strengths, which enter the rule as a prior only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from autopilot.models import ExecutorInfo

__all__ = ["TIERS", "Word", "canonical_type", "declared_word", "declares"]


class Word(StrEnum):
    """What an executor says about a task type. Saying nothing is a word too, between the others."""

    STRONG = "strong"
    WEAK = "weak"
    SILENT = "no word"


TIERS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "high": frozenset({"architecture", "refactor", "security", "debugging", "migration"}),
        "volume": frozenset({"docs", "formatting", "tests", "chores"}),
    }
)
"""Tier -> the task types it declares itself strong at. A tier says nothing about the other tier's types: an
expensive executor is not bad at documentation, it merely is not needed there."""

_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "architectural": "architecture",
        "design": "architecture",
        "refactoring": "refactor",
        "debug": "debugging",
        "migrate": "migration",
        "migrations": "migration",
        "doc": "docs",
        "documentation": "docs",
        "format": "formatting",
        "test": "tests",
        "testing": "tests",
        "chore": "chores",
    }
)


def canonical_type(task_type: str) -> str:
    """The spelling used in the tier tables (``Test`` -> ``tests``); learning keeps the spelling of the task."""
    word = task_type.strip().lower()
    return _ALIASES.get(word, word)


def declares(info: ExecutorInfo) -> bool:
    """Whether the executor says anything about itself at all."""
    return bool(info.strong or info.weak or info.tier in TIERS)


def declared_word(info: ExecutorInfo, task_type: str) -> Word:
    """What the executor says of this type. Its own lists go before its tier; a type in both lists is no word."""
    kind = canonical_type(task_type)
    strong, weak = kind in _canonical(info.strong), kind in _canonical(info.weak)
    if strong != weak:
        return Word.STRONG if strong else Word.WEAK
    if not strong and kind in TIERS.get(info.tier, frozenset()):
        return Word.STRONG
    return Word.SILENT


def _canonical(types: Iterable[str]) -> set[str]:
    return {canonical_type(task_type) for task_type in types}
