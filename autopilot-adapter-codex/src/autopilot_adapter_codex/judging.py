"""The outcome of a run of Codex, from its events. Its errors are prose: which words mean what is data here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from autopilot import Outcome, OutcomeKind, Rules, Transcript, classify
from autopilot_adapter_codex import words
from autopilot_adapter_codex.resets import reset_told

__all__ = ["GONE", "LOGIN", "RULES", "judge"]

LOGIN = "run `codex login`, or set CODEX_API_KEY"
GONE = "gone"

RULES: Rules = (
    (
        r"no rollout found|unexpected argument|invalid value|error loading config|codex home",
        OutcomeKind.CONFIG_ERROR,
    ),
    (r"missing environment variable|not inside a trusted directory", OutcomeKind.CONFIG_ERROR),
    (r"usage limit|rate.?limit|too many requests|status:? 429", OutcomeKind.RATE_LIMITED),
    (r"quota|credit balance|billing|spend_limit", OutcomeKind.QUOTA_EXHAUSTED),
    (r"status:? 40[13]|unauthorized|invalid.api.key|not logged in|(log|sign) ?in again", OutcomeKind.AUTH_ERROR),
    (r"refresh token|access token .*(expired|invalid)|upgrade to plus", OutcomeKind.AUTH_ERROR),
    (r"ran out of room|context.?(window|length)", OutcomeKind.LIMIT_REACHED),
    (r"status:? (5\d\d|408)|at capacity|overloaded|high demand|server_error", OutcomeKind.UNAVAILABLE),
    (
        r"stream disconnected|waiting for network|connection failed|error sending|timed? ?out",
        OutcomeKind.UNAVAILABLE,
    ),
    (r"status:? 40[04]|invalid_request|model.*(not.found|not supported|not exist)", OutcomeKind.CONFIG_ERROR),
)

_HINTS: Mapping[OutcomeKind, str] = {
    OutcomeKind.AUTH_ERROR: LOGIN,
    OutcomeKind.CONFIG_ERROR: "mend executors.codex in the config, or Codex's own config.toml",
    OutcomeKind.DENIED: "allow it with executors.codex.sandbox, writable or network, then retry the task",
}
_MISSING = re.compile(r"missing environment variable: `?(\w+)", re.IGNORECASE)

_TOOLS = ("command_execution", "file_change", "mcp_tool_call", "web_search")
_REJECTED = re.compile(r"(?:error=)?([^=\n]*(?:patch rejected|rejected by user|blocked by \S+ sandbox)[^\n]*)")
_READ_ONLY = re.compile(r"^.*read-only file system.*$", re.MULTILINE | re.IGNORECASE)
_NO_SANDBOX = re.compile(r"^bwrap: .*$", re.MULTILINE)


def judge(exit_code: int, transcript: Transcript) -> Outcome:
    """By the last closing event; a turn that was completed may still have been refused all it wanted to do."""
    closing = next((event for event in reversed(transcript.records) if event.get("type") in words.CLOSING), None)
    if closing is None:
        return _cut_short(exit_code, transcript)
    if closing["type"] == "turn.failed":
        return _failure(words.error_text(closing) or "its turn failed without a reason")
    if exit_code != 0:
        return _outcome(OutcomeKind.FAILED, f"exit code {exit_code} after its turn was completed")
    return _completed(transcript)


def _completed(transcript: Transcript) -> Outcome:
    items = [words.item_of(event) for event in transcript.records if event.get("type") == "item.completed"]
    texts = [item["text"] for item in items if isinstance(item.get("text"), str)]
    tools = [item for item in items if item.get("type") in _TOOLS]
    last = _failed_output(tools[-1]) if tools else ""
    if no_sandbox := _NO_SANDBOX.search(last):
        hint = (
            "let it make user namespaces here, or set executors.codex.sandbox to danger-full-access in a container"
        )
        return _outcome(OutcomeKind.CONFIG_ERROR, f"its sandbox does not start here: {no_sandbox.group()}", hint)
    refusal = _refusal(transcript.stderr, tools[-1] if tools else {}, last)
    if refusal:
        return _outcome(OutcomeKind.DENIED, f"it was refused: {refusal}")
    if not texts and not tools:
        return _outcome(
            OutcomeKind.PROTOCOL_VIOLATION, "it completed its turn and has neither said nor done anything"
        )
    return _outcome(OutcomeKind.SUCCEEDED, texts[-1].strip() if texts else "done")


def _refusal(stderr: str, last: Mapping[str, Any], output: str) -> str:
    """What was refused; empty where nothing was. A command that failed counts only when nothing came after it, and
    a commit never does: the sandbox keeps ``.git`` read-only, and committing is Autopilot's."""
    rejected = _REJECTED.search(stderr)
    if rejected:
        return rejected.group(1).strip()
    if last.get("status") == "declined" or (last.get("type"), last.get("status")) == ("file_change", "failed"):
        return f"a {str(last.get('type')).replace('_', ' ')}"
    return next((found.strip() for found in _READ_ONLY.findall(output) if "/.git/" not in found), "")


def _failed_output(item: Mapping[str, Any]) -> str:
    output = item.get("aggregated_output") if item.get("status") == "failed" else None
    return output if isinstance(output, str) else ""


def _cut_short(exit_code: int, transcript: Transcript) -> Outcome:
    """It ended without a closing event."""
    error = words.error_text(transcript.last(type="error") or {})
    if transcript.final:  # without a closing event that is its waiting for the network
        return _outcome(OutcomeKind.UNAVAILABLE, f"it could not reach its provider: {error}")
    if not transcript.records and exit_code != 0:
        return _failure(_startup_error(transcript), otherwise=f"exit code {exit_code}")
    kind = OutcomeKind.PROTOCOL_VIOLATION if exit_code == 0 else OutcomeKind.FAILED
    said = error or transcript.last_line("stderr")
    return _outcome(kind, f"exit code {exit_code} without a closing event" + (f": {said}" if said else ""))


def _startup_error(transcript: Transcript) -> str:
    """What it says before its first event; below it there may be a stack trace, or how to use it."""
    lines = [line.strip() for line in transcript.stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.lower().startswith("error")), lines[-1] if lines else "")


def _failure(text: str, otherwise: str = "") -> Outcome:
    kind = classify(text, RULES) or OutcomeKind.FAILED
    missing = _MISSING.search(text)
    return _outcome(
        kind,
        text or otherwise,
        f"set {missing[1]}, and name it in executors.codex.env" if missing else "",
        reset_at=reset_told(text) if kind in (OutcomeKind.RATE_LIMITED, OutcomeKind.QUOTA_EXHAUSTED) else None,
        evidence={"thread": GONE} if "no rollout found" in text else {},
    )


def _outcome(
    kind: OutcomeKind,
    message: str,
    hint: str = "",
    *,
    reset_at: datetime | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Outcome:
    return Outcome(
        kind=kind,
        message=message[:500],
        hint=hint or _HINTS.get(kind, ""),
        reset_at=reset_at,
        evidence=evidence or {},
    )
