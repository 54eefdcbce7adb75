"""docs/reference/configuration.md says what the classes say."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from autopilot.config.convert import field_types
from autopilot.config.load import VARIABLES, load_settings
from autopilot.config.root import ROOT_VARIABLE
from autopilot.config.settings import ExecutorSettings, Settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "configuration.md").read_text()
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def sections() -> dict[str, type]:
    found = {"At the top": Settings, "`executors.<name>`": ExecutorSettings}
    for name, wanted in field_types(Settings).items():
        if attrs.has(wanted):
            found[f"`{name}`"] = wanted
    return found


def rows(heading: str) -> dict[str, tuple[str, str]]:
    text = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return {
        key: (kind, default)
        for key, kind, default in re.findall(r"^\| `(\S+)` \| ([^|]+) \| ([^|]+) \|", text, re.M)
    }


def kind_of(wanted: Any) -> str:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is types.UnionType:
        return kind_of(arguments[0])
    if origin is tuple:
        return f"list of {WORDS[arguments[0]]}s"
    if origin is not None and issubclass(origin, Mapping):
        return f"section of {WORDS[arguments[1]]}s"
    return WORDS[wanted]


def default_of(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (tuple, Mapping)):
        return "see below" if value else "empty"
    return (
        f"`{str(value).lower()}`"
        if isinstance(value, bool)
        else f"`{value:g}`"
        if not isinstance(value, str)
        else f"`{value}`"
    )


@pytest.mark.parametrize("heading", sections())
def test_every_setting_is_there_with_type_and_default(heading: str) -> None:
    cls = sections()[heading]
    plain = [field for field in attrs.fields(cls) if not field.metadata.get("rest")]
    if cls is Settings:
        plain = [field for field in plain if f"`{field.name}`" not in sections() and field.name != "executors"]
    expected = {
        field.name: (kind_of(field_types(cls)[field.name]), default_of(getattr(cls(), field.name)))
        for field in plain
    }
    told = {key: row for key, row in rows(heading).items() if not key.startswith("<")}
    assert told == expected
    has_rest = any(field.metadata.get("rest") for field in attrs.fields(cls))
    assert has_rest == any(key.startswith("<") for key in rows(heading))


def test_every_protected_path_is_told() -> None:
    told = re.findall(
        r"`([^`]+)`", PAGE.split("`protected` is, unless you say otherwise:")[1].split("A list of yours")[0]
    )
    assert tuple(told) == Settings().tasks.protected


def test_every_environment_variable_is_told() -> None:
    told = dict(re.findall(r"^\| `(AUTOPILOT_\w+)` \| (.*) \|$", PAGE, re.M))
    assert told == {ROOT_VARIABLE: "the root, see above", **{name: f"`{key}`" for name, key in VARIABLES.items()}}


def test_the_example_can_be_loaded(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(PAGE.split("```yaml\n")[1].split("```")[0])
    assert load_settings(str(path), {}).executors["claude-code"].tier == "high"
