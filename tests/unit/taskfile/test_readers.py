"""The fast and the full reader: what a frontmatter means."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from autopilot.errors import TaskFormatError
from autopilot.taskfile import fast, full
from autopilot.taskfile.entries import Entry, find

SURE: list[tuple[str, dict[str, Any]]] = [
    ("", {}),
    ("a: b\n", {"a": "b"}),
    ("a:\n", {"a": None}),
    ("a: ~\nb: null\nc: NULL\n", {"a": None, "b": None, "c": None}),
    ("a: no\nb: 00123\nc: 1.10\nd: 1:30\n", {"a": "no", "b": "00123", "c": "1.10", "d": "1:30"}),
    ("a: 'x: #'\nb: \"y\"\nc: ''\n", {"a": "x: #", "b": "y", "c": ""}),
    ("a: b # c\nb: c#d\n# e\n\n", {"a": "b", "b": "c#d"}),
    ("a: http://x/#y\n", {"a": "http://x/#y"}),
    ("a:\n- b\n# c\n- 'd'\ne: f\n", {"a": ["b", "d"], "e": "f"}),
    ("a:  # x\n  - b\n\n  - null\n", {"a": ["b", None]}),
    ("a: []\nb: [x, 'y, z', \"w\"]\nc: [ x y , 1 ]\n", {"a": [], "b": ["x", "y, z", "w"], "c": ["x y", "1"]}),
    ("a:\n  b: c\n  d: [e]\n", {"a": {"b": "c", "d": ["e"]}}),
    (
        "result:\n  a: true\n  b: 1.5\n  c: null\n  d: 'true'\n  e: yes\n  f: 00\n  g: 12\n",
        {"result": {"a": True, "b": 1.5, "c": None, "d": "true", "e": "yes", "f": "00", "g": 12}},
    ),
    ("result: [true, 1, x]\n", {"result": [True, 1, "x"]}),
    ("a: é\n", {"a": "é"}),
]

UNSURE: list[tuple[str, dict[str, Any]]] = [
    ("é: x\n", {"é": "x"}),
    ('a: "x\\ty"\n', {"a": "x\ty"}),
    ("a: 'it''s'\n", {"a": "it's"}),
    ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
    ("title: >\n  x\n  y\n", {"title": "x y"}),
    ("a: x\n  y\n", {"a": "x y"}),
    ("a: {b: c, d: [e, {f: g}]}\n", {"a": {"b": "c", "d": ["e", {"f": "g"}]}}),
    ("a:\n  b:\n    c: d\n", {"a": {"b": {"c": "d"}}}),
    ("  a: b\n  c: d\n", {"a": "b", "c": "d"}),
    ('"a b": c\n', {"a b": "c"}),
    ("a: -5\nresult: {b: -5, c: -0.5e1}\n", {"a": "-5", "result": {"b": -5, "c": -5.0}}),
    (
        "result: {a: 1e400, b: .5, c: 0x1, d: +1, e: True}\n",
        {"result": {"a": "1e400", "b": ".5", "c": "0x1", "d": "+1", "e": "True"}},
    ),
]


@pytest.mark.parametrize(("head", "values"), SURE)
def test_the_fast_reader_reads_plain_files(head: str, values: dict[str, Any]) -> None:
    assert fast.read(head) == values


@pytest.mark.parametrize(("head", "values"), UNSURE)
def test_the_fast_reader_leaves_the_rest(head: str, values: dict[str, Any]) -> None:
    assert fast.read(head) is None


@pytest.mark.parametrize(("head", "values"), SURE + UNSURE)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_the_full_reader_reads_everything(
    head: str, values: dict[str, Any], loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(full, "_Loader", getattr(yaml, loader))
    found = full.read(head).values
    assert found == values
    assert [*found] == [*values]


FAULTS = [
    ("a: b\na: c\n", 3, 1, "'a' stands here again, after line 2", "keep one"),
    ("r:\n  a: b\n  a: c\n", 4, 3, "after line 3", "keep one"),
    ("title: Fix: x\n", 2, 11, "`: ` in a value", 'title: "Fix: x"'),
    ("v:\n  - make: x: y\n", 3, 12, "`: ` in a value", '- "make: x: y"'),
    ("title: [WIP] x\n", 2, 14, "after the end of a value", 'title: "[WIP] x"'),
    ('title: "a" b\n', 2, 12, "after the end of a value", "title: '\"a\" b'"),
    ("title: @x\n", 2, 8, "cannot begin with @", 'title: "@x"'),
    ("a: b\n\tc: d\n", 3, 1, "a tab", "spaces"),
    ('title: "abc\nb: c\n', 2, 8, '" begins here', 'closing "'),
    ("tags: [a, b\nb: c\n", 2, 7, "[ begins here", "closing ]"),
    ('a: "C:\\Users"\n', 2, 9, "escape", "single quotes"),
    ("a: *b\n", 2, 4, "an alias", 'a: "*b"'),
    ("t:\n  - **/*.py\n", 3, 6, "begins with `&` or `*`", '- "**/*.py"'),
    ("a: &b c\n", 2, 4, "an anchor", "quote"),
    ("a: !!str b\n", 2, 4, "a tag", "quote"),
    ("<<: {a: b}\n", 2, 1, "merge key", "write the keys out"),
    ("id: a\nno colon\nb: c\n", 3, 1, "without `key:`", "indent"),
    ("a:\n  - b\n - c\n", 4, 2, "does not fit", "indent"),
    ("a: b\n  c: d\n", 3, 4, "an indented key", "delete the spaces"),
    ("a: - b\n", 2, 4, "begins with `- `", 'a: "- b"'),
    ("a: > b\n", 2, 6, "behind `|` or `>`", 'a: "> b"'),
    ("- a\n- b\n", 2, 1, "not a list of `key: value`", "one `key: value` per line"),
    ("{a: b}\n", 2, 1, "not a list of `key: value`", "one `key: value` per line"),
    ("just text\n", 2, 1, "not a list of `key: value`", "one `key: value` per line"),
    ("? a\n: b\n", 2, 3, "not written as `key: value`", "one `key: value` per line"),
    ("[a]: b\n", 2, 1, "a key that is no word", "quote it"),
    ("'': b\n", 2, 1, "empty or unreadable key", "key: value"),
    ("a: b\n...\n", 3, 1, "`...`", "delete it"),
    ("--- a\nb: c\n", 2, 1, "second `---`", "enough"),
    ("a: b\n--- c\n", 3, 1, "second document", "one pair"),
    ("a: b\n<<<<<<< HEAD\nc: d\n=======\nc: e\n>>>>>>> x\n", 3, 1, "conflict markers", "keep one"),
    ("<<<<<<< HEAD\n", 2, 1, "conflict markers", "keep one"),
    ('a: "\\0"\n', 2, 4, "NUL", "delete the escape"),
    ("title: Fix #12\n", 2, 8, "would be lost", 'title: "Fix #12"'),
    ("title: #12\n", 2, 7, "would be lost", 'title: "#12"'),
    ("verify:\n  - a #b\n", 3, 5, "would be lost", '- "a #b"'),
    ("a: " + "[" * 30 + "\n", 2, 23, "20 levels", "body"),
    ("a: [" + "b," * 1100 + "]\n", 2, 1999, "1000 keys", "body"),
]


@pytest.mark.parametrize(("head", "line", "column", "message", "hint"), FAULTS)
def test_faults_have_a_place_and_a_hint(head: str, line: int, column: int, message: str, hint: str) -> None:
    assert fast.read(head) is None
    with pytest.raises(TaskFormatError) as caught:
        full.read(head)
    fault = caught.value
    assert message in fault.message
    assert hint in fault.hint
    assert (fault.line, fault.column) == (line, column)


@pytest.mark.parametrize(
    "head", [case[0] for case in FAULTS] + ['a: "\\UFFFFFFFF"\n', 'a: "\\ud800"\n', "a: b: c\n"]
)
def test_without_libyaml_the_same_is_refused(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(full, "_Loader", yaml.SafeLoader)
    with pytest.raises(TaskFormatError) as caught:
        full.read(head)
    assert caught.value.hint


def test_a_comment_needs_its_space_only_where_prose_stands() -> None:
    assert full.read("executor: local #x\ntitle: a # b\n").values == {"executor": "local", "title": "a"}


@pytest.mark.parametrize(
    "head",
    [
        "a: [" + ", ".join(["b"] * 1_100) + "]\n",
        "a:\n" + "- b\n" * 1_100,
        "".join(f"k{n}: v\n" for n in range(600)),
    ],
)
def test_what_may_have_too_many_nodes_is_left_to_the_full_reader(head: str) -> None:
    assert fast.read(head) is None
    with pytest.raises(TaskFormatError, match="more than 1000"):
        full.read(head)


def test_places_of_empty_items() -> None:
    head = "a:\n- \n- b\n-  # c\n"
    assert find(head) == ({"a": [None, "b", None]}, full.read(head).entries)


def test_a_tab_after_the_colon_is_left_to_the_full_reader() -> None:
    assert fast.read("a:\tb\n") is None


def test_places_of_keys() -> None:
    head = "a: b # c\ntags:  # d\n- e\n- ff # g\n# h\nn: |  # i\n  x\n\n  y\n\nf: [a,\n  b] # j\nz:\n"
    assert find(head)[1] == {
        "a": Entry(0, 0, 2, 0, 3, 0, 4),
        "tags": Entry(1, 0, 5, 2, 0, 3, 4),
        "n": Entry(5, 0, 2, 5, 3, 8, 3, True),
        "f": Entry(10, 0, 2, 10, 3, 11, 4),
        "z": Entry(12, 0, 2, 12, 2, 12, 2),
    }


def test_marks_lead_to_every_value() -> None:
    marks = full.read("a: b\nc:\n  - d\n  - {e: f}\n").marks
    assert marks[("a",)] == (0, 3)
    assert marks[("c", 0)] == (2, 4)
    assert marks[("c", 1, "e")] == (3, 8)
