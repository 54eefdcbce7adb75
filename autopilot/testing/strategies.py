"""Hypothesis strategies for the values of Autopilot, and for what a program may print."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from autopilot.models import Outcome, OutcomeKind, Priority, Task, Usage

__all__ = ["instants", "json_lines", "outcomes", "output_lines", "task_ids", "tasks"]

_FIRST = "abcdefghijklmnopqrstuvwxyz0123456789"
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})


def task_ids() -> SearchStrategy[str]:
    """Valid task ids."""
    return (
        st.builds(str.__add__, st.sampled_from(_FIRST), st.text(_FIRST + "._-", max_size=79))
        .filter(lambda name: ".." not in name and not name.endswith((".", ".lock")))
        .filter(lambda name: name.split(".")[0] not in _DEVICES)
    )


def instants() -> SearchStrategy[datetime]:
    """Aware UTC instants from 1970 to 2200."""
    return st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC))


def tasks() -> SearchStrategy[Task]:
    """Pending tasks, prose and shell."""
    words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=40)
    return st.builds(
        Task,
        id=task_ids(),
        title=words.filter(str.strip),
        priority=st.sampled_from(Priority),
        task_type=st.sampled_from(["general", "docs", "tests", "architecture", "debugging"]),
        command=st.none() | words.filter(str.strip),
        tags=st.lists(words, max_size=3).map(tuple),
        body=st.text(max_size=200),
    )


def outcomes() -> SearchStrategy[Outcome]:
    """Outcomes of every kind."""
    return st.builds(
        Outcome,
        kind=st.sampled_from(OutcomeKind),
        message=st.text(max_size=80),
        reset_at=st.none() | instants(),
        usage=st.none()
        | st.builds(Usage, input_tokens=st.integers(0, 10**9), output_tokens=st.integers(0, 10**9)),
        cost_usd=st.none() | st.floats(0, 1e6),
        exit_code=st.none() | st.integers(-64, 255),
    )


def _json_values() -> SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30)
    keys = st.sampled_from(["type", "subtype", "message", "content", "usage", "result", "error", "id"]) | st.text(
        max_size=8
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=12,
    )


def json_lines(*known: dict[str, Any]) -> SearchStrategy[str]:
    """Lines of JSON: of any shape, and the ``known`` objects with single values replaced by anything."""
    values = _json_values()
    if known:
        values = values | st.sampled_from(known).flatmap(_damaged)
    return values.map(json.dumps)


def _damaged(record: dict[str, Any]) -> SearchStrategy[Any]:
    return st.tuples(st.sampled_from(sorted(record)), _json_values()).map(
        lambda pair: {**record, pair[0]: pair[1]}
    )


def output_lines(*known: dict[str, Any]) -> SearchStrategy[str]:
    """Whatever a program may print on a line: text, bytes that are no text, JSON, JSON cut short. For the property
    that a parser survives all of it."""
    whole = json_lines(*known)
    cut = st.tuples(whole, st.integers(0, 200)).map(lambda pair: pair[0][: pair[1]])
    noise = st.binary(max_size=200).map(lambda data: data.decode("utf-8", "replace").replace("\n", " "))
    return whole | cut | noise | st.text(max_size=200).map(lambda text: text.replace("\n", " "))
