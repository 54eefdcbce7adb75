"""Properties of the task-file codec, for generated files and values."""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime
from typing import Any

from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from autopilot.errors import TaskFormatError
from autopilot.models import Priority, Status
from autopilot.taskfile import FIELDS, OWNED_KEYS, edit, fast, full, parse, parse_frontmatter, read_fields, render
from autopilot.taskfile.emit import inline
from autopilot.taskfile.entries import find
from autopilot.taskfile.scalars import resolve, writes_plain
from autopilot.taskfile.source import split

SIZE = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))


def runs(count: int) -> Any:
    return settings(
        max_examples=count * SIZE, deadline=None, derandomize=SIZE == 1, suppress_health_check=list(HealthCheck)
    )


# ---------------------------------------------------------------------- generated frontmatter

KEYS = st.sampled_from([*FIELDS, "x", "a-b", "A", "_", "null", "1", '"q"', "'s'", "a b", "é", "<<", "k" * 70])
WORDS = st.sampled_from(
    [
        *(
            "a",
            "a b",
            "no",
            "null",
            "~",
            "NULL",
            "true",
            "1",
            "1.50",
            "-1",
            "1e5",
            "00",
            "0x1",
            "a: b",
            "a:",
            ":a",
            "a:b",
        ),
        *(
            "a #b",
            "a # b",
            "a#b",
            "#",
            "# a",
            '"a"',
            "'a'",
            '"a',
            "'a",
            "'it''s'",
            '"\\n"',
            '"a" b',
            '"a"  # c',
            '"a"#c',
            "''",
            '""',
        ),
        *(
            "[a]",
            "[a, b]",
            "[ a , 'b' ]",
            "[]",
            "[ ]",
            "[a,]",
            "[a",
            "a]",
            "[[a]]",
            "[a: b]",
            "[*a]",
            "[a b]",
            "[~]",
            "[null, x]",
        ),
        *(
            "{}",
            "{a: b}",
            "{a}",
            "|",
            ">",
            "|+",
            ">-  # c",
            "- a",
            "-",
            "? a",
            "!t a",
            "&a b",
            "*a",
            "@a",
            "`a`",
            "%a",
            "<<",
            "=",
            "a\tb",
        ),
        *(
            "é",
            "\u00a0",
            "a\u00a0",
            "\u00a0#b",
            "é #b",
            "...",
            "---",
            "--- a",
            "src/**",
            "*.py",
            "C:\\x",
            "http://x/#y",
            "a ",
            "a  ",
            ",",
            "?",
        ),
        *("2026-11-22T09:14:03Z", "pending", "in_progress", "high", "x" * 300),
    ]
)
TEXT = st.text(alphabet="ab:#-?[]{},&*!|>'\"%@`~ \t\\1.é\u00a0", max_size=12)
VALUES = st.one_of(WORDS, TEXT)
INDENTS = st.sampled_from(["", "", "", " ", "  ", "  ", "    ", "\t"])
LINES = st.one_of(
    st.builds("{}{}: {}".format, INDENTS, KEYS, VALUES),
    st.builds("{}{}:{}".format, INDENTS, KEYS, st.sampled_from(["", " ", "  # c", "#c", "\t"])),
    st.builds("{}- {}".format, INDENTS, VALUES),
    st.builds("{}{}".format, INDENTS, VALUES),
    st.sampled_from(["", " ", "# c", "  # c", "#c", "-", "  -"]),
)
HEADS = st.lists(LINES, max_size=8).map(lambda lines: "".join(f"{line}\n" for line in lines))

SCALARS = st.one_of(
    st.builds(
        "{}".format, st.sampled_from(["a", "no", "'q: #'", '"d"', "x y", "1.10", "a # c", "'x'   # c", "", "null"])
    )
)
PLAIN_LINES = st.one_of(
    st.builds("{}: {}".format, st.sampled_from([*FIELDS, "x", "y", "z"]), SCALARS),
    st.builds(
        "{}:\n  - {}\n  - {}".format, st.sampled_from(["tags", "w"]), SCALARS.filter(bool), SCALARS.filter(bool)
    ),
    st.builds("{}:\n- {}\n# c\n\n- b".format, st.sampled_from(["verify", "u"]), SCALARS.filter(bool)),
    st.builds("result:\n   {}: {}\n   {}: {}".format, *[st.sampled_from(["a", "b"]), SCALARS] * 2),
    st.sampled_from(["", "# c", "   # c", "tags: [a, 'b', \"c\"] # d"]),
)
PLAIN_HEADS = st.lists(PLAIN_LINES, max_size=6).map(lambda lines: "".join(f"{line}\n" for line in lines))


def whole(head: str, body: str = "Do it.\n") -> bytes:
    return f"---\n{head}---\n\n{body}".encode()


def outcome(data: bytes) -> Any:
    try:
        return parse(data)
    except TaskFormatError as fault:
        return fault


