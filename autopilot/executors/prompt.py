"""The prompt that an attempt gets unless a plugin renders another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot.models import Task

__all__ = ["default_prompt"]

_LONGEST_FAILURE = 4000


def default_prompt(task: Task, attempt: Mapping[str, Any]) -> str:
    """Title, body, acceptance criteria, the checks that will be run, the earlier failure, and how to end.

    The text may be long and may hold anything: hand it over by stdin or in a file, never on a command line.

    Args:
        attempt: as the hook ``autopilot_prompt`` gets it; its ``earlier_failure`` is what the last judged attempt
            said, empty on the first.
    """
    parts = [
        f"# {_one_line(task.title)}",
        task.body.strip(),
        _section("Acceptance criteria", [f"- {_one_line(sentence)}" for sentence in task.acceptance_criteria]),
        _section("These commands must exit with 0 when you are done", [f"    {line}" for line in task.verify]),
        _failure(str(attempt.get("earlier_failure") or "")),
        _ENDING,
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


_ENDING = """## How to end

Work in the current folder only, and finish the whole task without asking questions: nobody is there to answer.
If it turns out that nothing has to be changed, change nothing and say so in your last message.
If you cannot go on without a person's decision, stop and put that question into your last message."""


def _section(heading: str, lines: list[str]) -> str:
    return "\n".join([f"## {heading}", "", *lines]) if lines else ""


def _failure(text: str) -> str:
    if not text.strip():
        return ""
    kept = text.strip()
    if len(kept) > _LONGEST_FAILURE:
        half = _LONGEST_FAILURE // 2
        kept = f"{kept[:half]}\n[… {len(kept) - 2 * half} characters left out …]\n{kept[-half:]}"
    quoted = "\n".join(f"> {line}" for line in kept.splitlines())
    return f"## An earlier attempt failed\n\nWhat was found wrong with it:\n\n{quoted}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
