"""Events as lines: one form only, so that equal events give equal bytes.

The keys come in the order ``id, event_type, timestamp, source, trace_id, payload, prev``, without blanks, in
ASCII. ``prev`` is last, so that all but 73 bytes of a line are made before the log's lock is taken.
"""

from __future__ import annotations

import hashlib
import json
import json.encoder
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from autopilot.errors import UsageError
from autopilot.events.types import check_event_type
from autopilot.system.clock import format_instant, parse_instant

__all__ = ["MAX_LINE", "MAX_PAYLOAD", "Encoded", "encode", "payload_text", "seal"]

MAX_LINE = 2 * 1024 * 1024
"""Bytes of one line. A payload that would make it longer is cut, and says so."""

_KEEP = 4096
# The room left by the other keys is generous: ids and traces are short.
MAX_PAYLOAD = MAX_LINE - _KEEP
"""Bytes of a payload, as ``payload_text`` gives it, that is never cut."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_quote = json.encoder.encode_basestring_ascii


def _plain(value: Any) -> Any:
    # A fact must not get lost because somebody put a path or an instant into it.
    if isinstance(value, Mapping):
        return dict(value)
    return sorted(value, key=str) if isinstance(value, set | frozenset) else str(value)


def _make_dumps() -> Callable[[Any], str]:
    # JSONEncoder makes its C encoder anew for each call; made once, a payload takes half the time. Where an
    # interpreter has none, or another one, the public class does.
    plain = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False, default=_plain)
    build: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        pieces = build(None, _plain, _quote, None, ":", ",", False, False, False)
        if "".join(pieces({"a": [1, "b"]}, 0)) == '{"a":[1,"b"]}':
            return lambda value: "".join(pieces(value, 0))
    except TypeError:
        pass
    return plain.encode


_dumps = _make_dumps()


class Encoded(NamedTuple):
    """An event that is ready but for its place in the chain.

    Attributes:
        fields: what the event will be made of, but for ``prev``; its payload as it was redacted and cut.
        text: its line up to ``prev``.
    """

    fields: dict[str, Any]
    text: str


def encode(
    *,
    id: str,  # noqa: A002 - the key's name in the line
    event_type: str,
    timestamp: str,
    source: str,
    trace_id: str | None,
    payload: Mapping[str, Any],
    redact: Callable[[str], str] | None = None,
) -> Encoded:
    """Make the line of an event.

    Args:
        redact: removes secrets from a text; the payload is replaced whole where it still finds some.

    Raises:
        UsageError: the event's type or time is malformed, or its payload is no JSON.
    """
    written = payload_text(event_type, payload)
    kept = _cut(_redacted(written, redact) if redact else written)
    fields = {
        "id": id,
        "event_type": check_event_type(event_type),
        "timestamp": _instant(timestamp),
        "source": source,
        "trace_id": trace_id,
        "payload": payload if kept == written else json.loads(kept),
    }
    trace = "null" if trace_id is None else _quote(trace_id)
    head = f'{{"id":{_quote(id)},"event_type":"{event_type}","timestamp":"{fields["timestamp"]}"'
    return Encoded(fields, f'{head},"source":{_quote(source)},"trace_id":{trace},"payload":{kept}')


def seal(encoded: Encoded, prev: str) -> tuple[bytes, str]:
    """Chain a line to the one before it: the line with its newline, and its SHA-256."""
    line = f'{encoded.text},"prev":"{prev}"}}'.encode("ascii")
    return line + b"\n", hashlib.sha256(line).hexdigest()


def payload_text(event_type: str, payload: Mapping[str, Any]) -> str:
    """A payload as it stands in a line, not redacted and not cut.

    Raises:
        UsageError: it is no JSON.
    """
    try:
        try:
            return _dumps(dict(payload))
        except ValueError:
            return _dumps(_finite(dict(payload)))
    except (TypeError, ValueError, RecursionError) as fault:
        raise UsageError(
            f"the payload of {event_type} is no JSON: {fault}",
            hint="use objects with text keys, lists, text, numbers, true, false and null",
        ) from fault


def _finite(value: Any) -> Any:
    # JSON has no infinity and no NaN: they become null rather than a line that other readers refuse.
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _instant(text: str) -> str:
    # Fixed width, so that text order is time order, on which `since` relies.
    if _STAMP.fullmatch(text):
        return text
    try:
        return format_instant(parse_instant(text))
    except ValueError:
        raise UsageError(f"{text!r} is no instant", hint="write ISO 8601, such as 2026-11-22T09:14:03Z") from None


def _redacted(text: str, redact: Callable[[str], str]) -> str:
    # A secret with a quote, backslash, newline or accent in it looks different inside JSON: whenever the text
    # has an escape, every string is looked at by itself.
    once = redact(text)
    if once == text and "\\" not in text:
        return text
    walked = _dumps(_walk(json.loads(text), redact))
    again = redact(walked)
    if again == walked:
        return walked
    return _dumps({"redacted": True})


def _walk(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {redact(key): _walk(item, redact) for key, item in value.items()}
    if isinstance(value, list):
        return [_walk(item, redact) for item in value]
    return value


def _cut(text: str) -> str:
    if len(text) <= MAX_PAYLOAD:
        return text
    parts = {key: _dumps(value) for key, value in json.loads(text).items()}
    small = {key: json.loads(part) if len(part) <= _KEEP else {"cut": len(part)} for key, part in parts.items()}
    shorter = _dumps(small)
    return shorter if len(shorter) <= MAX_PAYLOAD else _dumps({"cut": len(text)})