@runs(150)
@given(st.binary(max_size=400))
@example(b"---\n\xef\xbb\xbf---\n")
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    for candidate in (data, b"---\n" + data + b"\n---\n", b"---\nid: a\ntitle: " + data + b"\n---\n" + data):
        judged = outcome(candidate)
        assert not isinstance(judged, TaskFormatError) or judged.hint


@runs(500)
@given(HEADS)
@example("title: foo\n  - bar\n")
@example("tags:\n- a\n  - b\n")
@example("a: 'x'#y\n")
@example("tags: [a ,b]\n")
def test_the_fast_reader_agrees_with_the_full_one(head: str) -> None:
    found = fast.read(head)
    if found is not None:
        assert full.read(head).values == found
        assert [*full.read(head).values] == [*found]


@runs(150)
@given(PLAIN_HEADS)
def test_the_fast_reader_knows_plain_files(head: str) -> None:
    try:
        values = full.read(head).values
    except TaskFormatError:
        assert fast.read(head) is None
        return
    assert fast.read(head) == values
    # The places of keys are found in two ways as well.
    assert find(head) == (values, full.read(head).entries)


@runs(150)
@given(HEADS)
def test_both_ways_find_the_same_places(head: str) -> None:
    if fast.read(head) is not None:
        assert find(head)[1] == full.read(head).entries


@runs(100)
@given(HEADS)
def test_read_fields_says_what_parse_says(head: str) -> None:
    judged = outcome(whole(head))
    try:
        fields = read_fields(whole(head))
    except TaskFormatError as fault:
        assert isinstance(judged, TaskFormatError)
        assert (fault.message, fault.line, fault.column) == (judged.message, judged.line, judged.column)
    else:
        assert {key: getattr(judged, key) for key in fields} == fields


# ---------------------------------------------------------------------- rendering

HOLDABLE = st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")
STRINGS = st.one_of(st.text(HOLDABLE, max_size=40), VALUES, WORDS)
SOME_STRINGS = STRINGS.filter(lambda text: bool(text.strip()) and not text.isspace())
INSTANTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | STRINGS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS.filter(bool), inner, max_size=3),
    max_leaves=8,
)
NESTED_TEXT = st.recursive(
    STRINGS | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(STRINGS.filter(bool), inner, max_size=3),
    max_leaves=8,
)
FIELD_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": SOME_STRINGS,
    "status": st.sampled_from(Status),
    "priority": st.sampled_from(Priority),
    "executor": SOME_STRINGS,
    "task_type": SOME_STRINGS,
    "repo": SOME_STRINGS,
    "command": SOME_STRINGS | st.lists(SOME_STRINGS, min_size=1, max_size=4).map(tuple),
    "timeout_minutes": st.floats(0.001, 500_000) | st.integers(1, 500_000).map(float),
    "budget_usd": st.floats(0.001, 1e9),
    "tags": st.lists(SOME_STRINGS, max_size=5).map(tuple),
    "verify": st.lists(SOME_STRINGS, max_size=5).map(tuple),
    "acceptance_criteria": st.lists(SOME_STRINGS, max_size=5).map(tuple),
    "requires": st.frozensets(SOME_STRINGS, max_size=4),
    "depends_on": st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), max_size=4).map(tuple),
    "max_attempts": st.integers(1, 100),
    "attempt": st.integers(0, 10**6),
    "not_before": INSTANTS,
    "created_at": INSTANTS,
    "result": st.dictionaries(STRINGS.filter(bool), JSON, max_size=4),
}
FIELD_SETS = st.fixed_dictionaries(
    {"title": SOME_STRINGS}, optional={key: value for key, value in FIELD_VALUES.items() if key != "title"}
)


@runs(200)
@given(FIELD_SETS, STRINGS | st.text(HOLDABLE))
@example({"title": "-0"}, "\r\n")
@example({"title": "a\x85b\u2028c\ufeffd\x1be"}, "---\n")
def test_what_is_rendered_is_read_back(fields: dict[str, Any], body: str) -> None:
    task = parse(render({"id": "seed", **fields}, body), expected_id="seed")
    assert {key: getattr(task, key) for key in fields} == fields
    assert task.body == body


@runs(100)
@given(st.dictionaries(STRINGS.filter(lambda key: bool(key) and key not in FIELDS), NESTED_TEXT, max_size=4))
def test_unknown_keys_are_rendered_and_read_back(extra: dict[str, Any]) -> None:
    extra = {key: value for key, value in extra.items() if value is not None}
    assert parse(render({"id": "seed", "title": "t", **extra})).extra == extra


@runs(300)
@given(STRINGS, st.booleans(), st.booleans())
def test_a_text_written_plain_means_itself(text: str, flow: bool, data: bool) -> None:
    if writes_plain(text, flow=flow):
        assert resolve(text, data=data) == text
    key = "result" if data else "x"
    written = f"{key}: [{inline(text, flow=True)}]\n" if flow else f"{key}: {inline(text)}\n"
    assert full.read(written).values == {key: [text] if flow else text}


def test_numbers_that_no_file_can_hold_are_refused() -> None:
    for number in (math.nan, math.inf, -math.inf):
        try:
            render({"title": "t", "result": {"cost_usd": number}})
        except TaskFormatError as fault:
            assert fault.hint
        else:
            raise AssertionError("written")


