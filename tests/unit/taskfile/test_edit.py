from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from autopilot.errors import TaskFormatError
from autopilot.models import Status
from autopilot.taskfile import OWNED_KEYS, edit, parse, parse_frontmatter
from autopilot.taskfile.source import MAX_FILE, MAX_FRONTMATTER

NOW = datetime(2026, 11, 22, 9, 14, 3, 123456, tzinfo=UTC)


def edited(head: str, values: dict[str, Any], *, end: str = "\n") -> str:
    data = f"---\n{head}---\nbody".replace("\n", end).encode()
    done = edit(data, values).decode()
    assert done.startswith(f"---{end}")
    assert done.endswith(f"---{end}body")
    return done[3 + len(end) : -(7 + len(end))].replace(end, "\n")


@pytest.mark.parametrize(
    ("head", "values", "expected"),
    [
        ("status: pending\n", {"status": Status.DONE}, "status: done\n"),
        ("status:   pending   # mine\n", {"status": "done"}, "status:   done   # mine\n"),
        ("status: 'pending'\n", {"status": "done"}, "status: done\n"),
        ("'status' : pending\n", {"status": "done"}, "'status' : done\n"),
        ("status:\n", {"status": "done"}, "status: done\n"),
        ("status: 'pending'#c\n", {"status": "done"}, "status: done #c\n"),
        ("status:  # c\n", {"status": "done"}, "status: done  # c\n"),
        ("status: |  # c\n  pending\n\n\nid: a\n", {"status": "done"}, "status: done  # c\n\n\nid: a\n"),
        ("status:\n  pending\nid: a\n", {"status": "done"}, "status: done\nid: a\n"),
        ("tags: [a,\n  b]  # c\nid: a\n", {"tags": ["x"]}, "tags: [x]  # c\nid: a\n"),
        ("tags: # c\n- a\n- b # d\n# e\nid: a\n", {"tags": ["x"]}, "tags: [x] # c\n# e\nid: a\n"),
        ("tags: [a]\n", {"tags": ["x: y", "z"]}, 'tags:\n  - "x: y"\n  - z\n'),
        ("tags: [a]  # c\n", {"tags": ["x: y", "z"]}, 'tags:  # c\n  - "x: y"\n  - z\n'),
        ("id: a\n# end\n", {"attempt": 1, "status": "done"}, "id: a\n# end\nattempt: 1\nstatus: done\n"),
        ("", {"attempt": 1}, "attempt: 1\n"),
        ("  id: a\n", {"attempt": 1, "result": {"a": 1}}, "  id: a\n  attempt: 1\n  result:\n    a: 1\n"),
        ("id: a\nstatus: x # c\ntags: [b]\n", {"status": None}, "id: a\ntags: [b]\n"),
        ("id: a\nresult:\n  a: b\n  # c\n\ntags: [b]\n", {"result": None}, "id: a\n  # c\n\ntags: [b]\n"),
        ("id: a\n", {"status": None}, "id: a\n"),
        ("note: |+\n  x\n\n", {"attempt": 2}, "note: |+\n  x\n\nattempt: 2\n"),
        ("a: b\nstatus: pending\na2: c\n", {"status": "done", "a2": "d"}, "a: b\nstatus: done\na2: d\n"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_edits(head: str, values: dict[str, Any], expected: str, end: str) -> None:
    assert edited(head, values, end=end) == expected


RESULT = r"""id: a
result:
  executor: local
  outcome: succeeded
  verified: true
  cost_usd: 0.25
  branch: null
  reason:
    code: x
    message: "He said: \"no\"\n# 1"
  changed:
    - a.py
    - b c.py
    - "- d"
  turns: -3
  word: "true"
  number: "1e3"
  empty: {}
  none: []
"""


def test_a_result_is_written_for_people_and_read_back_equal() -> None:
    result = {
        "executor": "local",
        "outcome": "succeeded",
        "verified": True,
        "cost_usd": 0.25,
        "branch": None,
        "reason": {"code": "x", "message": 'He said: "no"\n# 1'},
        "changed": ["a.py", "b c.py", "- d"],
        "turns": -3,
        "word": "true",
        "number": "1e3",
        "empty": {},
        "none": [],
    }
    assert edited("id: a\n", {"result": result}) == RESULT
    assert parse(edit(b"---\nid: a\ntitle: t\n---\n", {"result": result})).result == result


def test_times_and_numbers_are_written_bare() -> None:
    assert edited("", {"updated_at": NOW, "attempt": 3, "timeout_minutes": 2.0, "not_before": "2026-11-22"}) == (
        "updated_at: 2026-11-22T09:14:03.123456Z\nattempt: 3\ntimeout_minutes: 2\nnot_before: 2026-11-22\n"
    )


def test_text_that_others_would_misread_is_quoted() -> None:
    assert edited("", {"title": "no", "model": "1.10", "task_type": "00123", "repo": "~"}) == (
        'title: "no"\nmodel: "1.10"\ntask_type: "00123"\nrepo: "~"\n'
    )


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("tail", [b"", b"\n", b"\nBody", b"\r\nmixed\n", b"\n---\nmore\n\n", b"\xff"[:0]])
def test_everything_around_the_frontmatter_stays(bom: bytes, tail: bytes) -> None:
    data = bom + b"--- \nid: a\nstatus: pending\n---\t\n" + tail
    assert edit(data, {"status": "done"}) == data.replace(b"pending", b"done")


def test_an_edit_without_values_changes_nothing() -> None:
    data = b"---\nid: a\n---\nbody"
    assert edit(data, {}) == data


def test_the_body_may_end_without_a_delimiter_line_end() -> None:
    assert edit(b"---\nid: a\n---", {"status": "done"}) == b"---\nid: a\nstatus: done\n---"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"status": "sleeping"}, "`status` cannot be 'sleeping'"),
        ({"attempt": -1}, "no whole number"),
        ({"title": ""}, "`title` is empty"),
        ({"title": "a\0b"}, "NUL"),
        ({"x": "\ud800"}, "surrogate"),
        ({"tags": ["a", ""]}, "item 2 of `tags` is empty"),
        ({"x": float("nan")}, "nan is no number"),
        ({"": "x"}, "is empty or too long"),
        ({"k" * 1001: "x"}, "is empty or too long"),
        ({"result": {"": 1}}, "is empty or too long"),
        ({"x": "y" * 70_000}, "not closed within"),
        ({"x": ["y"] * 2_000}, "more than 1000"),
        ({"result": {"x": ["y"] * 2_000}}, "more than 1000"),
    ],
)
def test_values_that_no_file_can_hold_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskFormatError) as caught:
        edit(b"---\nid: a\n---\n", values)
    assert message in caught.value.message
    assert caught.value.hint


