"""What the gateway's answers mean. Pure: an answer and the time in, an outcome out; survives any answer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from autopilot import Outcome, OutcomeKind, Rules, Usage, classify, usage_of
from autopilot_adapter_openclaw.gateway import Answer

__all__ = ["judge_hook", "judge_response", "reset_time", "said"]

_LEAST_S, _MOST_S = 1.0, 3600.0
_LONGEST = 500

_QUOTA: Rules = ((r"quota|credit balance|billing|payment required", OutcomeKind.QUOTA_EXHAUSTED),)
_WORDS: Rules = (
    (r"rate.?limit|too many requests", OutcomeKind.RATE_LIMITED),
    (r"authentication|unauthorized|api.?key|permission", OutcomeKind.AUTH_ERROR),
    (r"overloaded|unavailable|timed? ?out|network", OutcomeKind.UNAVAILABLE),
    (r"invalid.request|not.found", OutcomeKind.CONFIG_ERROR),
)
_TOLD_WAIT = re.compile(r"(?:retry-after:|try again in)\s*(\d{1,9}(?:\.\d{1,6})?)", re.IGNORECASE)
_LEADING_STATUS = re.compile(r"\s*([45]\d\d)\b")

_STATUSES: Mapping[int, OutcomeKind] = {
    401: OutcomeKind.AUTH_ERROR,
    403: OutcomeKind.AUTH_ERROR,
    402: OutcomeKind.QUOTA_EXHAUSTED,
    408: OutcomeKind.UNAVAILABLE,
    409: OutcomeKind.UNAVAILABLE,
    429: OutcomeKind.RATE_LIMITED,
}

_HINTS: Mapping[int, str] = {
    400: "correct executors.openclaw (agent, model); `openclaw logs` says more",
    401: "set {token} to the gateway's current token",
    403: "set {token} to a token that may do this",
    404: "switch {door} on in OpenClaw's config, or correct executors.openclaw.url",
    405: "correct executors.openclaw.url: something else than the gateway answers there",
    413: "the prompt is too large for this door; /v1/responses takes 20 MB, the webhook 256 KiB",
}
_PROVIDER_HINT = "OpenClaw's own credentials for this model were refused: see `openclaw models status`"


def reset_time(value: str | None, now: datetime) -> datetime | None:
    """The instant that a ``Retry-After`` means, seconds or date, from 1 s to 1 h ahead; None for anything else."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now)
    if not math.isfinite(seconds):
        return None
    return now + timedelta(seconds=min(max(seconds, _LEAST_S), _MOST_S))


def _seconds_until(date: str, now: datetime) -> float:
    from email.utils import parsedate_to_datetime

    try:
        at = parsedate_to_datetime(date)
        return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError):
        return math.nan


def judge_response(answer: Answer, *, token: str, now: datetime) -> Outcome:
    """The outcome of ``POST /v1/responses``: by its status, its error and its usage.

    Args:
        token: the name of the variable that holds the gateway's token, for the hint.
    """
    told = answer.json()
    ours = told is not None and told.get("object") == "response"
    if answer.status != 200 or told is None or not ours:
        hint = _PROVIDER_HINT if ours and answer.status in (401, 403) else ""
        return _refused(answer, _error(told) or answer.text(), now, token=token, door="/v1/responses", hint=hint)
    text, usage, status = said(told), _usage(told), told.get("status")
    evidence = {"status": str(status)[:40], "response_id": str(told.get("id"))[:80]}
    if status == "failed":
        return _failed(_error(told), usage, now, evidence)
    if status == "incomplete":
        kind, message = OutcomeKind.LIMIT_REACHED, "the answer reached the model's output limit"
    elif status == "completed" and (text or (usage and usage.output_tokens)):
        kind, message = OutcomeKind.SUCCEEDED, text[:_LONGEST] or "it ended well, without a word"
    else:
        kind, message = OutcomeKind.PROTOCOL_VIOLATION, f"status {evidence['status']}, and no word and no token"
    return Outcome(kind=kind, message=message, usage=usage, evidence=evidence)