# ---------------------------------------------------------------------- edits

EDITS = st.dictionaries(
    st.sampled_from([*OWNED_KEYS, "not_before", "title", "tags", "x", "a b"]), st.none() | STRINGS, max_size=4
).flatmap(
    lambda keys: st.fixed_dictionaries(
        {key: st.none() | FIELD_VALUES.get(key, INSTANTS if key == "updated_at" else NESTED_TEXT) for key in keys}
    )
)
ENDINGS = st.sampled_from(["lf", "crlf", "bom", "bom crlf"])
BODIES = st.sampled_from(["", "\n", "body", "body\n", "\nbody\n\n\n", "---\n", "a\r\nb\n", "\u2028\n"])


END = {
    "status": Status.BLOCKED,
    "attempt": 3,
    "updated_at": datetime(2026, 11, 22, tzinfo=UTC),
    "created_at": datetime(2026, 11, 21, tzinfo=UTC),
    "result": {"outcome": "failed", "reason": {"code": "c", "message": "a: b"}},
}


@runs(100)
@given(st.one_of(HEADS, PLAIN_HEADS), BODIES, ENDINGS)
def test_every_task_can_be_told_how_it_ended(head: str, body: str, ending: str) -> None:
    data = file_of(head, body, ending)
    try:
        task = parse(data, expected_id="seed")
    except TaskFormatError:
        assume(False)
    if task.schema == 1:
        assert parse(edit(data, END), expected_id="seed").status is Status.BLOCKED


def file_of(head: str, body: str, ending: str) -> bytes:
    data = f"---\n{head}---\n{body}".encode()
    if "crlf" in ending:
        data = data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return b"\xef\xbb\xbf" + data if "bom" in ending else data


def masked(data: bytes, keys: set[str]) -> bytes:
    """The file without the lines of these keys, as the full reader sees them."""
    source = split(data)
    rows = data[source.begin : source.end].split(b"\n")
    for key, entry in full.read(source.head).entries.items():
        if key in keys:
            rows[entry.line : entry.last_line + 1] = [b"@"] * (entry.last_line + 1 - entry.line)
    return data[: source.begin] + b"\n".join(row for row in rows if row != b"@") + data[source.end :]


@runs(300)
@given(st.one_of(HEADS, PLAIN_HEADS), BODIES, ENDINGS, EDITS)
@example("notes: |\n  text\nx: y\n  # c\n", "", "lf", {"status": Status.DONE})
@example(
    "status: |  # c\n  pending\n\ntags: [a,\n  b] # d\n", "b", "crlf", {"status": Status.DONE, "tags": ("x: y",)}
)
@example("status: pending # c\n", "", "lf", {"status": Status.DONE, "result": {"a": {"b": [1, {"c": "d"}]}}})
@example("title: a\nnotes: |+\n  x\n\n\n", "", "bom crlf", {"attempt": 1})
def test_edits_change_only_their_keys(head: str, body: str, ending: str, values: dict[str, Any]) -> None:
    data = file_of(head, body, ending)
    try:
        before = parse_frontmatter(data)
    except TaskFormatError:
        assume(False)
    try:
        done = edit(data, values)
    except TaskFormatError as fault:
        assert "schema" in before or "would change other keys" in fault.message, fault
        return
    assert masked(done, set(values)) == masked(data, set(values))
    after = parse_frontmatter(done)
    assert {key: after[key] for key in after if key not in values} == {
        key: before[key] for key in before if key not in values
    }
    assert [key for key in after if key in before] == [key for key in before if values.get(key, "") is not None]
    assert all((key in after) == (value is not None) for key, value in values.items())
    edited = split(done)
    assert done[edited.begin : edited.end].count(b"\r\n") == (edited.head.count("\n") if "crlf" in ending else 0)


@runs(150)
@given(st.one_of(HEADS, PLAIN_HEADS), BODIES, ENDINGS, EDITS)
def test_setting_keys_always_succeeds(head: str, body: str, ending: str, values: dict[str, Any]) -> None:
    """Removing a key may be refused where its neighbours would change; setting one never."""
    data = file_of(head, body, ending)
    try:
        before = parse_frontmatter(data)
    except TaskFormatError:
        assume(False)
    assume("schema" not in before)
    values = {key: value for key, value in values.items() if value is not None}
    task = parse_frontmatter(edit(data, values))
    expected = parse_frontmatter(render(values))
    assert {key: task[key] for key in values} == expected


@runs(100)
@given(PLAIN_HEADS, EDITS, EDITS)
def test_an_edit_can_be_taken_back(head: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    data = whole(head)
    try:
        before = parse_frontmatter(data)
    except TaskFormatError:
        assume(False)
    new = {key: value for key, value in first.items() if key not in before and value is not None}
    assume("schema" not in before)
    assert edit(edit(data, new), dict.fromkeys(new)) == data
    assert edit(edit(data, {**new, **second}), {**new, **second}) == edit(data, {**new, **second})