def test_a_value_of_a_strange_type_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="object"):
        edit(b"---\nid: a\n---\n", {"x": object()})


def test_what_an_executor_said_never_stops_the_result() -> None:
    done = edit(b"---\nid: a\n---\n", {"result": {"reason": "a\0b\ud800c\x1b[31m\u2028"}})
    assert parse_frontmatter(done)["result"] == {"reason": "a\ufffdb\ufffdc\x1b[31m\u2028"}
    done = edit(b"---\nid: a\n---\n", {"result": {"reason": "x" * 100_000}})
    assert parse_frontmatter(done)["result"] == {"reason": "x" * 3_999 + "…"}


def test_a_newer_format_is_never_rewritten() -> None:
    with pytest.raises(TaskFormatError, match="format 2"):
        edit(b"---\nid: a\nschema: 2\n---\n", {"status": "done"})


def test_an_unreadable_file_is_never_rewritten() -> None:
    for data in (b"no frontmatter", b"---\nid: a\nid: b\n---\n", b"---\ntitle: a: b\n---\n"):
        with pytest.raises(TaskFormatError):
            edit(data, {"status": "done"})


def test_a_file_with_a_bad_field_can_be_mended() -> None:
    assert edit(b"---\nid: a\npriority: cosmic\n---\n", {"priority": "low"}) == b"---\nid: a\npriority: low\n---\n"


def test_a_removal_that_would_change_a_neighbour_is_refused() -> None:
    # Without `status`, the indented comment would become the last line of the note.
    with pytest.raises(TaskFormatError, match="would change other keys"):
        edit(b"---\nnote: |\n  x\nstatus: done\n  # c\n---\n", {"status": None})


END = {
    "status": Status.BLOCKED,
    "attempt": 3,
    "updated_at": "2026-11-22T09:20:00.000000Z",
    "created_at": "2026-11-22T09:14:00.000000Z",
    "result": {"outcome": "failed", "message": "m" * 500, "reason": {"message": "n" * 2_000, "hint": "o" * 2_000}},
}


@pytest.mark.parametrize(
    "data",
    [
        b"---\ntitle: t\nlist: [" + b"a, " * 994 + b"a]\n---\n",
        b"---\ntitle: t\n#" + b"x" * (MAX_FRONTMATTER - len(b"title: t\n#\n")) + b"\n---\n",
        b"---\ntitle: t\n---\n".ljust(MAX_FILE, b"x"),
    ],
    ids=["nodes", "frontmatter", "file"],
)
def test_the_end_of_an_attempt_fits_into_every_file_that_can_be_read(data: bytes) -> None:
    parse(data, expected_id="one")
    done = edit(data, END)
    assert parse(done, expected_id="one").status is Status.BLOCKED
    assert edit(edit(done, END), dict.fromkeys(END)) == data


def test_owned_keys() -> None:
    assert OWNED_KEYS == ("status", "created_at", "updated_at", "attempt", "result")
