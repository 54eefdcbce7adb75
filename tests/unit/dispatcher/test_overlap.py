"""Two globs overlap when one path can match both."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.dispatcher.overlap import overlap, overlapping


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("src/app.py", "src/app.py", True),
        ("src/app.py", "src/api.py", False),
        ("src/*.py", "src/app.py", True),
        ("src/*.py", "src/*.md", False),
        ("src/*.py", "src/a*", True),
        ("src/**", "src/deep/down/file.txt", True),
        ("**/test_*.py", "tests/unit/test_a.py", True),
        ("**/test_*.py", "src/**", True),
        ("docs/**", "src/**", False),
        ("src", "src/app.py", True),
        ("src/", "src/deep/x", True),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("[ab].py", "a.py", True),
        ("*a*b*", "*c*", True),
        ("**", "anything/at/all", True),
        ("./src/app.py", "src/app.py", True),
    ],
)
def test_overlap_is_symmetric_and_right(one: str, other: str, meet: bool) -> None:
    assert overlap(one, other) is meet
    assert overlap(other, one) is meet


def test_many_stars_do_not_explode() -> None:
    assert overlap("*a" * 40 + "x", "*b" * 40 + "y") is False


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("a" * 30_000, "a" * 30_000, True),
        ("a" * 30_000, "a" * 29_999 + "b", False),
        ("*a" * 15_000 + "x", "*a" * 15_000 + "y", False),
        ("x/" * 15_000 + "f", "x/" * 15_000 + "f", True),
        ("x/" * 15_000 + "f", "x/" * 15_000 + "g", False),
        ("**/x/" * 6_000 + "f", "**/x/" * 6_000 + "g", True),
        ("[" * 30_000, "?" * 30_000, True),
    ],
)
def test_a_pattern_may_be_as_long_as_a_task_file(one: str, other: str, meet: bool) -> None:
    assert overlap(one, other) is meet


def names_meet(one: str, other: str) -> bool:
    if not one or not other:
        return not (one + other).strip("*")
    if "*" in (one[0], other[0]):
        return names_meet(one[1:], other) or names_meet(one, other[1:])
    return (one[0] == other[0] or "?" in (one[0], other[0])) and names_meet(one[1:], other[1:])


def paths_meet(one: list[str], other: list[str]) -> bool:
    if not one or not other:
        return True
    if "**" in (one[0], other[0]):
        return paths_meet(one[1:], other) or paths_meet(one, other[1:])
    return names_meet(one[0], other[0]) and paths_meet(one[1:], other[1:])


PATHS = st.lists(st.text("ab*?", min_size=1, max_size=5) | st.just("**"), min_size=1, max_size=5)


@given(PATHS, PATHS)
def test_it_answers_as_the_definition_does(one: list[str], other: list[str]) -> None:
    assert overlap("/".join(one), "/".join(other)) is paths_meet(one, other)


def test_the_first_pair_is_named() -> None:
    assert overlapping(["docs/**", "src/*.py"], ["src/app.py"]) == ("src/*.py", "src/app.py")
    assert overlapping(["docs/**"], ["src/app.py"]) is None
