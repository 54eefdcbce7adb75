from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from autopilot.errors import TaskFormatError
from autopilot.models import Priority, Status, Task, Workspace
from autopilot.taskfile import parse, parse_frontmatter, read_fields

FULL = b"""---
# made by hand
id: fix-login
title: "Fix: the login page"
status: pending
priority: high
executor: claude-code
task_type: bugfix
timeout_minutes: 45
tags: [backend, urgent]
repo: ../shop
depends_on:
  - design-api
acceptance_criteria:
  - The form keeps its values  # after an error
verify: make test
command: [make, "", --all]
requires: [code, code]
touches: [src/**]
model: opus
max_attempts: 5
budget_usd: .50
workspace: worktree
review: codex
on_unavailable: fallback
not_before: 2026-12-01T08:00:00+01:00
origin: github
schema: 1
created_at: 2026-11-22T09:14:03.123456Z
updated_at: 2026-11-22
attempt: 2
result:
  executor: local
  verified: true
  cost_usd: 0.25
  reason: null
x-points: 8
owner: {name: no}
---

Body
"""


def task_of(*lines: str, body: str = "Do it.", **options: Any) -> Task:
    head = "".join(f"{line}\n" for line in lines)
    return parse(f"---\n{head}---\n\n{body}".encode(), **options)


def fault_of(*lines: str, body: str = "Do it.", **options: Any) -> TaskFormatError:
    with pytest.raises(TaskFormatError) as caught:
        task_of(*lines, body=body, **options)
    return caught.value


def test_a_whole_task() -> None:
    assert parse(FULL, path="tasks/fix-login.md", expected_id="fix-login") == Task(
        id="fix-login",
        title="Fix: the login page",
        status=Status.PENDING,
        priority=Priority.HIGH,
        executor="claude-code",
        task_type="bugfix",
        timeout_minutes=45.0,
        tags=("backend", "urgent"),
        repo="../shop",
        depends_on=("design-api",),
        acceptance_criteria=("The form keeps its values",),
        verify=("make test",),
        command=("make", "", "--all"),
        requires=frozenset({"code"}),
        touches=("src/**",),
        model="opus",
        max_attempts=5,
        budget_usd=0.5,
        workspace=Workspace.WORKTREE,
        review="codex",
        on_unavailable="fallback",
        not_before=datetime(2026, 12, 1, 7, tzinfo=UTC),
        origin="github",
        schema=1,
        created_at=datetime(2026, 11, 22, 9, 14, 3, 123456, tzinfo=UTC),
        updated_at=datetime(2026, 11, 22, tzinfo=UTC),
        attempt=2,
        result={"executor": "local", "verified": True, "cost_usd": 0.25, "reason": None},
        extra={"x-points": "8", "owner": {"name": "no"}},
        body="Body\n",
        path="tasks/fix-login.md",
        digest=hashlib.sha256(FULL).hexdigest(),
    )


def test_defaults_are_the_models() -> None:
    task = task_of("title: x", expected_id="a")
    assert task == Task(id="a", title="x", body="Do it.", digest=task.digest)


def test_read_fields_has_what_the_file_has() -> None:
    assert read_fields(b"---\nid: a\ntitle: no\nmodel:\npriority: low\nx: 1\n---\n") == {
        "id": "a",
        "title": "no",
        "priority": Priority.LOW,
        "extra": {"x": "1"},
    }


def test_parse_frontmatter_leaves_text_alone() -> None:
    data = b"---\nstatus: whatever\ntimeout_minutes: 1.10\nid:\n---\n"
    assert parse_frontmatter(data) == {"status": "whatever", "timeout_minutes": "1.10", "id": None}
    with pytest.raises(TaskFormatError) as caught:
        parse_frontmatter(b"---\na: b: c\n---\n", path="p.md")
    assert caught.value.path == "p.md"


# ---------------------------------------------------------------------- id and title


def test_a_file_without_an_id_gets_its_names() -> None:
    assert task_of("title: x", expected_id="a").id == "a"
    assert task_of("title: x", "id:", expected_id="a").id == "a"


def test_an_id_that_differs_from_the_name_is_refused() -> None:
    fault = fault_of("title: x", "id: b", expected_id="a", path="tasks/a.md")
    assert (fault.line, fault.column, fault.path) == (3, 5, "tasks/a.md")
    assert str(fault) == "tasks/a.md:3:5: the id is `b`, but the file is named 'a.md'"
    assert fault.hint == "rename the file to b.md, or write `id: a`"
    assert fault_of("title: x", "id: b", expected_id="A B").hint == "rename the file to b.md"


def test_a_file_name_that_is_no_id_is_refused() -> None:
    fault = fault_of("title: x", expected_id="Fix Login")
    assert "'Fix Login' is no valid task id" in fault.message
    assert fault.hint == "for example: fix-login"


def test_without_name_and_id_there_is_no_task() -> None:
    assert "no id" in fault_of("title: x").message


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("# Fix the login ##\n\nText", "Fix the login"),
        ("Text first\n\n## Then C#\n", "Then C#"),
        ("\n\n  Only text \nmore\n", "Only text"),
        ("```sh\n# no heading\n```\nText\n", "Text"),
        ("#hashtag\n", "#hashtag"),
        ("x" * 500, "x" * 119 + "…"),
        ("# " + "é" * 500, "é" * 119 + "…"),
    ],
)
def test_a_missing_title_is_taken_from_the_body(body: str, title: str) -> None:
    assert task_of("id: a", body=body).title == title
    assert task_of("id: a", "title: ~", body=body).title == title


