"""Runs ``claude -p``: the prompt by standard input, stream-json out, judged by its events."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from autopilot import (
    AgentExecutor,
    AttemptContext,
    Command,
    ExecutorInfo,
    Outcome,
    OutcomeKind,
    Progress,
    Rules,
    Transcript,
    Usage,
    classify,
    json_line,
    usage_of,
)

__all__ = ["ClaudeExecutor"]

_QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}
_CREDENTIALS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN")
_CLOUDS = ("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY")
_LOGIN = "run `claude` once and log in, or set ANTHROPIC_API_KEY"

_ERRORS: Mapping[str, OutcomeKind] = {
    "authentication_failed": OutcomeKind.AUTH_ERROR,
    "oauth_org_not_allowed": OutcomeKind.AUTH_ERROR,
    "billing_error": OutcomeKind.QUOTA_EXHAUSTED,
    "rate_limit": OutcomeKind.RATE_LIMITED,
    "overloaded": OutcomeKind.UNAVAILABLE,
    "server_error": OutcomeKind.UNAVAILABLE,
    "model_not_found": OutcomeKind.CONFIG_ERROR,
    "invalid_request": OutcomeKind.CONFIG_ERROR,
    "max_output_tokens": OutcomeKind.LIMIT_REACHED,
}
"""The class that Claude Code gives an API error (``assistant.error``), and what it means here."""

_SUBTYPES: Mapping[str, OutcomeKind] = {
    "error_max_turns": OutcomeKind.LIMIT_REACHED,
    "error_max_budget_usd": OutcomeKind.BUDGET_EXCEEDED,
}

_WORDS: Rules = (
    (r"credit balance is too low", OutcomeKind.QUOTA_EXHAUSTED),
    (r"not logged in|run /login|invalid api key|authentication", OutcomeKind.AUTH_ERROR),
    (
        r"invalid session id|unknown option|no conversation found|already in use|cannot be used with root|"
        r"invalid value|error: option",
        OutcomeKind.CONFIG_ERROR,
    ),
    (r"quota", OutcomeKind.QUOTA_EXHAUSTED),
    (r"overloaded|connection .*(lost|refused)|econn|timed? ?out|\b5\d\d\b", OutcomeKind.UNAVAILABLE),
)


class ClaudeExecutor(AgentExecutor):
    """Claude Code.

    Options, beside those of every agent:
        permission_mode: ``acceptEdits`` (default), ``dontAsk``, ``plan``, ``auto``, ``bypassPermissions``.
        allowed_tools, disallowed_tools: lists of tools, such as ``Bash(npm test:*)``.
        max_turns: turns of one attempt.
        max_retries: retries of the program itself on API errors (default 2: the retry loop is Autopilot's).
        append_system_prompt: text added to its system prompt.
        bare: hermetic runs without the user's hooks, skills and memory files.
        slots, quota_pool: as the core reads them.
    """

    name: ClassVar[str] = "claude-code"
    capabilities: ClassVar[frozenset[str]] = frozenset({"code", "review"})
    environment: ClassVar[tuple[str, ...]] = ("ANTHROPIC_", "CLAUDE_")
    program: ClassVar[str] = "claude"
    install_hint: ClassVar[str] = "npm install -g @anthropic-ai/claude-code"
    login_hint: ClassVar[str] = _LOGIN
    newest_known: ClassVar[str] = "2.1.330"
    totals_continue: ClassVar[bool] = True
    own_options: ClassVar[frozenset[str]] = frozenset(
        {
            "permission_mode",
            "allowed_tools",
            "disallowed_tools",
            "max_turns",
            "max_retries",
            "append_system_prompt",
            "bare",
        }
    )

    def describe(self) -> ExecutorInfo:
        """The high tier: architecture, refactoring, security, debugging, migration."""
        model = self.options.get("model")
        return ExecutorInfo(
            name=self.name,
            capabilities=self.capabilities,
            tier="high",
            quota_pool="anthropic",
            model=str(model) if model else None,
        )

    def missing_credentials(self, environ: Mapping[str, str]) -> str:
        """A key, a token, a cloud provider, or a stored login."""
        home = environ.get("CLAUDE_CONFIG_DIR") or os.path.join(os.path.expanduser("~"), ".claude")
        if any(environ.get(name) for name in (*_CREDENTIALS, *_CLOUDS)):
            return ""
        return "" if os.path.exists(os.path.join(home, ".credentials.json")) else "no credentials were found"

    # ---------------------------------------------------------------- running

    def command(self, context: AttemptContext) -> Command:
        """The prompt goes by stdin; a session id of our own makes a resume possible after any end."""
        argv = [self.program, "-p", "--output-format", "stream-json", "--verbose"]
        argv += ["--permission-mode", str(self.options.get("permission_mode") or "acceptEdits")]
        session = self.session_to_resume(context)
        argv += ["--resume", session] if session else ["--session-id", _new_session(context)]
        argv += self._limits(context)
        retries = str(self.options.get("max_retries", 2))
        return Command(
            [*argv, *self.more_arguments()],
            stdin=context.prompt,
            env={**_QUIET, "CLAUDE_CODE_MAX_RETRIES": retries},
        )

    def _limits(self, context: AttemptContext) -> list[str]:
        values = {
            "--model": self.model_for(context),
            "--max-turns": self.options.get("max_turns"),
            "--max-budget-usd": context.task.budget_usd,
            "--append-system-prompt": self.options.get("append_system_prompt"),
        }
        words = [word for flag, value in values.items() if value for word in (flag, str(value))]
        for flag, key in (("--allowedTools", "allowed_tools"), ("--disallowedTools", "disallowed_tools")):
            tools = self.options.get(key)
            if tools:
                # One word, joined: these flags would swallow every word that follows them.
                words.append(f"{flag}={tools if isinstance(tools, str) else ','.join(map(str, tools))}")
        return [*words, "--bare"] if self.options.get("bare") else words

    def parse(self, line: str, stream: str) -> Progress | None:
        """Live progress, and everything that ``judge`` needs."""
        event = json_line(line) if stream == "stdout" else None
        kind = event.get("type") if event else None
        if event is None or kind not in ("system", "assistant", "result", "rate_limit_event"):
            return None
        session = event.get("session_id")
        told: dict[str, Any] = {"session_id": session if isinstance(session, str) else None}
        if kind == "result":
            told |= {"usage": _usage(event), "cost_usd": _number(event.get("total_cost_usd")), "final": True}
            told["turns"] = event["num_turns"] if isinstance(event.get("num_turns"), int) else None
        elif kind == "assistant":
            told["message"] = _said(event)
        elif event.get("subtype") == "init" and isinstance(event.get("model"), str):
            told["model"] = event["model"]
        return Progress(**told)

    # ---------------------------------------------------------------- judging

    def judge(self, exit_code: int, transcript: Transcript) -> Outcome:
        """By the closing event; an API failure has subtype ``success`` and ``is_error`` true, and a refused tool
        shows in ``permission_denials`` only."""
        result = transcript.last(type="result")
        if result is None:
            return self._without_result(exit_code, transcript)
        text = _text(result.get("result")) or _text(result.get("errors")) or str(result.get("subtype"))
        subtype = str(result.get("subtype"))
        if subtype in _SUBTYPES:
            return Outcome(kind=_SUBTYPES[subtype], message=f"{subtype}: {text}")
        if result.get("is_error") or exit_code != 0:
            return self._failed(result, text, transcript)
        denials = result.get("permission_denials")
        if denials:
            return Outcome(
                kind=OutcomeKind.DENIED,
                message=f"it was refused: {_tools(denials)}",
                hint="allow it with executors.claude-code.allowed_tools or permission_mode, then retry the task",
            )
        return Outcome(kind=OutcomeKind.SUCCEEDED, message=text[:500])

    def _failed(self, result: Mapping[str, Any], text: str, transcript: Transcript) -> Outcome:
        if str(result.get("terminal_reason", "")).startswith("aborted"):
            return Outcome(kind=OutcomeKind.FAILED, message="it was interrupted")
        error = next(
            (
                e["error"]
                for e in reversed(transcript.records)
                if isinstance(e.get("error"), str) and e.get("type") == "assistant"
            ),
            "",
        )
        status = result.get("api_error_status")
        kind = classify(text, _WORDS[:1]) or _ERRORS.get(error) or _by_status(status) or classify(text, _WORDS)
        if kind is OutcomeKind.RATE_LIMITED and classify(text, ((r"quota|billing", OutcomeKind.QUOTA_EXHAUSTED),)):
            kind = OutcomeKind.QUOTA_EXHAUSTED
        return Outcome(
            kind=kind or OutcomeKind.FAILED,
            message=text[:500],
            hint=_LOGIN if kind is OutcomeKind.AUTH_ERROR else "",
            reset_at=_reset(transcript),
            evidence={"error": error, "status": status},
        )

    def _without_result(self, exit_code: int, transcript: Transcript) -> Outcome:
        said = transcript.last_line("stderr") or transcript.last_line("stdout")
        kind = classify(said, _WORDS)
        if exit_code == 0 or kind is None:
            kind = OutcomeKind.PROTOCOL_VIOLATION if exit_code == 0 else OutcomeKind.FAILED
        message = f"exit code {exit_code} without a closing event" + (f": {said[:400]}" if said else "")
        return Outcome(kind=kind, message=message, hint=_LOGIN if kind is OutcomeKind.AUTH_ERROR else "")


def _new_session(context: AttemptContext) -> str:
    """Claude Code takes UUIDs only, and each once; the run folder makes it this attempt's own."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"autopilot:{context.run_dir}:{context.task.id}:{context.number}"))


def _by_status(status: object) -> OutcomeKind | None:
    if not isinstance(status, int):
        return None
    known = {401: OutcomeKind.AUTH_ERROR, 403: OutcomeKind.AUTH_ERROR, 429: OutcomeKind.RATE_LIMITED}
    known |= {400: OutcomeKind.CONFIG_ERROR, 404: OutcomeKind.CONFIG_ERROR}
    return OutcomeKind.UNAVAILABLE if status >= 500 else known.get(status)


def _reset(transcript: Transcript) -> datetime | None:
    """A subscription window's end, else the program's own next retry."""
    window = (transcript.last(type="rate_limit_event") or {}).get("rate_limit_info")
    at = _number(window.get("resetsAt")) if isinstance(window, Mapping) else None
    delay = _number((transcript.last(type="system", subtype="api_retry") or {}).get("retry_delay_ms"))
    try:
        if at:
            return datetime.fromtimestamp(at, UTC)
        return datetime.now(UTC) + timedelta(milliseconds=delay) if delay else None
    except (OverflowError, ValueError, OSError):
        return None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _usage(event: Mapping[str, Any]) -> Usage | None:
    cached = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return usage_of(event.get("usage"), input="input_tokens", output="output_tokens", cached=cached)


def _said(event: Mapping[str, Any]) -> str | None:
    message = event.get("message")
    content = message.get("content") if isinstance(message, Mapping) else None
    for block in content if isinstance(content, list) else ():
        if isinstance(block, Mapping) and block.get("type") == "tool_use":
            return f"uses {block.get('name')}"
        if isinstance(block, Mapping) and isinstance(block.get("text"), str):
            return str(block["text"]).strip()[:200] or None
    return None


def _text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return "; ".join(str(item) for item in value) if isinstance(value, list) else ""


def _tools(denials: object) -> str:
    names = (
        [str(d.get("tool_name")) for d in denials if isinstance(d, Mapping)] if isinstance(denials, list) else []
    )
    return ", ".join(dict.fromkeys(names)) or "a tool"
