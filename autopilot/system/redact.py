"""Secrets out of everything that is written: exact values that we know, and shapes that give others away.

Time is linear in the text, and a stream may be cut anywhere: what could be the beginning of a secret is carried
over to the next chunk. Whole lines are never held back, except inside a private key, so that logs can be followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from autopilot.system.secret_shapes import ANY_ANCHOR, LONGEST, PEM_OPENING, SHAPES

__all__ = ["Redactor", "StreamRedactor"]

_SHORTEST_SECRET = 8
_SHORT = 2048  # up to here one look for all anchors is cheaper than one for each
_WORTH_READING = 4096
_CONTEXT = 8  # bytes before the carry that a pattern may look back on


class _Span(NamedTuple):
    """A match: the text from ``start`` to ``end`` belongs together, ``left`` to ``right`` of it is the secret."""

    start: int
    end: int
    left: int
    right: int
    name: str


class Redactor:
    """Replaces secrets by ``[redacted:<name>:<first 8 hex digits of its SHA-256>]``.

    Args:
        secrets: name -> value, as ``secrets_in`` finds them; values under 8 characters are left alone, because
            hiding them would hide half of every text. The values' base64, URL-encoded and JSON-escaped forms are
            found too.
    """

    def __init__(self, secrets: Mapping[str, str] | None = None) -> None:
        self._names = _forms_of(secrets or {})
        literals = sorted(self._names, key=len, reverse=True)
        self._openings = re.compile(b"|".join([PEM_OPENING, *_first_lines(literals)]))
        self.overlap = max(LONGEST, len(literals[0]) if literals else 0)

    def text(self, text: str) -> str:
        """``text`` without secrets."""
        if not text:
            return text
        data = text.encode("utf-8", "surrogatepass")
        spans = self.spans(data)
        return self.join(data, spans, 0, len(data)).decode("utf-8", "surrogatepass") if spans else text

    def values(self, value: Any) -> Any:
        """A JSON value without the secrets in its texts; keys stay."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self.values(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.values(item) for item in value]
        return value

    def tail(self, data: bytes, skip: int) -> bytes:
        """``data`` without its first ``skip`` bytes and without secrets, also those that begin in these bytes."""
        return self.join(data, self.spans(data), skip, len(data))

    def stream(self) -> StreamRedactor:
        """A redactor for bytes that come in pieces."""
        return StreamRedactor(self)

    def spans(self, data: bytes, start: int = 0) -> list[_Span]:
        """All matches from ``start`` on, in the order of their secrets; they may overlap."""
        found = [*self._exact_spans(data, start), *_shape_spans(data, start)]
        return sorted(found, key=lambda span: (span.left, -span.right))

    def _exact_spans(self, data: bytes, start: int) -> Iterator[_Span]:
        for form, name in self._names.items():
            at = data.find(form, start)
            while at >= 0:
                yield _Span(at, at + len(form), at, at + len(form), name)
                at = data.find(form, at + len(form))

    def join(self, data: bytes, spans: list[_Span], start: int, end: int) -> bytes:
        """``data[start:end]`` with the secrets of ``spans`` replaced."""
        pieces: list[bytes] = []
        for span in spans:
            if span.right <= start:
                continue
            if span.left >= end:
                break
            if span.left >= start or not pieces:
                pieces += [data[start : max(start, span.left)], _marker(span, data)]
            start = span.right
        return b"".join([*pieces, data[start:end]])

    def held_from(self, data: bytes, spans: list[_Span], start: int) -> int:
        """Where a secret of several lines begins that is not at its end yet; the length where none does."""
        ends: dict[int, int] = {}
        for span in spans:
            ends[span.start] = max(span.end, ends.get(span.start, 0))
        for match in self._openings.finditer(data, start):
            end = ends.get(match.start(), 0)
            is_key = match.group().startswith(b"-----BEGIN ")
            if end <= match.end() or (is_key and b"-----END " not in data[match.end() : end]):
                return match.start()
        return len(data)