def test_neither_title_nor_text_is_no_task() -> None:
    fault = fault_of("id: a", body=" \n\n")
    assert "no title" in fault.message
    assert "title:" in fault.hint


# ---------------------------------------------------------------------- values


def test_a_line_of_text_is_a_list_of_one() -> None:
    task = task_of(
        "id: a", "title: x", "tags: a b", "verify: make x, y", "depends_on: b", "requires: code", "touches: '*'"
    )
    assert task.tags == ("a b",)
    assert task.verify == ("make x, y",)
    assert task.depends_on == ("b",)
    assert task.requires == {"code"}
    assert task.touches == ("*",)


@pytest.mark.parametrize(
    ("line", "command"),
    [("command: make | tee x", "make | tee x"), ("command: [a, no, 1.10]", ("a", "no", "1.10"))],
)
def test_a_command_is_a_shell_line_or_an_argv(line: str, command: Any) -> None:
    assert task_of("id: a", "title: x", line).command == command


@pytest.mark.parametrize(
    ("line", "column", "message", "hint"),
    [
        (
            "status: canceled",
            9,
            "'canceled'",
            "write `cancelled`; it is one of: pending, claimed, in_progress, done",
        ),
        ("status: Pendng", 9, "'Pendng'", "write `pending`"),
        ("priority: p0", 11, "'p0'", "write `critical`"),
        ("priority: 7", 11, "'7'", "it is one of: critical, high, medium, low"),
        ("executor: ''", 11, "`executor` is empty", "remove the line"),
        ("executor: [a]", 11, "`executor` is a list", "executor: claude-code"),
        ("timeout_minutes: soon", 18, "'soon', which is no number", "timeout_minutes: 45"),
        ("timeout_minutes: 0", 18, "more than 0", "timeout_minutes: 45"),
        ("timeout_minutes: .nan", 18, "no number", "45"),
        ("budget_usd: 1e999", 13, "more than 0", "2.50"),
        ("max_attempts: 101", 15, "at least 1 and at most 100", "max_attempts: 5"),
        ("max_attempts: 2.0", 15, "no whole number", "5"),
        ("not_before: tomorrow", 13, "no ISO 8601 time", "2026-12-01T08:00:00Z"),
        ("not_before: 0001-01-01T00:00:00+10:00", 13, "no ISO 8601 time", "2026"),
        ("depends_on: a, b", 13, "one text and no list", "depends_on: [a, b]"),
        ("depends_on: [x, A]", 17, "'A' is no valid task id", "for example: a"),
        ("tags: [x, null]", 11, "item 2 of `tags` is empty", "quote it"),
        ("tags: [x, [y]]", 11, "item 2 of `tags` is a list", "one text"),
        ("command: []", 10, "empty list", "[make, test]"),
        ("command: ['', x]", 11, "item 1 of `command` is empty", "remove"),
        ("result: text", 9, "no mapping", "executor: local"),
        ("workspace: docker", 12, "'docker'", "worktree, repo, none"),
        ("schema: 0", 9, "at least 1", "schema: 1"),
    ],
)
def test_values_that_do_not_fit(line: str, column: int, message: str, hint: str) -> None:
    fault = fault_of("id: a", "title: x", line)
    assert message in fault.message
    assert hint in fault.hint
    assert (fault.line, fault.column) == (4, column)


def test_an_item_that_became_a_mapping_is_shown_in_quotes() -> None:
    fault = fault_of("id: a", "title: x", "acceptance_criteria:", "  - fast", "  - It works: always")
    assert fault.hint == 'quote the value: - "It works: always"'
    assert (fault.line, fault.column) == (6, 5)
    assert fault_of("id: a", "title: x", "tags: [a: b]").hint == "write each item as one text"


def test_places_count_with_byte_order_mark_and_crlf() -> None:
    data = b"\xef\xbb\xbf---\r\n# c\r\nid: a\r\nstatus: nope\r\n---\r\n"
    with pytest.raises(TaskFormatError) as caught:
        parse(data)
    assert (caught.value.line, caught.value.column) == (4, 9)


# ---------------------------------------------------------------------- newer formats


def test_a_newer_format_is_read_as_far_as_possible() -> None:
    task = task_of(
        "schema: 2", "id: a", "title: x", "status: done", "priority: cosmic", "tags: [a]", "timeout_minutes: soon"
    )
    assert (task.schema, task.id, task.title, task.status) == (2, "a", "x", Status.DONE)
    assert task.priority is Priority.MEDIUM
    assert task.tags == ("a",)
    assert task.extra == {"priority": "cosmic", "timeout_minutes": "soon"}


def test_a_newer_format_still_needs_id_and_status() -> None:
    assert "'asleep'" in fault_of("schema: 2", "id: a", "title: x", "status: asleep").message
    assert "no valid task id" in fault_of("schema: 2", "id: A", "title: x").message


# ---------------------------------------------------------------------- imports


def test_yaml_is_imported_when_it_is_needed() -> None:
    script = (
        "import sys, autopilot.taskfile as t\n"
        "data = b'---\\nid: a\\ntitle: x\\n---\\n'\n"
        "t.parse(t.edit(data, {'status': 'done'}))\n"
        "assert 'yaml' not in sys.modules\n"
        "t.parse(b'---\\nid: a\\ntitle: |\\n  x\\n---\\n')\n"
        "assert 'yaml' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
