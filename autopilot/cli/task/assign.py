"""``KEY=VALUE`` of ``task edit --set``, by the table of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from autopilot.errors import UsageError

__all__ = ["assignments", "remarks"]

_OWNED_HINTS = {
    "status": "autopilotctl task retry, cancel: those change it",
    "schema": "a newer autopilot-core sets it, and takes it back",
    "id": "make a new task with `autopilotctl task create -F`",
}


def assignments(settings: Sequence[str], unset: Sequence[str]) -> dict[str, Any]:
    """Keys with their values as the file format wants them; None for those to be removed.

    Raises:
        UsageError: there is no ``=``, or the key is not the person's to set.
    """
    values: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(
                f"--set {text!r}: a key and a value are wanted", hint="for example: --set priority=high"
            )
        if key.strip() == "body":
            raise UsageError(
                "`body` is no key: it is the text below the frontmatter",
                hint="`autopilotctl task edit ID` without --set opens the whole file in your editor",
            )
        values[_allowed(key.strip())] = _value(key.strip(), value)
    return {**values, **{_allowed(key): None for key in unset}}


def remarks(values: Mapping[str, Any]) -> Iterator[str]:
    """A sentence about each key that is set and that no task has: it may be a plugin's, or mistyped."""
    from autopilot.system.near import did_you_mean
    from autopilot.taskfile.fields import FIELDS

    for key in (key for key, value in values.items() if value is not None and key not in FIELDS):
        guess = did_you_mean(key, [*FIELDS, "body"])
        yield f"`{key}` is no key of a task, and is kept for plugins" + (f"; {guess}" if guess else "")


def _allowed(key: str) -> str:
    from autopilot.taskfile.fields import FIELDS

    if key in ("id", "schema") or (key in FIELDS and FIELDS[key].owned):
        raise UsageError(f"{key!r} is not set by hand", hint=_OWNED_HINTS.get(key, "Autopilot writes it"))
    return key


def _value(key: str, text: str) -> Any:
    from autopilot.taskfile.fields import FIELDS, Kind

    kind = FIELDS[key].kind if key in FIELDS else Kind.TEXT
    if kind in (Kind.TEXTS, Kind.WORDS, Kind.IDS):
        return _list(key, text)
    if kind is Kind.COMMAND and text.lstrip().startswith("["):
        return _list(key, text)
    return text


def _list(key: str, text: str) -> list[str]:
    if not text.strip().startswith("["):
        return [item.strip() for item in text.split(",") if item.strip()]
    import yaml

    try:
        # BaseLoader makes every scalar a text, as the task files have it.
        items = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        items = None
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise UsageError(f"--set {key}: {text!r} is no list of texts", hint=f"for example: {key}=[one, two]")
    return items
