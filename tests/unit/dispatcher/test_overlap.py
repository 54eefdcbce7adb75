"""Two globs overlap when one path can match both."""

from __future__ import annotations

import pytest

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


def test_the_first_pair_is_named() -> None:
    assert overlapping(["docs/**", "src/*.py"], ["src/app.py"]) == ("src/*.py", "src/app.py")
    assert overlapping(["docs/**"], ["src/app.py"]) is None
