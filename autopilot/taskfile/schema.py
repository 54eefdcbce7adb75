"""The JSON Schema of the frontmatter, for editors and other programs.

``python -m autopilot.taskfile.schema`` prints it; ``docs/reference/task.schema.json`` is what it printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from autopilot.taskfile.fields import FIELDS, Field, Kind
from autopilot.taskfile.ids import ID_PATTERN

__all__ = ["json_schema", "main"]

# Unquoted, an editor's YAML reader takes these for numbers and truth values; a task file takes them for text.
_TEXT_TYPES = ["string", "number", "boolean"]
_TEXT: Mapping[str, Any] = {"type": _TEXT_TYPES}
_TEXTS: Mapping[str, Any] = {"type": [*_TEXT_TYPES, "array"], "items": _TEXT}
_ID: Mapping[str, Any] = {"type": _TEXT_TYPES, "pattern": f"^{ID_PATTERN}$"}


def json_schema() -> dict[str, Any]:
    """The schema, as JSON Schema 2020-12. Unknown keys are allowed: task files keep them."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Autopilot task file: the frontmatter",
        "type": "object",
        "properties": {field.name: _property(field) for field in FIELDS.values()},
        "additionalProperties": True,
    }


def _property(field: Field) -> dict[str, Any]:
    shape = _shape(field)
    about = f"{field.meaning} Written by Autopilot." if field.owned else field.meaning
    return {"description": f"{about} Default: {field.default}.", **shape, "type": [*shape["type"], "null"]}


def _shape(field: Field) -> Mapping[str, Any]:
    if field.kind is Kind.CHOICE:
        return {"type": ["string"], "enum": [*field.choices, None]}
    if field.kind in (Kind.NUMBER, Kind.INTEGER):
        low = {"exclusiveMinimum" if field.above else "minimum": field.minimum}
        high = {} if field.maximum is None else {"maximum": field.maximum}
        return {"type": ["integer" if field.kind is Kind.INTEGER else "number"], **low, **high}
    return _SHAPES[field.kind]


_SHAPES: Mapping[Kind, Mapping[str, Any]] = {
    Kind.ID: _ID,
    Kind.TEXT: _TEXT,
    Kind.INSTANT: {"type": ["string"]},
    Kind.TEXTS: _TEXTS,
    Kind.WORDS: _TEXTS,
    Kind.IDS: {"type": [*_TEXT_TYPES, "array"], "items": _ID},
    Kind.COMMAND: {**_TEXTS, "minItems": 1},
    Kind.DATA: {"type": ["object"]},
}


def main() -> None:
    """Print the schema."""
    sys.stdout.write(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