def judge_hook(answer: Answer, *, token: str, now: datetime) -> Outcome:
    """The outcome of ``POST /hooks/agent`` with ``waitForCompletion``: whether the run ended well is all that it
    tells; why it did not is in OpenClaw's log only."""
    told = answer.json()
    if answer.status != 200 or told is None or told.get("ok") is not True:
        return _refused(answer, _error(told) or answer.text(), now, token=token, door="hooks")
    run = str(told.get("runId"))[:80]
    completion = told.get("completion")
    if not isinstance(completion, Mapping):
        return Outcome(
            kind=OutcomeKind.PROTOCOL_VIOLATION,
            message=f"the gateway took run {run} and did not wait for its end: what it did is unknown",
            hint="update OpenClaw to one that knows waitForCompletion (2026.9 does)",
            evidence={"run_id": run},
        )
    status, reply = str(completion.get("status"))[:40], str(completion.get("replyDisposition"))[:40]
    kind, message = _completion(status, reply)
    return Outcome(
        kind=kind,
        message=f"run {run} {message}",
        hint="" if status == "ok" else f"`openclaw logs` says why: look for {run}",
        evidence={"run_id": run, "status": status, "reply": reply},
    )


def said(told: Mapping[str, Any]) -> str:
    """All that the agent said in a response."""
    output = told.get("output")
    words = []
    for item in output if isinstance(output, list) else ():
        content = item.get("content") if isinstance(item, Mapping) else None
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                words.append(part["text"].strip())
    return _printable("\n".join(filter(None, words)))


def _completion(status: str, reply: str) -> tuple[OutcomeKind, str]:
    if status == "skipped":
        return OutcomeKind.UNAVAILABLE, "was skipped by the gateway"
    if status == "error":
        return OutcomeKind.FAILED, "ended with an error; the webhook does not tell which"
    if status == "ok" and reply == "silent":
        return OutcomeKind.NO_CHANGE_NEEDED, "ended well, and its agent said that there was nothing to do"
    if status == "ok" and reply == "visible":
        return OutcomeKind.SUCCEEDED, "ended well; the webhook does not tell what its agent said"
    return OutcomeKind.PROTOCOL_VIOLATION, f"ended with status {status} and reply {reply}: no sign of work"


def _refused(answer: Answer, text: str, now: datetime, *, token: str, door: str, hint: str = "") -> Outcome:
    status = answer.status
    if 300 <= status < 400:
        kind, hint = OutcomeKind.CONFIG_ERROR, "set executors.openclaw.url to where the gateway really is"
        text = "a redirect, which is never followed with a token"
    elif status < 300:
        kind, text = OutcomeKind.PROTOCOL_VIOLATION, f"an answer that OpenClaw never gives: {text}"
    else:
        kind = _by_status(status, text)
    return Outcome(
        kind=kind,
        message=f"HTTP {status}: {text}"[:_LONGEST],
        hint=hint or _HINTS.get(status, "").format(token=token, door=door),
        reset_at=reset_time(answer.headers.get("retry-after") or _wait(text), now),
        evidence={"http_status": status},
    )


def _by_status(status: int, text: str) -> OutcomeKind:
    if status >= 500:
        return OutcomeKind.UNAVAILABLE
    if status == 413:
        return OutcomeKind.FAILED  # this task's prompt is to blame, not the executor
    return classify(text, _QUOTA) or _STATUSES.get(status, OutcomeKind.CONFIG_ERROR)


def _failed(text: str, usage: Usage | None, now: datetime, evidence: Mapping[str, Any]) -> Outcome:
    """A run that failed although HTTP says 200: by the provider's status in its message, else by its words."""
    status = _LEADING_STATUS.match(text.partition(": ")[2] or text)
    kind = _by_status(int(status.group(1)), text) if status else classify(text, (*_QUOTA, *_WORDS))
    return Outcome(
        kind=kind or OutcomeKind.FAILED,
        message=text[:_LONGEST] or "the run failed, and nothing says why",
        hint=_PROVIDER_HINT if kind is OutcomeKind.AUTH_ERROR else "",
        reset_at=reset_time(_wait(text), now),
        usage=usage,
        evidence=evidence,
    )


def _wait(text: str) -> str | None:
    found = _TOLD_WAIT.search(text)
    return found.group(1) if found else None


def _error(told: Mapping[str, Any] | None) -> str:
    error = told.get("error") if told else None
    if isinstance(error, Mapping):
        words = [error.get("code") or error.get("type"), error.get("message")]
        return _printable(": ".join(str(word)[:_LONGEST] for word in words if word))
    return _printable(error[:_LONGEST]) if isinstance(error, str) else ""


def _printable(text: str) -> str:
    """Without lone surrogates, which JSON may hold and no file takes."""
    return text.encode("utf-8", "replace").decode()


def _usage(told: Mapping[str, Any]) -> Usage | None:
    record = told.get("usage")
    usage = usage_of(record, input="input_tokens", output="output_tokens")
    if usage is None or not isinstance(record, Mapping):
        return usage
    cached = usage_of(record.get("input_tokens_details"), input="cached_tokens", output="")
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=cached.input_tokens if cached else 0,
    )
