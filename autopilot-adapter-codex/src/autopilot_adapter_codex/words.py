"""What Codex's events say, one at a time; whatever their shape, nothing here raises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autopilot import Usage, json_line, usage_of

__all__ = ["CLOSING", "error_text", "is_event", "item_of", "said", "usage", "waits_for_network"]

CLOSING = ("turn.completed", "turn.failed")
_LONGEST = 200


def is_event(record: Mapping[str, Any]) -> bool:
    """Whether this is one of Codex's events."""
    kind = record.get("type")
    return isinstance(kind, str) and (kind == "error" or kind.startswith(("thread.", "turn.", "item.")))


def waits_for_network(event: Mapping[str, Any]) -> bool:
    """Whether it says that it cannot reach its provider, and goes on trying."""
    return event.get("type") == "error" and "waiting for network" in error_text(event)


def item_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The item of an ``item.…`` event, empty where there is none."""
    item = event.get("item")
    return item if isinstance(item, Mapping) else {}


def error_text(event: Mapping[str, Any]) -> str:
    """The words of an ``error`` or ``turn.failed`` event, without the URL: that may hold anything. The provider's
    own JSON, which a refused request comes with, is unwrapped."""
    error = event.get("error")
    told = error.get("message") if isinstance(error, Mapping) else event.get("message")
    text = re.sub(r",? url: \S+", "", told).strip() if isinstance(told, str) else ""
    inner = (json_line(text) or {}).get("error")
    if not isinstance(inner, Mapping):
        return text
    return f"{inner.get('message') or text} ({inner.get('code') or inner.get('type') or 'no code'})"


def usage(event: Mapping[str, Any]) -> Usage | None:
    """Tokens of the whole thread; Codex counts the cached ones as input already."""
    told = event.get("usage")
    tokens = usage_of(told, input="input_tokens", output="output_tokens")
    kept = usage_of(told, input="cached_input_tokens", output="")
    if tokens is None or kept is None:
        return None
    return Usage(
        input_tokens=tokens.input_tokens, output_tokens=tokens.output_tokens, cached_tokens=kept.input_tokens
    )


def said(event: Mapping[str, Any]) -> str | None:
    """One line for people, None where there is nothing to tell."""
    if event.get("type") == "error":
        return error_text(event)[:_LONGEST] or None
    item = item_of(event)
    kind, started = item.get("type"), event.get("type") == "item.started"
    text: object = None
    if kind == "command_execution" and started:
        text = f"runs {item.get('command')}"
    elif kind == "file_change" and started:
        text = f"edits {_paths(item)}"
    elif kind in ("mcp_tool_call", "web_search") and started:
        text = f"uses {item.get('tool') or kind}"
    elif kind == "agent_message":
        text = item.get("text")
    return " ".join(text.split())[:_LONGEST] or None if isinstance(text, str) else None


def _paths(item: Mapping[str, Any]) -> str:
    changes = item.get("changes")
    changed = [change for change in changes if isinstance(change, Mapping)] if isinstance(changes, list) else []
    return ", ".join(str(change.get("path")) for change in changed) or "files"
