"""The forms of data on stdout."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.cli.output import Column, aligned, print_record, print_rows, to_json

COLUMNS = (Column("ID", "id"), Column("N", lambda row: row["n"]), Column("TEXT", "text", wide=True))
ROWS: list[dict[str, Any]] = [
    {"id": "a", "n": 1, "text": "plain"},
    {"id": "bbb", "n": None, "text": "two\nlines \x1b[31mred\x1b[0m"},
]


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("table", ROWS, COLUMNS)
    assert capsys.readouterr().out.splitlines() == [
        "ID   N  TEXT",
        "a    1  plain",
        "bbb     two lines \\x1b[31mred\\x1b[0m",
    ]


def test_an_empty_table_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("table", [], COLUMNS)
    assert capsys.readouterr().out == ""


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("json", ROWS, COLUMNS)
    out = capsys.readouterr().out
    assert json.loads(out) == ROWS
    assert "\x1b" not in out
    print_rows("json", [], COLUMNS)
    assert json.loads(capsys.readouterr().out) == []


def test_ndjson(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("ndjson", ROWS, COLUMNS)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS


def test_names(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("name", [*ROWS, {"id": "x\x07"}], COLUMNS)
    assert capsys.readouterr().out == "a\nbbb\nx\\x07\n"


def test_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [("id", "a"), ("empty", None), ("tags", ["x", "y"]), ("text", "one\ntwo\x1b"), ("ok", True), ("n", 0)]
    print_record("table", ROWS[0], lines)
    assert capsys.readouterr().out.splitlines() == [
        "id:    a",
        "tags:  x, y",
        "text:  one",
        "       two\\x1b",
        "ok:    yes",
        "n:     0",
    ]
    print_record("json", ROWS[0], lines)
    assert json.loads(capsys.readouterr().out) == ROWS[0]
    print_record("name", ROWS[0], lines)
    assert capsys.readouterr().out == "a\n"


def test_wide_letters_stay_aligned() -> None:
    assert aligned([["日本", "x"], ["abcde", "y"], ["e\u0301", "z"]]) == ["日本   x", "abcde  y", "e\u0301      z"]


def test_values_that_json_does_not_know() -> None:
    instant = datetime(2026, 11, 22, 9, 14, 3, tzinfo=UTC)
    assert json.loads(to_json({"at": instant, "set": frozenset("ba")})) == {
        "at": "2026-11-22T09:14:03.000000Z",
        "set": ["a", "b"],
    }


@given(st.recursive(st.text() | st.none() | st.booleans() | st.integers(), lambda inner: st.lists(inner)))
def test_json_is_lossless_and_harmless(value: Any) -> None:
    text = to_json(value)
    assert json.loads(text) == value
    assert not any(char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in text)


def test_a_table_on_a_terminal_takes_texts_literally(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    print_rows("table", [{"id": "[red]a[/red]", "n": 1, "text": "done"}], COLUMNS)
    out = capsys.readouterr().out
    assert "[red]a[/red]" in out
    assert "\x1b[3" not in out