def _shape_spans(data: bytes, start: int) -> Iterator[_Span]:
    folded = data.lower()
    if len(data) < _SHORT and ANY_ANCHOR.search(folded, start) is None:
        return
    for shape in SHAPES:
        subject = folded if shape.folded else data
        if not any(anchor in subject for anchor in shape.anchors):
            continue
        group = 1 if shape.pattern.groups else 0
        for match in shape.pattern.finditer(subject, start):
            yield _Span(match.start(), match.end(), match.start(group), match.end(group), shape.name)


def _marker(span: _Span, data: bytes) -> bytes:
    import hashlib

    digest = hashlib.sha256(data[span.left : span.right]).hexdigest()
    return f"[redacted:{span.name}:{digest[:8]}]".encode()


class StreamRedactor:
    """Redacts bytes that come in pieces; ``feed`` returns what is safe to write already.

    Attributes:
        consumed: how many of the bytes that were fed are accounted for in what was returned.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._buffer = b""
        self._start = 0  # the bytes of the buffer before this were returned already, and are kept as context
        self._unread = 0
        self.consumed = 0

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; return what cannot be part of a secret any more, redacted."""
        buffer = self._buffer + data
        self._unread += len(data)
        if self._unread < _WORTH_READING and b"\n" not in data:
            # Byte by byte, each would otherwise cost a look at all that is held back.
            self._buffer = buffer
            return b""
        self._unread = 0
        redactor = self._redactor
        spans = redactor.spans(buffer, self._start)
        floor = max(self._start, len(buffer) - redactor.overlap)
        ceiling = max(floor, min(buffer.rfind(b"\n") + 1, redactor.held_from(buffer, spans, floor)))
        return self._take(buffer, spans, _end_of_cut(spans, ceiling))

    def close(self) -> bytes:
        """What was held back, redacted."""
        return self._take(self._buffer, self._redactor.spans(self._buffer, self._start), len(self._buffer))

    def _take(self, buffer: bytes, spans: list[_Span], end: int) -> bytes:
        done = self._redactor.join(buffer, spans, self._start, end)
        self.consumed += end - self._start
        kept_from = max(0, end - _CONTEXT)
        self._buffer = buffer[kept_from:]
        self._start = end - kept_from
        return done


def _end_of_cut(spans: list[_Span], cut: int) -> int:
    """The first place from ``cut`` on that is inside no match; a match is never cut."""
    for span in sorted(spans):
        if span.start < cut:
            cut = max(cut, span.end)
    return cut


def _forms_of(secrets: Mapping[str, str]) -> dict[bytes, str]:
    forms: dict[bytes, str] = {}
    for name, value in secrets.items():
        if len(value) >= _SHORTEST_SECRET:
            for form in _forms(value):
                if len(form) >= _SHORTEST_SECRET:
                    forms.setdefault(form, name)
    return forms


def _forms(value: str) -> Iterator[bytes]:
    import base64
    from urllib.parse import quote, quote_plus

    raw = value.encode("utf-8", "surrogateescape")
    yield raw
    yield raw.strip()
    yield quote(raw, safe="").encode()
    yield quote_plus(raw).encode()
    for code in (quote(raw, safe=""), quote_plus(raw)):
        yield re.sub("%..", lambda byte: byte[0].lower(), code).encode()
    for text in _escaped(value):
        # An agent's stream is JSON, and what its tools say may be JSON inside that.
        for form in (text, *_escaped(text)):
            yield form.encode("utf-8", "surrogateescape")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw)
        yield from _inner_base64(raw, encode)


def _escaped(text: str) -> Iterator[str]:
    """In JSON: as Python writes it, and as JavaScript, which leaves letters of all scripts as they are."""
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]


def _inner_base64(raw: bytes, encode: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """The base64 of ``raw`` inside a longer text (``user:secret``): three alignments, without the characters that
    its neighbours decide."""
    for lead in range(3):
        coded = encode(b"\0" * lead + raw).rstrip(b"=")
        whole = (lead + len(raw)) % 3 == 0
        yield coded[(0, 2, 3)[lead] : None if whole else -1]


def _first_lines(literals: list[bytes]) -> list[bytes]:
    return [re.escape(literal[: literal.index(b"\n") + 1]) for literal in literals if b"\n" in literal]
