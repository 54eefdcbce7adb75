"""The field table and everything that is made from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import attrs
import jsonschema
import pytest
import yaml

from autopilot.models import Task
from autopilot.taskfile import FIELDS, Field, Kind, parse
from autopilot.taskfile.reference import key_table
from autopilot.taskfile.schema import json_schema
from autopilot.taskfile.values import READERS

DOCS = Path(__file__).parents[3] / "docs" / "reference"


def example_of(field: Field) -> str:
    lines = dict.fromkeys(("id: fix-login", "title: x", f"{field.name}: {field.example}"))
    kept = [line for line in lines if line.startswith(f"{field.name}:") is False or line.endswith(field.example)]
    return "".join(f"{line}\n" for line in kept)


def test_the_table_names_the_fields_of_a_task() -> None:
    assert set(FIELDS) | {"extra", "body", "path", "digest"} == {field.name for field in attrs.fields(Task)}
    assert set(READERS) == set(FIELDS)


@pytest.mark.parametrize("field", FIELDS.values(), ids=str)
def test_examples_are_valid_and_not_the_default(field: Field) -> None:
    task = parse(f"---\n{example_of(field)}---\n".encode())
    plain = Task(id="other", title="other")
    if field.example != field.default:
        assert getattr(task, field.name) != getattr(plain, field.name)


@pytest.mark.parametrize("field", FIELDS.values(), ids=str)
def test_every_field_says_what_it_means(field: Field) -> None:
    assert field.meaning.endswith((".", "?"))
    assert field.default
    assert (field.kind is Kind.CHOICE) == bool(field.choices)
    assert set(field.near.values()) <= set(field.choices)


def test_the_published_schema_is_up_to_date() -> None:
    published = (DOCS / "task.schema.json").read_text(encoding="utf-8")
    printed = subprocess.run(
        [sys.executable, "-m", "autopilot.taskfile.schema"], capture_output=True, check=True
    ).stdout.decode()
    assert published == printed
    assert json.loads(published) == json_schema()


def test_the_reference_page_documents_every_key() -> None:
    page = (DOCS / "task-file.md").read_text(encoding="utf-8")
    assert key_table() in page, "run: python -m autopilot.taskfile.reference"
    assert all(f"`{name}`" in page and f"{name}: {field.example}" in page for name, field in FIELDS.items())


def test_the_reference_pages_tasks_are_tasks() -> None:
    page = (DOCS / "task-file.md").read_text(encoding="utf-8")
    blocks = [block.split("\n```")[0] for block in page.split("```markdown\n")[1:]]
    assert len(blocks) == 2
    assert {parse(f"{block}\n".encode(), expected_id="fix-login").id for block in blocks} == {"fix-login"}


def test_the_schema_is_a_schema_and_accepts_the_examples() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for field in FIELDS.values():
        loaded = yaml.load(example_of(field), Loader=yaml.BaseLoader)
        if field.kind in (Kind.NUMBER, Kind.INTEGER):
            loaded[field.name] = float(loaded[field.name])
        assert not [*validator.iter_errors(loaded)]
    assert not [*validator.iter_errors({"unknown": {"x": 1}, "executor": None, "tags": "a", "title": 2026})]


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "todo"},
        {"priority": "urgent"},
        {"timeout_minutes": 0},
        {"timeout_minutes": "soon"},
        {"max_attempts": 101},
        {"max_attempts": 1.5},
        {"tags": [["a"]]},
        {"tags": {"a": "b"}},
        {"depends_on": ["A B"]},
        {"id": "../x"},
        {"command": []},
        {"result": "done"},
        {"title": ["a"]},
        {"workspace": "docker"},
    ],
)
def test_the_schema_refuses_what_the_codec_refuses(wrong: dict[str, object]) -> None:
    assert [*jsonschema.Draft202012Validator(json_schema()).iter_errors(wrong)]
