"""What secrets look like when we do not know their value: one table of shapes.

Every pattern is bounded (no match is longer than ``LONGEST``), has no nested quantifiers, and stays within one
line (but for private keys), so that redaction takes linear time and can flush whole lines. A pattern runs only
where one of its anchors occurs, which a plain substring search finds fast.
"""

from __future__ import annotations

import re

import attrs

__all__ = ["ANY_ANCHOR", "LONGEST", "PEM_OPENING", "SHAPES", "Shape"]

LONGEST = 8192
"""Bytes that no match of a shape exceeds."""

# A colour code before the secret ends in a letter, which is no part of a word: \x1b[32msk-…
_START = rb"(?:(?<![A-Za-z0-9_-])|(?<=\[\dm)|(?<=\[\d\dm)|(?<=;\dm)|(?<=;\d\dm))"
_END = rb"(?![A-Za-z0-9])"

PEM_OPENING = rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"
_PEM = PEM_OPENING + rb"(?:[^-]|-(?!----)){0,7900}+(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----)?"


@attrs.frozen
class Shape:
    """One kind of secret.

    Attributes:
        anchors: literals of which at least one is in every match.
        pattern: group 1 is the secret where there is a group, else the whole match.
        folded: pattern and anchors are lower case, and are matched against lower-cased text.
    """

    name: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    folded: bool = False


def _token(name: str, anchors: str, rest: bytes, *, start: bytes = _START) -> Shape:
    literals = tuple(anchor.encode() for anchor in anchors.split())
    head = b"|".join(re.escape(literal) for literal in literals)
    return Shape(name, literals, re.compile(start + b"(?:" + head + b")" + rest))


def _folded(name: str, anchors: str, pattern: bytes) -> Shape:
    return Shape(name, tuple(anchor.encode() for anchor in anchors.split()), re.compile(pattern), folded=True)


_HEADERS = rb"(?:proxy-)?authorization|x-api-key|(?:set-)?cookie"

SHAPES: tuple[Shape, ...] = (
    Shape("private-key", (b"PRIVATE KEY-----",), re.compile(_PEM)),
    # A header on a line of its own is hidden to the line's end; elsewhere (JSON, code) to the end of the string.
    _folded(
        "header",
        "authorization x-api-key cookie",
        rb"(?m:^)[<>*]?[ \t]*(?:" + _HEADERS + rb"):[ \t]*+(?!\[redacted:)([^\r\n]{1,6000})",
    ),
    _folded(
        "header",
        "authorization x-api-key cookie",
        rb"(?:" + _HEADERS + rb")\\?[\"']?[ \t]{0,8}[:=][ \t]{0,8}+\\?+[\"']?+"
        rb"(?!\[redacted:|(?:none|null|true|false)\b)([^\r\n\"'\\]{6,6000})",
    ),
    _folded("bearer", "bearer", rb"bearer[ \t]{1,8}+(?!\[redacted:)([a-z0-9._~+/=-]{6,6000})"),
    Shape(
        "url-password", (b"://",), re.compile(rb"://[^/\s:@\"'\\]{0,256}:(?!\[redacted:)([^/\s@\"'\\]{1,512})@")
    ),
    _token("anthropic-key", "sk-ant-", rb"[\w-]{20,500}"),
    _token("api-key", "sk-", rb"(?:proj-)?[\w-]{20,500}"),
    _token("github-token", "gh", rb"[pousr]_\w{36,300}"),
    _token("github-token", "github_pat_", rb"\w{22,300}"),
    _token("gitlab-token", "glpat-", rb"[\w-]{20,300}"),
    _token("aws-key-id", "AKIA ASIA", rb"[0-9A-Z]{16}" + _END),
    _token("google-key", "AIza", rb"[\w-]{35}"),
    _token("slack-token", "xox", rb"[aboprs]-[\w-]{10,300}"),
    _token("npm-token", "npm_", rb"\w{36,300}"),
    _token("pypi-token", "pypi-", rb"[\w-]{50,500}"),
    _token("huggingface-token", "hf_", rb"\w{30,300}"),
    _token("bitwarden-token", "bws_", rb"[\w.:=+/-]{20,300}"),
    _token("jwt", "eyJ", rb"[\w-]{5,2500}\.[\w-]{5,2500}(?:\.[\w-]{0,2500})?"),
)

ANY_ANCHOR = re.compile(
    b"|".join(sorted({re.escape(anchor.lower()) for shape in SHAPES for anchor in shape.anchors}))
)
"""Finds nothing in lower-cased text that no shape can match: one quick look for short texts."""
