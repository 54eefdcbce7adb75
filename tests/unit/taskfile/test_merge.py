"""A person's text and Autopilot's keys, written at the same time."""

from __future__ import annotations

import pytest

from autopilot.errors import TaskFormatError
from autopilot.taskfile import edit, parse_frontmatter
from autopilot.taskfile.merge import merge, same_but_owned

BASE = b"---\nid: a\ntitle: T # why\nstatus: pending\n---\n\nbody\n"
RESULT = {"executor": "local", "outcome": "failed", "verified": False}


def test_owned_keys_come_from_the_file_and_all_else_from_the_person() -> None:
    theirs = edit(BASE, {"status": "pending", "attempt": 2, "result": RESULT})
    merged = merge(BASE, BASE.replace(b"body", b"mine"), theirs)
    assert merged == theirs.replace(b"body", b"mine")


def test_a_status_that_the_person_wrote_stays() -> None:
    merged = merge(BASE, edit(BASE, {"status": "cancelled"}), edit(BASE, {"status": "claimed", "attempt": 1}))
    assert merged is not None
    head = parse_frontmatter(merged)
    assert (head["status"], head["attempt"]) == ("cancelled", "1")


def test_a_key_that_autopilot_removed_is_removed() -> None:
    base = edit(BASE, {"attempt": 1})
    assert merge(base, base + b"mine", BASE) == BASE + b"mine"


@pytest.mark.parametrize("theirs", [BASE + b"theirs", BASE.replace(b"T #", b"U #"), b"broken"])
def test_two_persons_are_not_merged(theirs: bytes) -> None:
    assert merge(BASE, BASE + b"mine", theirs) is None


def test_a_text_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(TaskFormatError):
        merge(BASE, BASE.replace(b"T #", b"[ #"), edit(BASE, {"status": "claimed"}))


def test_the_same_text_is_the_same_though_it_cannot_be_read() -> None:
    assert same_but_owned(b"broken", b"broken")
