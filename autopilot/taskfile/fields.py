"""The field table: every key of a task file, as data.

Reading, messages, owned keys, the JSON Schema and the reference page all come from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

import attrs

from autopilot.models import Priority, Status, Workspace

__all__ = ["DATA_KEYS", "FIELDS", "OWNED_KEYS", "PROSE_KEYS", "SCHEMA", "Field", "LINE_KEYS", "Kind"]

SCHEMA = 1
"""The file format's number that this version reads and writes."""


class Kind(StrEnum):
    """How a value is read; the value's text is what the documentation calls the type."""

    ID = "task id"
    TEXT = "text"
    CHOICE = "one word of a list"
    NUMBER = "number"
    INTEGER = "whole number"
    INSTANT = "ISO 8601 time"
    TEXTS = "list of texts"
    WORDS = "set of words"
    IDS = "list of task ids"
    COMMAND = "text (a shell line) or list (argv)"
    DATA = "mapping"


@attrs.frozen(kw_only=True)
class Field:
    """One key.

    Attributes:
        meaning: one or two sentences for people.
        example: the value as it stands in a file, on one line.
        default: what holds where the key is missing, for people.
        choices: the words of a ``CHOICE``.
        near: words of other tools -> the choice that was probably meant.
        minimum, maximum: bounds of a number; ``above`` excludes the minimum itself.
        owned: Autopilot writes it.
        prose: free text, in which an unquoted `` #12`` is a mistake rather than a comment.
    """

    name: str
    kind: Kind
    meaning: str
    example: str
    default: str = "none"
    choices: tuple[str, ...] = ()
    near: Mapping[str, str] = attrs.field(factory=dict)
    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    owned: bool = False
    prose: bool = False


_STATUS_WORDS = {
    "todo": "pending",
    "open": "pending",
    "new": "pending",
    "ready": "pending",
    "backlog": "pending",
    "queued": "pending",
    "doing": "in_progress",
    "running": "in_progress",
    "started": "in_progress",
    "wip": "in_progress",
    "in-progress": "in_progress",
    "in progress": "in_progress",
    "complete": "done",
    "completed": "done",
    "finished": "done",
    "closed": "done",
    "canceled": "cancelled",
    "failed": "blocked",
}
_PRIORITY_WORDS = {
    "p0": "critical",
    "urgent": "critical",
    "highest": "critical",
    "p1": "high",
    "p2": "medium",
    "normal": "medium",
    "default": "medium",
    "p3": "low",
    "lowest": "low",
}

