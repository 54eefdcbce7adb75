from __future__ import annotations

from datetime import UTC, datetime

import pytest

from autopilot.errors import TaskFormatError
from autopilot.models import Priority, Status
from autopilot.taskfile import parse, render

NEW_FILE = """---
id: fix-login
title: "Fix: the login"
status: pending
priority: high
task_type: bugfix
tags: [a, b]
depends_on: []
verify:
  - make test
  - "grep -q 'x: y' z"
command:
  - echo
  - "-n"
  - ""
requires: [code, shell]
timeout_minutes: 30
budget_usd: 0.5
created_at: 2026-11-22T09:14:03.000000Z
x:
  list:
    - z
    - {w: null}
---

Do it.
"""


def test_a_new_task_file() -> None:
    fields = {
        "id": "fix-login",
        "title": "Fix: the login",
        "status": Status.PENDING,
        "priority": Priority.HIGH,
        "executor": None,
        "task_type": "bugfix",
        "tags": ("a", "b"),
        "depends_on": (),
        "verify": ["make test", "grep -q 'x: y' z"],
        "command": ("echo", "-n", ""),
        "requires": frozenset({"shell", "code"}),
        "timeout_minutes": 30,
        "budget_usd": 0.5,
        "created_at": datetime(2026, 11, 22, 9, 14, 3, tzinfo=UTC),
        "x": {"list": ["z", {"w": None}]},
    }
    data = render(fields, "Do it.\n")
    assert data.decode() == NEW_FILE
    task = parse(data)
    assert task.verify == ("make test", "grep -q 'x: y' z")
    assert task.command == ("echo", "-n", "")
    assert task.extra == {"x": {"list": ["z", {"w": None}]}}


@pytest.mark.parametrize("body", ["", "\n", "x", "\n\nx\n", "---\n", "\r\n", "a\r\nb", "\ufeff", "\u2028", " "])
def test_every_body_comes_back(body: str) -> None:
    assert parse(render({"id": "a", "title": "t"}, body)).body == body


@pytest.mark.parametrize(
    "title",
    [
        "#12",
        "a #12",
        "a: b",
        "- a",
        "'",
        '"',
        "\\",
        '\\"',
        "a\nb",
        "\t",
        "a\tb",
        " a ",
        "[a]",
        "null",
        "é",
        "\x1b",
        "\u2028",
        "🚀",
    ],
)
def test_every_title_comes_back(title: str) -> None:
    if title.strip():
        assert parse(render({"id": "a", "title": title})).title == title
    else:
        with pytest.raises(TaskFormatError, match="empty"):
            render({"id": "a", "title": title})


def test_long_lists_and_texts_stay_readable() -> None:
    text = render({"title": "t", "tags": ["word"] * 30}).decode()
    assert text.count("\n  - word") == 30


@pytest.mark.parametrize("body", ["\0", "\udfff"])
def test_a_body_that_no_file_can_hold_is_refused(body: str) -> None:
    with pytest.raises(TaskFormatError, match="body"):
        render({"id": "a", "title": "t"}, body)


def test_a_file_that_would_be_too_large_is_refused() -> None:
    with pytest.raises(TaskFormatError, match="bytes"):
        render({"id": "a", "title": "t"}, "x" * 1024 * 1024)
