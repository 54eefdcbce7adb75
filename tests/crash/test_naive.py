"""The same injections and the same judge, on a store that was not built for them: the campaign can fail."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.campaign import FAST, record, size
from tests.crash import naive
from tests.crash.forks import in_child
from tests.crash.inject import Work, actions_at, dies_at_line, lines_of, passes_of, with_faults
from tests.crash.naive import Naive, facts_of
from tests.crash.oracle import judge


def broken_by(disturb: Callable[[Work], Work]) -> list[str]:
    """One life, disturbed; then it goes on as far as it can, and is judged."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        folder = Path(place)
        in_child(disturb(lambda: Naive(folder).live()))
        ended = in_child(lambda: Naive(folder).settle())
        return judge(facts_of(folder)) + ([f"the way back ended with {ended}"] if ended else [])


def test_the_judge_has_nothing_against_an_undisturbed_life() -> None:
    assert broken_by(lambda work: work) == []


def test_named_failpoints_break_it() -> None:
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        passes = passes_of(lambda: Naive(Path(place)).live())
    specs = [f"{name}={action}@{nth}" for name, nth in passes for action in actions_at(name)]
    chosen = random.Random(1).sample(specs, size(30, len(specs)))
    bad = sum(bool(broken_by(lambda work, spec=spec: with_faults(spec, work))) for spec in chosen)
    record("T1", "the naive baseline", injections=len(chosen), bad=bad)
    assert bad >= len(chosen) / 4


def test_kills_at_lines_break_it() -> None:
    own = naive.__file__
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        lines = lines_of(lambda: Naive(Path(place)).live(), own).count
    chosen = random.Random(2).sample(range(1, lines + 1), size(30, lines))
    bad = sum(bool(broken_by(lambda work, line=line: dies_at_line(line, work, own))) for line in chosen)
    record("T3", "the naive baseline", kills=len(chosen), bad=bad)
    assert bad >= len(chosen) / 10