_TABLE = (
    Field(
        name="id",
        kind=Kind.ID,
        meaning="Names the task; equals the file's name without `.md`.",
        example="fix-login",
        default="the file's name",
    ),
    Field(
        name="title",
        kind=Kind.TEXT,
        meaning="Says in one line what is to be done.",
        example='"Fix: the login page"',
        default="the body's first heading, else its first line",
        prose=True,
    ),
    Field(
        name="status",
        kind=Kind.CHOICE,
        meaning="Where the task is. A person's change is taken as a command.",
        example="pending",
        default="pending",
        choices=tuple(Status),
        near=_STATUS_WORDS,
        owned=True,
    ),
    Field(
        name="priority",
        kind=Kind.CHOICE,
        meaning="How urgent it is. Waiting raises it slowly, so that nothing starves.",
        example="high",
        default="medium",
        choices=tuple(Priority),
        near=_PRIORITY_WORDS,
    ),
    Field(
        name="executor",
        kind=Kind.TEXT,
        meaning="The executor that must do it.",
        example="claude-code",
        default="the router chooses",
    ),
    Field(
        name="task_type",
        kind=Kind.TEXT,
        meaning="The kind of work, a free word; the router learns which executor is good at it.",
        example="bugfix",
        default="general",
    ),
    Field(
        name="command",
        kind=Kind.COMMAND,
        meaning="For shell executors: what to run. A text is run by a shell, a list directly.",
        example="[make, test]",
        prose=True,
    ),
    Field(
        name="timeout_minutes",
        kind=Kind.NUMBER,
        meaning="The wall limit of one attempt, in minutes.",
        example="45",
        default="`limits.timeout_minutes` of the config",
        minimum=0,
        maximum=525_600,
        above=True,
    ),
    Field(
        name="tags",
        kind=Kind.TEXTS,
        meaning="Free words, for people and plugins.",
        example="[backend, urgent]",
    ),
    Field(
        name="repo",
        kind=Kind.TEXT,
        meaning="The folder or git repository that the task is about; a relative one starts at the folder that "
        "contains `.autopilot/`.",
        example="../shop",
        default="the folder that contains `.autopilot/`",
    ),
    Field(
        name="depends_on",
        kind=Kind.IDS,
        meaning="Tasks that must be done first.",
        example="[design-api, add-tests]",
    ),
    Field(
        name="acceptance_criteria",
        kind=Kind.TEXTS,
        meaning="Sentences for the prompt: when is the work done?",
        example='["The form keeps its values after an error"]',
        prose=True,
    ),
    Field(
        name="verify",
        kind=Kind.TEXTS,
        meaning="Shell commands that must exit with 0 before the task is done.",
        example="[make test, make lint]",
        prose=True,
    ),
    Field(
        name="requires",
        kind=Kind.WORDS,
        meaning="Capabilities that an executor must have.",
        example="[code, browser]",
    ),
    Field(
        name="touches",
        kind=Kind.TEXTS,
        meaning="Globs of paths that the task will change; tasks that overlap do not run together.",
        example="[src/login/**, docs/login.md]",
    ),
    Field(
        name="model",
        kind=Kind.TEXT,
        meaning="The model that the executor should use, in the executor's own words.",
        example="opus",
        default="the executor's",
    ),
    Field(
        name="max_attempts",
        kind=Kind.INTEGER,
        meaning="How many attempts may be used up; rate limits and lost runners use none.",
        example="5",
        default="3",
        minimum=1,
        maximum=100,
    ),
    Field(
        name="budget_usd",
        kind=Kind.NUMBER,
        meaning="What all attempts together may cost, in US dollars.",
        example="2.50",
        minimum=0,
        above=True,
    ),
    Field(
        name="workspace",
        kind=Kind.CHOICE,
        meaning="Where an attempt works: in its own git worktree, in the repository itself, or in neither.",
        example="worktree",
        default="a worktree where there is a git repository and the executor changes code, else none",
        choices=tuple(Workspace),
    ),
    Field(
        name="review",
        kind=Kind.TEXT,
        meaning="Who reviews the result before the task is done.",
        example="codex",
    ),
    Field(
        name="on_unavailable",
        kind=Kind.CHOICE,
        meaning="What to do when the named executor cannot work: wait for it, fail, or fall back to another.",
        example="fallback",
        default="`routing.on_unavailable` of the config",
        choices=("wait", "fail", "fallback"),
    ),
    Field(
        name="not_before",
        kind=Kind.INSTANT,
        meaning="Do not start earlier. A time without an offset is UTC.",
        example="2026-12-01T08:00:00Z",
    ),
    Field(
        name="origin",
        kind=Kind.TEXT,
        meaning="Who made the task when it was not a person at this machine. Until the line is removed it runs no "
        "shell, and nothing outside of the project.",
        example="github-issues",
    ),
    Field(
        name="schema",
        kind=Kind.INTEGER,
        meaning="The number of the file format. Files of a newer one are listed, never run and never rewritten.",
        example="1",
        default="1",
        minimum=1,
        maximum=1_000_000,
    ),
    Field(
        name="created_at",
        kind=Kind.INSTANT,
        meaning="When the task was made.",
        example="2026-11-22T09:14:03.123456Z",
        owned=True,
    ),
    Field(
        name="updated_at",
        kind=Kind.INSTANT,
        meaning="When Autopilot last wrote into the file.",
        example="2026-11-22T09:20:00.000000Z",
        owned=True,
    ),
    Field(
        name="attempt",
        kind=Kind.INTEGER,
        meaning="The number of the last attempt; it never shrinks.",
        example="2",
        default="0",
        minimum=0,
        maximum=10**9,
        owned=True,
    ),
    Field(
        name="result",
        kind=Kind.DATA,
        meaning="What the last attempt came to: executor, outcome, verified, cost_usd, branch, reason.",
        example="{executor: local, outcome: succeeded, verified: true}",
        owned=True,
    ),
)

FIELDS: Mapping[str, Field] = MappingProxyType({field.name: field for field in _TABLE})
"""Every key that Autopilot knows, in the order of the documentation."""

OWNED_KEYS: tuple[str, ...] = tuple(field.name for field in _TABLE if field.owned)
"""The keys that Autopilot writes, in the order in which it adds them."""

PROSE_KEYS: frozenset[str] = frozenset(field.name for field in _TABLE if field.prose)
"""Keys with free text."""

LINE_KEYS: frozenset[str] = frozenset(field.name for field in _TABLE if field.kind is Kind.TEXT)
"""Keys whose text ends without a line break, however it is written (``title: >``)."""

DATA_KEYS: frozenset[str] = frozenset(field.name for field in _TABLE if field.kind is Kind.DATA)
"""Keys below which true, false, null and numbers mean what they mean in JSON; everywhere else they are text."""
