from __future__ import annotations

import ast
from pathlib import Path

import pytest

import autopilot
from autopilot.errors import UsageError
from autopilot.events import types
from autopilot.events.types import REGISTRY, check_event_type, markdown

PACKAGE = Path(autopilot.__file__).parent
PAGE = PACKAGE.parent / "docs" / "reference" / "events.md"


def nodes():
    """All of the core's source, but for the registry itself: where, and what."""
    for path in PACKAGE.rglob("*.py"):
        if "testing" not in path.parts and path != Path(types.__file__):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield path, node


def logged_drafts():
    """Every event that the core's source logs with a fixed type: where, type, and the payload keys spelt out."""
    for path, node in nodes():
        if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in ("EventDraft", "Event"):
            continue
        given = {word.arg: word.value for word in node.keywords}
        kind, payload = given.get("event_type"), given.get("payload")
        if isinstance(kind, ast.Constant) and kind.value:
            keys = [k.value for k in getattr(payload, "keys", []) if isinstance(k, ast.Constant)]
            yield f"{path.relative_to(PACKAGE)}:{node.lineno}", kind.value, keys


def test_every_type_that_the_core_logs_is_registered_with_its_payload():
    found = list(logged_drafts())
    assert len(found) > 5
    strange = [
        f"{where}: {name}" + "".join(f" .{key}" for key in keys)
        for where, name, keys in found
        if name not in REGISTRY or set(keys) - set(REGISTRY[name].payload)
    ]
    assert strange == []


def test_every_registered_type_is_used():
    words = {node.value for _, node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert REGISTRY.keys() <= words


def test_the_page_has_every_type_as_the_registry_tells_it():
    page = PAGE.read_text(encoding="utf-8")
    told = page[page.index("\n## Types\n") :]
    sections = [f"### {text}".strip() for text in told.split("\n### ")[1:]]
    assert sections == [markdown(kind).strip() for kind in REGISTRY.values()]


def test_every_type_is_explained():
    for kind in REGISTRY.values():
        assert check_event_type(kind.name) == kind.name
        assert kind.sentence.endswith(".")
        assert all(kind.payload.values())


@pytest.mark.parametrize("name", ["deploy.finished", "a.b.c", "my-plugin.did_it", "x1.y2"])
def test_plugins_may_use_types_of_their_own(name):
    assert check_event_type(name) == name


@pytest.mark.parametrize(
    "name", ["", "task", ".created", "task.", "Task.created", "task created", "a.b\n", 'a."b']
)
def test_a_malformed_type_is_refused_with_a_hint(name):
    with pytest.raises(UsageError) as caught:
        check_event_type(name)
    assert "<noun>.<past-tense verb>" in caught.value.hint
