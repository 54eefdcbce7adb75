"""Runs ``scribe``: the prompt by standard input, JSON lines out, a closing line as evidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from autopilot import (
    AttemptContext,
    Command,
    CommandExecutor,
    ExecutorInfo,
    Outcome,
    OutcomeKind,
    Progress,
    Transcript,
    Usage,
    json_line,
)

__all__ = ["ScribeExecutor"]


class ScribeExecutor(CommandExecutor):
    """Writes notes. Options: ``program``, the program to run."""

    name: ClassVar[str] = "scribe"
    capabilities: ClassVar[frozenset[str]] = frozenset({"code", "notes"})
    environment: ClassVar[tuple[str, ...]] = ("SCRIBE_",)
    install_hint: ClassVar[str] = "pip install acme-autopilot-scribe"

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self.program = str(self.options.get("program") or "scribe")  # type: ignore[misc]

    def describe(self) -> ExecutorInfo:
        """Good at prose, and cheap."""
        return ExecutorInfo(
            name=self.name, capabilities=self.capabilities, tier="volume", strong=frozenset({"notes"})
        )

    def command(self, context: AttemptContext) -> Command:
        """The prompt never goes onto a command line."""
        return Command([self.program, "--json"], stdin=context.prompt)

    def parse(self, line: str, stream: str) -> Progress | None:
        """``{"type": "progress", "text": …}`` and, last, ``{"type": "result", "ok": …, "words": …}``."""
        said = json_line(line) if stream == "stdout" else None
        if said is None:
            return None
        if said.get("type") == "result":
            words = said.get("words")
            usage = Usage(output_tokens=words) if isinstance(words, int) else None
            return Progress(final=said.get("ok") is True, usage=usage)
        text = said.get("text")
        return Progress(message=text) if isinstance(text, str) else None

    def judge(self, exit_code: int, transcript: Transcript) -> Outcome:
        """Success is the closing line *and* exit code 0; either alone is not."""
        closing = transcript.last(type="result")
        if exit_code == 0 and closing and closing.get("ok") is True:
            return Outcome(kind=OutcomeKind.SUCCEEDED, message="the scribe has written")
        if exit_code == 0:
            return Outcome(kind=OutcomeKind.PROTOCOL_VIOLATION, message="exit code 0 without a closing line")
        said = transcript.last_line("stderr") or f"exit code {exit_code}"
        return Outcome(kind=OutcomeKind.FAILED, message=said)
