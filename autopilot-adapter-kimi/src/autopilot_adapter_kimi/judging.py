"""What Kimi's lines mean while it works, and what its end came to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from autopilot import Outcome, OutcomeKind, Progress, Rules, Transcript, classify, json_line
from autopilot_adapter_kimi.dialects import CURRENT, INSTALL, Dialect, is_gone

__all__ = ["LOGIN", "heard", "judged"]

LOGIN = "run `kimi` and use /login, or set KIMI_MODEL_NAME and KIMI_MODEL_API_KEY"

_RESUME_HINT = "session.resume_hint"
_RETRYING = "turn.step.retrying"
_HINT_LINE = re.compile(r"To resume this session: kimi -r ([\w.-]+)")
_ERROR_LINE = re.compile(r"^error: (?:failed to run prompt: )?(.+)$", re.MULTILINE)
_LONGEST_MESSAGE = 500
_FOREVER_MS = 10 * 365 * 86_400_000

_QUOTA = r"quota|usage limit|balance|recharge|arrears|billing|credit"
_RULES: Rules = (
    (rf"^provider\.\w+: (402|403|429)\b.*({_QUOTA})|^provider\.api_error: 402\b", OutcomeKind.QUOTA_EXHAUSTED),
    (r"^provider\.rate_limit|^provider\.api_error: 429\b", OutcomeKind.RATE_LIMITED),
    (r"^auth\.model_not_resolved|no model configured", OutcomeKind.CONFIG_ERROR),
    (
        r"^provider\.auth_error|^auth\.|^provider\.api_error: 40[13]\b|no credential configured|token provider is|"
        r"use /login",
        OutcomeKind.AUTH_ERROR,
    ),
    (r"^loop\.max_steps_exceeded|^context\.overflow", OutcomeKind.LIMIT_REACHED),
    (
        r"^provider\.(overloaded|connection_error)|^provider\.api_error: (408|5\d\d)\b|\bterminated$|timed? ?out",
        OutcomeKind.UNAVAILABLE,
    ),
    (
        r"^provider\.(api_error: 4\d\d|not_found)\b|^(model|config|session)\.|unknown option|cannot combine|"
        r"prompt cannot be empty|does not resolve to|is not configured|^session \".*|KIMI_MODEL_",
        OutcomeKind.CONFIG_ERROR,
    ),
)
"""What the current program says after ``error:``; most begin with a code of its own."""

_PRINT_RULES: Rules = (
    (rf"\b(402|403|429)\b.*({_QUOTA})", OutcomeKind.QUOTA_EXHAUSTED),
    (r"\b429\b|rate.?limit", OutcomeKind.RATE_LIMITED),
    (r"\b40[13]\b|unauthorized|invalid (api key|authentication)|not logged in", OutcomeKind.AUTH_ERROR),
    (r"max(imum)? (number of )?steps", OutcomeKind.LIMIT_REACHED),
    (r"\b(408|5\d\d)\b|overloaded|connection|timed? ?out", OutcomeKind.UNAVAILABLE),
    (r"\bLLM\b.* not |no such option|invalid value|\b40[04]\b", OutcomeKind.CONFIG_ERROR),
)
"""What the older program prints before it exits with 1, or with 75 where trying again may help."""

_PASSING = frozenset({OutcomeKind.RATE_LIMITED, OutcomeKind.QUOTA_EXHAUSTED, OutcomeKind.UNAVAILABLE})
_NEED_A_PERSON = frozenset({OutcomeKind.AUTH_ERROR, OutcomeKind.CONFIG_ERROR})


def heard(line: str, *, longest_wait_s: float) -> Progress | None:
    """What one line says. The program has had its last word when it tells how to resume, or when it means to wait
    for longer than ``longest_wait_s``: it takes a Retry-After of an hour literally, and sleeps."""
    event = json_line(line)
    if event is None:
        told = _HINT_LINE.match(line.strip())
        return Progress(session_id=told[1], final=True) if told else None
    if event.get("role") == "assistant":
        return Progress(message=_said(event))
    kind = event.get("type") if event.get("role") == "meta" else None
    if kind == _RESUME_HINT:
        session = event.get("session_id")
        return Progress(session_id=session if isinstance(session, str) else None, final=True)
    if kind == _RETRYING:
        wait = _wait_s(event) or 0.0
        return Progress(message=f"{_reason(event)}; it waits {wait:g} s", final=wait > longest_wait_s)
    return Progress() if kind or event.get("role") == "tool" else None


def judged(exit_code: int, transcript: Transcript, *, dialect: Dialect, longest_wait_s: float) -> Outcome:
    """The outcome. Exit code 0 counts together with a positive closing only: the hint how to resume, which the
    current program prints after a success and never else; for the older one, a last message without tool calls."""
    last = transcript.records[-1] if transcript.records else {}
    if _is(last, _RETRYING) and (_wait_s(last) or 0.0) > longest_wait_s:
        return _gave_up(last)
    closed = _closed(transcript) if dialect is CURRENT else _answered(transcript)
    if exit_code == 0 and closed:
        return Outcome(kind=OutcomeKind.SUCCEEDED, message=_last_words(transcript))
    error = _error(transcript, dialect)
    if not transcript.records and is_gone(error):
        return Outcome(kind=OutcomeKind.CONFIG_ERROR, message=error, hint=f"{INSTALL}; it replaces kimi-cli")
    if not transcript.records and error.startswith("Node.js v"):
        return Outcome(
            kind=OutcomeKind.CONFIG_ERROR, message=f"it crashed at its start, under {error}", hint=INSTALL
        )
    return _failed(exit_code, transcript, error, dialect)


def _failed(exit_code: int, transcript: Transcript, error: str, dialect: Dialect) -> Outcome:
    how = f"exit code {exit_code}" + ("" if exit_code else " without a closing word")
    # The exit code of a program that was ended after its last word is unknown: its words are all there is.
    told = exit_code != 0 or transcript.lingered
    kind = classify(error, _RULES if dialect is CURRENT else _PRINT_RULES) if told else None
    if kind is None:
        kind = {0: OutcomeKind.PROTOCOL_VIOLATION, 75: OutcomeKind.UNAVAILABLE}.get(exit_code, OutcomeKind.FAILED)
    retry = transcript.last(role="meta", type=_RETRYING)
    return Outcome(
        kind=kind,
        message=f"{how}: {error}" if error else how,
        hint=LOGIN if kind in _NEED_A_PERSON else "",
        reset_at=_after(_wait_s(retry)) if retry and kind in _PASSING else None,
        evidence={"dialect": dialect.name},
    )


def _gave_up(retrying: Mapping[str, Any]) -> Outcome:
    """It meant to sleep for long, and was ended: the time is better spent elsewhere."""
    wait = _wait_s(retrying)
    text = _reason(retrying)
    limited = retrying.get("status_code") == 429 or "ratelimit" in str(retrying.get("error_name")).lower()
    kind = OutcomeKind.RATE_LIMITED if limited else OutcomeKind.UNAVAILABLE
    if limited and re.search(_QUOTA, text, re.IGNORECASE):
        kind = OutcomeKind.QUOTA_EXHAUSTED
    return Outcome(kind=kind, message=f"{text}; it wanted to wait {wait:g} s and was ended", reset_at=_after(wait))


def _closed(transcript: Transcript) -> bool:
    return transcript.last(role="meta", type=_RESUME_HINT) is not None


def _answered(transcript: Transcript) -> bool:
    last = transcript.records[-1] if transcript.records else {}
    answer = last.get("role") == "assistant" and not last.get("tool_calls") and _text(last.get("content"))
    # A program that hangs after its last word is ended, which counts as exit code 0; an error of its is no JSON.
    return bool(answer) and not (transcript.lingered and _plain_lines(transcript.stdout))


def _last_words(transcript: Transcript) -> str:
    answers = (_text(one.get("content")) for one in reversed(transcript.records) if one.get("role") == "assistant")
    return _cut(next(filter(None, answers), ""))


def _error(transcript: Transcript, dialect: Dialect) -> str:
    """What the program says to people about its end. The older one says it on stdout."""
    errors = _ERROR_LINE.findall(transcript.stderr) if dialect is CURRENT else []
    streams = (
        (transcript.stderr, transcript.stdout) if dialect is CURRENT else (transcript.stdout, transcript.stderr)
    )
    lines = errors or next(filter(None, map(_plain_lines, streams)), [""])
    return _cut(lines[-1].strip())


def _plain_lines(text: str) -> list[str]:
    """The lines that are no JSON, without the frames that the older program draws."""
    lines = (line.strip(" \t\r│╭╮╰╯─") for line in text.splitlines())
    return [
        line for line in lines if line and not line.startswith(("{", "See log:")) and not _HINT_LINE.match(line)
    ]


def _is(record: Mapping[str, Any], kind: str) -> bool:
    return record.get("role") == "meta" and record.get("type") == kind


def _wait_s(retrying: Mapping[str, Any] | None) -> float | None:
    delay = (retrying or {}).get("delay_ms")
    if not isinstance(delay, int | float) or isinstance(delay, bool) or not delay > 0:
        return None
    return min(delay, _FOREVER_MS) / 1000


def _after(wait_s: float | None) -> datetime | None:
    return datetime.now(UTC) + timedelta(seconds=wait_s) if wait_s else None


def _reason(retrying: Mapping[str, Any]) -> str:
    return _cut(str(retrying.get("error_message") or retrying.get("error_name") or "a fault of the provider"))


def _said(message: Mapping[str, Any]) -> str | None:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            return f"uses {str(function.get('name'))[:100]}"
    return _text(message.get("content"))[:200] or None


def _text(content: object) -> str:
    """Of a message: a string, or parts of which those of type ``text`` are for people."""
    if isinstance(content, str):
        return content.strip()
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, Mapping) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str)).strip()


def _cut(text: str) -> str:
    return text[:_LONGEST_MESSAGE]
