"""What a YAML parser's complaint means for the person who wrote the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from autopilot.errors import TaskFormatError
from autopilot.taskfile.scalars import quote

__all__ = ["LINES_HINT", "conflict", "diagnose", "item_hint", "quote_hint", "quoted_line"]

LINES_HINT = "write one `key: value` per line, beginning at the left edge"

_KEY_LINE = re.compile(r"(\s*(?:[\w.-]+|\"[^\"]*\"|'[^']*'):[ \t]+)(.+)")
_ITEM_LINE = re.compile(r"(\s*-[ \t]+)(.+)")
_LONGEST_QUOTE = 200
# The parser stumbles later than where the mistake is.
_BEGINS_EARLIER = ("unexpected end of stream", "parsing a flow", "could not find expected ':'")
_CONFLICT = re.compile(r"<{7}(?: |$)|={7}$|>{7}(?: |$)")


def quoted_line(line: str) -> str:
    """The line with its value in quotes, for hints; empty where there is no value to quote."""
    found = _ITEM_LINE.fullmatch(line) or _KEY_LINE.fullmatch(line)
    if found is None or len(line) > _LONGEST_QUOTE:
        return ""
    return f"{found[1].strip()} {quote(found[2].strip())}"


def quote_hint(line: str, otherwise: str = LINES_HINT) -> str:
    """Advice to quote the value on this line."""
    better = quoted_line(line)
    return f"quote the value: {better}" if better else otherwise


def item_hint(line: str, otherwise: str) -> str:
    """Advice to quote the list item on this line."""
    return quote_hint(line, otherwise) if _ITEM_LINE.fullmatch(line) else otherwise


def conflict(lines: Sequence[str]) -> TaskFormatError | None:
    """The error for a merge that was left half done; None where there are no conflict markers."""
    row = next((n for n, line in enumerate(lines) if _CONFLICT.match(line)), None)
    if row is None:
        return None
    return TaskFormatError(
        "git's conflict markers", hint="resolve the conflict: keep one side", line=row + 2, column=1
    )


def diagnose(fault: Any, lines: Sequence[str]) -> TaskFormatError:
    """Turn a ``yaml.YAMLError`` into an error for people.

    Args:
        lines: the frontmatter's lines.

    Returns:
        An error whose line counts in the file, where the frontmatter begins on line 2.
    """
    problem = str(getattr(fault, "problem", None) or "this is no YAML")
    context = str(getattr(fault, "context", None) or "")
    mark = getattr(fault, "problem_mark", None)
    if any(needle in problem or needle in context for needle in _BEGINS_EARLIER):
        mark = getattr(fault, "context_mark", None) or mark
    row, column = (mark.line, mark.column) if mark is not None else (0, 0)
    message, hint = _explain(problem, context, lines[row] if row < len(lines) else "", column)
    return TaskFormatError(message, hint=hint, line=row + 2, column=column + 1)


def _explain(problem: str, context: str, line: str, column: int) -> tuple[str, str]:
    for needle, explanation in _RULES:
        if needle in problem or needle in context:
            if isinstance(explanation, tuple):
                message, hint = explanation
                return message, hint or quote_hint(line)
            return explanation(line, column)
    return f"this is no valid YAML: {problem}", quote_hint(line)


def _colon(line: str, column: int) -> tuple[str, str]:
    if ":" not in line[:column] and line[:1] == " " and not line.lstrip().startswith("-"):
        return "an indented key below a key that has a value", "delete the spaces at the beginning of the line"
    return "`: ` in a value without quotes", quote_hint(line)


def _character(line: str, column: int) -> tuple[str, str]:
    found = line[column : column + 1]
    if found == "\t":
        return _TAB
    return f"a value cannot begin with {found} unless it is quoted", quote_hint(line)


def _unfinished(line: str, column: int) -> tuple[str, str]:
    sign = line[column : column + 1]
    other = {"[": "]", "{": "}"}.get(sign, sign)
    return f"{sign} begins here and does not end", f"add the closing {other} or quote the value as a whole"


def _unexpected(line: str, column: int) -> tuple[str, str]:
    if line[:column].strip() and _KEY_LINE.match(line):
        return "text after the end of a value", quote_hint(line)
    return "this line does not fit below the one above it", "check the indent: it must be that of its neighbours"


_TAB = ("a tab where YAML allows only spaces", "replace the tab by spaces")
_ESCAPE = (
    "an escape in double quotes that YAML does not know",
    "use single quotes, in which `\\` is an ordinary character, or double the `\\`",
)
_SIGN = ("a value that begins with `&` or `*`", "")
_NO_COLON = ("a line without `key:`", f"{LINES_HINT}; indent a line that continues the value above")
_NESTED = ("a value that begins with `- ` or `? `", "")

# Parts of libyaml's and PyYAML's messages -> what to say; an empty hint means to quote the value.
_RULES: tuple[tuple[str, tuple[str, str] | Callable[[str, int], tuple[str, str]]], ...] = (
    ("mapping values are not allowed", _colon),
    ("cannot start any token", _character),
    ("tab character", _TAB),
    ("unexpected end of stream", _unfinished),
    ("parsing a quoted scalar", _ESCAPE),
    ("escape", _ESCAPE),
    ("scanning an alias", _SIGN),
    ("scanning an anchor", _SIGN),
    ("could not find expected ':'", _NO_COLON),
    ("parsing a flow", _unfinished),
    ("are not allowed in this context", _NESTED),
    ("are not allowed here", _NESTED),
    ("scanning a block scalar", ("text behind `|` or `>`", "")),
    ("did not find expected node content", _character),
    ("did not find expected", _unexpected),
    ("expected <block end>", _unexpected),
    ("document start", _unexpected),
)
