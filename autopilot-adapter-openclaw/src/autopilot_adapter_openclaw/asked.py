"""What an attempt asks of the gateway, on record before it is sent; and the run that an earlier one left open."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from autopilot import AttemptContext

__all__ = ["OPEN", "open_key", "record", "words_of"]

_NAME = "request.json"
_LIMIT = 1024 * 1024

OPEN = "run_may_go_on"
"""In an outcome's evidence: no answer came, so that nobody knows what became of the run."""

_SILENT = frozenset({"executor_broken", "lost"})


def words_of(context: AttemptContext, *more: str | None) -> str:
    """A digest of what is asked for: equal for two attempts only if one's answer will do for the other."""
    task = context.task
    said = [task.title, task.body, *task.acceptance_criteria, *more]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def record(context: AttemptContext, *, body: Mapping[str, Any], **facts: Any) -> None:
    """Keep what is about to be asked, durably and without the prompt (``prompt.md`` has it) and the token."""
    told = {name: value for name, value in body.items() if name not in ("message", "input")}
    _write(context.run_dir, {**facts, "body": told, "at": datetime.now(UTC).isoformat()})


def open_key(context: AttemptContext, words: str) -> str | None:
    """The key of the run that the attempt before asked for, where nobody knows what became of it: its runner was
    killed before it could report, or its connection lost. Asked for again under that key, the run is joined and
    not begun anew."""
    runs = os.path.dirname(context.run_dir)
    for number in range(context.number - 1, 0, -1):
        folder = os.path.join(runs, str(number))
        asked, result = _read(folder, _NAME), _read(folder, "result.json")
        if result is not None and not _is_open(result):
            return None
        if asked is not None:
            key = asked.get("key") if asked.get("words") == words else None
            ours = re.escape(context.task.id) + r"\.[0-9]{1,9}"
            return key if isinstance(key, str) and re.fullmatch(ours, key) else None
    return None


def _is_open(result: Mapping[str, Any]) -> bool:
    outcome = result.get("outcome")
    if not isinstance(outcome, Mapping):
        return False
    evidence = outcome.get("evidence")
    return outcome.get("kind") in _SILENT or (isinstance(evidence, Mapping) and evidence.get(OPEN) is True)


def _write(folder: str, data: Mapping[str, Any]) -> None:
    place = os.path.join(folder, _NAME)
    fresh = f"{place}.{os.urandom(4).hex()}.tmp"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        json.dump(data, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, place)
    names = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(names)
    finally:
        os.close(names)


def _read(folder: str, name: str) -> dict[str, Any] | None:
    try:
        fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(fd, "rb") as file:
            told = json.loads(file.read(_LIMIT))
    except (OSError, ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None
