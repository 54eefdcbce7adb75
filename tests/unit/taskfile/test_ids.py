from __future__ import annotations

import re
from datetime import UTC, datetime
from random import Random

import pytest

from autopilot.errors import TaskFormatError
from autopilot.taskfile import check_id, new_id, skeleton


class FixedClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 22, 23, 59, tzinfo=UTC)

    def monotonic(self) -> float:
        return 0.0


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "0",
        "req-20261122-1f0c9a3b",
        "a.b_c-d",
        "a" * 80,
        "console",
        "nul1",
        "a.locks",
        "lock",
        "x.con",
        "com",
        "com10",
    ],
)
def test_valid_ids_come_back(text: str) -> None:
    assert check_id(text) == text


@pytest.mark.parametrize(
    ("text", "why", "hint"),
    [
        ("", "it is empty", "leave the id out"),
        ("a" * 81, "81 characters", "aaaa"),
        ("../etc/passwd", "1 to 80 of a-z", "for example: etc-passwd"),
        ("a..b", "`..`", "for example: a-b"),
        ("a.", "ends with a dot", "for example: a"),
        ("main.lock", "git refuses", "for example: main-lock"),
        ("con", "device", "for example: task-con"),
        ("lpt9.txt", "device", "for example: lpt9-txt"),
        ("Fix Login!", "1 to 80 of a-z", "for example: fix-login"),
        ("a\n", "1 to 80 of a-z", "for example: a"),
        ("-a", "beginning with a letter", "for example: a"),
        ("ünder", "1 to 80", "for example: nder"),
        ("日本", "1 to 80", "leave the id out"),
        ("a\x1b[31m", "1 to 80", "for example: a-31m"),
    ],
)
def test_invalid_ids_are_refused_with_a_proposal(text: str, why: str, hint: str) -> None:
    with pytest.raises(TaskFormatError) as caught:
        check_id(text)
    assert why in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.message.isprintable()
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("text", ["../x", "A B", "con", "a.lock", "x" * 200, "COM1.tar.gz", "-.-a-.-"])
def test_the_proposal_is_valid(text: str) -> None:
    with pytest.raises(TaskFormatError) as caught:
        check_id(text)
    proposal = caught.value.hint.removeprefix("for example: ")
    assert check_id(proposal) == proposal


def test_a_new_id_has_the_day_and_eight_hexadecimal_digits() -> None:
    rng = Random(7)
    found = [new_id(FixedClock(), rng) for _ in range(200)]
    assert all(re.fullmatch(r"req-20261122-[0-9a-f]{8}", text) for text in found)
    assert len(set(found)) == 200
    assert all(check_id(text) for text in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("task-10", "task-1o"),
        ("task-1", "task-l"),
        ("modem", "modern"),
        ("fix", "FIX"),
        ("task-１", "task-1"),
        ("ﬁx", "fix"),
    ],
)
def test_ids_that_look_alike_have_equal_skeletons(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("a-b", "a_b"), ("a.b", "ab"), ("task-1", "task-2"), ("fix", "fixe")])
def test_ids_that_differ_to_the_eye_have_different_skeletons(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


def test_generated_ids_of_one_day_never_look_alike() -> None:
    # Hexadecimal digits have no pair that is confused: an o, an l or an m is not among them.
    ids = [new_id(FixedClock(), Random(n)) for n in range(500)]
    assert len({skeleton(text) for text in ids}) == len(set(ids))
