"""Ids (P26) against a rule of its own for each thing that an id becomes: file, branch, event id, word."""

from __future__ import annotations

import re
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from autopilot.config.root import Root
from autopilot.config.settings import Settings
from autopilot.dispatcher.control import Control
from autopilot.errors import AlreadyExistsError, TaskFormatError
from autopilot.models import InvalidTask, TaskDraft
from autopilot.system.sanitize import visible
from autopilot.taskfile import check_id, render
from autopilot.testing.stores import FakeClock
from tests.campaign import record, size
from tests.puppets import control_of

DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in range(10))}
NEAR = st.text("abc019._-/\\ A\n\0é１", max_size=8)
WORDS = st.sampled_from([*sorted(DEVICES), "..", ".lock", "a.lock", "a" * 80, "a" * 81, "COM1", "nul.txt", "con-"])
TEXTS = st.one_of(st.text(max_size=90), NEAR, st.builds("".join, st.lists(NEAR | WORDS, max_size=3)))
COUNT = size(1_000, 100_000)


def may_be_an_id(text: str) -> bool:
    """The promise, in so many words."""
    return (
        1 <= len(text) <= 80
        and set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
        and text[0] not in "._-"
        and ".." not in text
        and not text.endswith((".", ".lock"))
        and text.split(".", maxsplit=1)[0] not in DEVICES
    )


def accepted(text: str) -> bool:
    try:
        return check_id(text) == text
    except TaskFormatError as fault:
        assert fault.hint
        assert fault.message == visible(fault.message), "a hostile id reaches the terminal as it is"
        return False


@settings(max_examples=COUNT, deadline=None, database=None)
@given(TEXTS)
@example("")
@example("a\n")
@example("nul.tar.gz")
@example("a.lock.lock")
def test_an_id_is_what_was_promised(text: str) -> None:
    assert accepted(text) is may_be_an_id(text)


@pytest.mark.parametrize("text", ["a", "a.b_c-d", "a" * 80, "0", "x.con", "lock", "a.locks"])
def test_git_takes_every_id_as_a_branch(text: str) -> None:
    assert check_id(text)
    subprocess.run(["git", "check-ref-format", "--branch", f"autopilot/{text}/1"], check=True, capture_output=True)


@pytest.fixture
def control(tmp_path: Path) -> Control:
    root = Root(str(tmp_path / ".autopilot"))
    return control_of(
        root, clock=FakeClock(), settings=Settings(durability="process"), executors={}, launcher=None
    )


def create(control: Control, task_id: str) -> None:
    control.create_task(TaskDraft(id=task_id, text=render({"id": task_id, "title": task_id}, "Do it.\n")))


@pytest.mark.parametrize(
    ("there", "new"),
    [("task-1", "task-l"), ("task-0", "task-o"), ("modem", "modern"), ("rnl", "m1"), ("o0o", "0o0")],
)
def test_an_id_that_looks_like_another_is_refused(control: Control, there: str, new: str) -> None:
    create(control, there)
    with pytest.raises(AlreadyExistsError) as refused:
        create(control, new)
    assert there in refused.value.message
    assert refused.value.hint
    assert control.store.ids() == [there]


@pytest.mark.parametrize("name", ["FIX", "ﬁx", "ＦＩＸ", "Fix", "fⅸ"])
def test_so_is_one_that_looks_like_a_file_that_is_no_task(control: Control, name: str) -> None:
    Path(control.root.tasks, f"{name}.md").write_text("a note\n", encoding="utf-8")
    with pytest.raises(AlreadyExistsError):
        create(control, unicodedata.normalize("NFKC", name).casefold())
    create(control, "fixed")


@settings(max_examples=COUNT // 10, deadline=None, database=None)
@given(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True), st.from_regex(r"[^/\0]{1,20}", fullmatch=True))
def test_a_file_must_have_the_name_of_its_id(one: str, name: str) -> None:
    from autopilot.taskfile import parse

    text = f"---\nid: '{one}'\ntitle: x\n---\n".encode()
    try:
        assert parse(text, path="x.md", expected_id=name).id == name
    except TaskFormatError as fault:
        assert name != one or not may_be_an_id(one)
        assert fault.hint


def test_the_campaign_says_how_long_it_was() -> None:
    record("T6", "ids", texts=COUNT)


def test_a_task_whose_file_has_another_name_is_invalid(control: Control) -> None:
    Path(control.root.tasks, "one.md").write_bytes(render({"id": "two", "title": "x"}, ""))
    found = control.store.get("one")
    assert isinstance(found, InvalidTask)
    assert re.search("one|two", found.message)
