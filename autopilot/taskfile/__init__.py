"""Task files: Markdown with YAML frontmatter, read into ``Task`` and edited without touching a foreign byte.

Importing this package does not import PyYAML: most files never need it.
"""

from autopilot.taskfile.codec import parse, parse_frontmatter, read_fields
from autopilot.taskfile.edit import edit, newer_format
from autopilot.taskfile.fields import FIELDS, OWNED_KEYS, SCHEMA, Field, Kind
from autopilot.taskfile.ids import check_id, lookalike, lookalikes, new_id, skeleton
from autopilot.taskfile.render import render

__all__ = [
    "FIELDS",
    "OWNED_KEYS",
    "SCHEMA",
    "Field",
    "Kind",
    "check_id",
    "edit",
    "lookalike",
    "lookalikes",
    "new_id",
    "newer_format",
    "parse",
    "parse_frontmatter",
    "read_fields",
    "render",
    "skeleton",
]
