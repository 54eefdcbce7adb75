"""Runs ``codex exec --json``: the prompt by standard input, events out, judged by the closing one."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from autopilot import (
    AgentExecutor,
    AttemptContext,
    Command,
    ExecutorInfo,
    Outcome,
    Progress,
    Transcript,
    json_line,
)
from autopilot_adapter_codex import home, judging, words

__all__ = ["CodexExecutor"]

_QUIET = ("--disable", "plugins", "-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false")
"""Else it asks GitHub for its plugins, and its maker for news, at every start."""

_THREAD = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_PATIENCE = 3
"""So many lines ``waiting for network`` in a row are enough: they come 3, 12, 25, 48 … seconds after the start."""


class CodexExecutor(AgentExecutor):
    """Codex.

    Options, beside those of every agent:
        sandbox: ``workspace-write`` (default), ``read-only``, ``danger-full-access``.
        network: whether commands in the ``workspace-write`` sandbox may use the network (default false).
        writable: list of further folders that it may write to.
        developer_instructions: text added to its system prompt.
        profile: a profile of its configuration.
        config: mapping of keys of its ``config.toml`` to values that win over the file.
        ignore_user_config: leave the user's ``config.toml`` and rules out (default false).
        home: its ``CODEX_HOME``, unless the environment names one.
    """

    name: ClassVar[str] = "codex"
    capabilities: ClassVar[frozenset[str]] = frozenset({"code", "review"})
    environment: ClassVar[tuple[str, ...]] = (
        *("CODEX_HOME", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN", "CODEX_CA_CERTIFICATE", "CODEX_SQLITE_HOME"),
        *("OPENAI_ORGANIZATION", "OPENAI_PROJECT"),
    )
    program: ClassVar[str] = "codex"
    install_hint: ClassVar[str] = "npm install -g @openai/codex"
    login_hint: ClassVar[str] = judging.LOGIN
    newest_known: ClassVar[str] = "0.169.0"
    totals_continue: ClassVar[bool] = True
    own_options: ClassVar[frozenset[str]] = frozenset(
        {
            "sandbox",
            "network",
            "writable",
            "developer_instructions",
            "profile",
            "config",
            "ignore_user_config",
            "home",
        }
    )

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        super().__init__(options)
        self._offline = 0
        self._afresh = False

    def describe(self) -> ExecutorInfo:
        """A general coding agent: no tier, strong at what is checked by running it."""
        model = self.options.get("model")
        return ExecutorInfo(
            name=self.name,
            capabilities=self.capabilities,
            strong=frozenset({"debugging", "refactor", "tests"}),
            quota_pool="openai",
            model=str(model) if model else None,
        )

    def missing_credentials(self, environ: Mapping[str, str]) -> str:
        """A key, a stored login, or a provider of the user's own."""
        return home.missing_credentials(self.options, environ)

    # ---------------------------------------------------------------- running

    def session_to_resume(self, context: AttemptContext) -> str | None:
        """Threads are UUIDs; anything else would silently start a new one under that name."""
        thread = None if self._afresh else super().session_to_resume(context)
        return thread if thread and _THREAD.fullmatch(thread) else None

    def run(self, context: AttemptContext) -> Outcome:
        """Run and judge; a thread that is gone (another machine, a cleaned home) is begun afresh."""
        outcome = super().run(context)
        if outcome.evidence.get("thread") == judging.GONE and self.session_to_resume(context):
            self._afresh = True
            outcome = super().run(context)
        return outcome

    def command(self, context: AttemptContext) -> Command:
        """The prompt goes by stdin, named by ``-``; every flag stands before ``resume``."""
        self._offline = 0
        argv = [self.program, "exec", "--json", "--skip-git-repo-check", *_QUIET, "-C", context.workdir]
        argv.append(f"--sandbox={self.options.get('sandbox') or 'workspace-write'}")
        argv += [*self._choices(context), *self._settings(), *self.more_arguments()]
        thread = self.session_to_resume(context)
        argv += ["resume", thread] if thread else []
        return Command([*argv, "-"], stdin=context.prompt, env=home.environment(self.options, context))

    def _choices(self, context: AttemptContext) -> list[str]:
        # Joined by "=": a value that begins with a dash stays a value.
        values = {"--model": self.model_for(context), "--profile": self.options.get("profile")}
        argv = [f"{flag}={value}" for flag, value in values.items() if value]
        folders = self.options.get("writable") or ()
        argv += [f"--add-dir={os.path.expanduser(str(folder))}" for folder in _list(folders)]
        return (
            [*argv, "--ignore-user-config", "--ignore-rules"] if self.options.get("ignore_user_config") else argv
        )

    def _settings(self) -> list[str]:
        config = self.options.get("config")
        settings = dict(config) if isinstance(config, Mapping) else {}
        if self.options.get("network"):
            settings["sandbox_workspace_write.network_access"] = True
        if self.options.get("developer_instructions"):
            settings["developer_instructions"] = str(self.options["developer_instructions"])
        return [word for key, value in settings.items() for word in ("-c", f"{key}={_toml(value)}")]

    def parse(self, line: str, stream: str) -> Progress | None:
        """Live progress, and everything that ``judge`` needs.

        Without a network it waits for ever; after ``_PATIENCE`` such lines in a row that counts as its last word.
        """
        event = json_line(line) if stream == "stdout" else None
        if event is None or not words.is_event(event):
            return None
        self._offline = self._offline + 1 if words.waits_for_network(event) else 0
        thread = event.get("thread_id")
        return Progress(
            message=words.said(event),
            usage=words.usage(event),
            session_id=thread if isinstance(thread, str) else None,
            final=event["type"] in words.CLOSING or self._offline >= _PATIENCE,
        )

    def judge(self, exit_code: int, transcript: Transcript) -> Outcome:
        """By the closing event, and by what was refused on the way to it."""
        return judging.judge(exit_code, transcript)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _toml(value: Any) -> str:
    """A value as TOML on one line. JSON's strings and numbers are TOML's too."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value if isinstance(value, bool | int | float) else str(value), ensure_ascii=False)
