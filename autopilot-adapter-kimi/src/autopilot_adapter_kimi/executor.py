"""Runs Kimi (``kimi -p``, or the older ``kimi --print``) and judges it by its closing words."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import attrs

from autopilot import (
    AgentExecutor,
    AttemptContext,
    Command,
    CommandExecutor,
    ConfigError,
    ExecutorInfo,
    Health,
    Outcome,
    Progress,
    Transcript,
)
from autopilot_adapter_kimi import dialects, sessions
from autopilot_adapter_kimi.dialects import CURRENT, DIALECTS, PRINT, Dialect
from autopilot_adapter_kimi.judging import LOGIN, heard, judged
from autopilot_adapter_kimi.masking import mask

__all__ = ["KimiExecutor"]

_OWN_HOME = "kimi-home"
_PROMPT_FILE = "kimi-prompt.md"
_LONGEST_ARGUMENT = 32 * 1024
_LINGER_S = 5.0
_LARGEST_CONFIG = 1024 * 1024


@attrs.frozen(kw_only=True)
class _Place:
    """Where one attempt's session lives.

    Attributes:
        home: the program's home.
        own: it is this task's own, below the run folder, and not the user's.
        session: what is resumed.
        offsets: how long its logs were before.
        began: epoch seconds.
    """

    home: Path
    own: bool
    session: sessions.Session | None
    offsets: Mapping[Path, int]
    began: float


class KimiExecutor(AgentExecutor):
    """Kimi Code, and the older kimi-cli.

    Options, beside those of every agent:
        dialect: ``current``, ``print`` or ``auto`` (default): which of the two programs it is.
        max_steps: steps of one attempt.
        max_retries: retries of the program itself on API errors (default 2: the retry loop is Autopilot's).
        longest_wait_s: a rate limit for which the program would wait longer ends the attempt at once (default 60).
        own_home: whether each task has a home of its own for settings and sessions; by default where the key comes
            from the environment, so that no login is needed.
    """

    name: ClassVar[str] = "kimi"
    capabilities: ClassVar[frozenset[str]] = frozenset({"code", "review"})
    environment: ClassVar[tuple[str, ...]] = ("KIMI_",)
    program: ClassVar[str] = "kimi"
    version_limit_s: ClassVar[float] = 7.0  # a start takes a second, several on a busy machine
    install_hint: ClassVar[str] = dialects.INSTALL
    login_hint: ClassVar[str] = LOGIN
    newest_known: ClassVar[str] = "2.1.0"
    own_options: ClassVar[frozenset[str]] = frozenset(
        {"dialect", "max_steps", "max_retries", "longest_wait_s", "own_home"}
    )

    _found: Dialect | None = None
    _place: _Place | None = None
    _longest_wait_s: float = 60.0

    def describe(self) -> ExecutorInfo:
        """The volume tier: documentation, tests, boilerplate."""
        model = self.options.get("model")
        return ExecutorInfo(
            name=self.name,
            capabilities=self.capabilities,
            tier="volume",
            quota_pool="moonshot",
            model=str(model) if model else None,
        )

    # ---------------------------------------------------------------- health

    def probe(self) -> Health:
        """The program under either name, its dialect, its version, its credentials."""
        self._look_for_older_name()
        health = super().probe()
        if " ended with " in health.reason:  # what an older Node makes of it
            return attrs.evolve(health, hint=f"{health.hint}; it needs Node.js 22.19 or newer")
        if " did not answer within " in health.reason:
            return self._slow(health)
        if not health.ok or self._found is not PRINT:
            return health
        old = f"kimi-cli is no longer maintained: {dialects.INSTALL}"
        return attrs.evolve(health, warning="; ".join(filter(None, [health.warning, old])))

    def _slow(self, health: Health) -> Health:
        """A busy machine is no reason to leave a program alone that npm has installed."""
        version = dialects.packaged_version(shutil.which(self.program) or "")
        if not version:
            return health
        missing = self.missing_credentials(self.environ)
        reason = f"{self.program} {version}" + (f": {missing}" if missing else "")
        known = Health(ok=not missing, reason=reason, hint=LOGIN if missing else "", version=version)
        return attrs.evolve(known, dialect=CURRENT.name, warning=health.reason)

    def version_says(self, text: str) -> Health:
        """The last release of kimi-cli answers everything with a notice and exit code 0: no agent any more."""
        if dialects.is_gone(text):
            return Health(ok=False, reason=f"{self.program}: {text.splitlines()[-1]}", hint=dialects.INSTALL)
        self._found = dialects.by_its_version(text)
        return attrs.evolve(super().version_says(text), dialect=self._found.name)

    def missing_credentials(self, environ: Mapping[str, str]) -> str:
        """A key in the environment, or a home with a provider or a login."""
        dialect = self._dialect()
        if self._keyed(environ, dialect):
            return ""
        home = _users_home(environ, dialect)
        if any(home.glob("credentials/*")) or _names_a_provider(home):
            return ""
        lacks = dialect is CURRENT and environ.get(dialect.key)
        return "KIMI_MODEL_API_KEY is set, but no KIMI_MODEL_NAME" if lacks else "no credentials were found"

    def _look_for_older_name(self) -> None:
        if not self.options.get("program") and not shutil.which("kimi") and shutil.which("kimi-cli"):
            self.program = "kimi-cli"  # type: ignore[misc]

    def _dialect(self) -> Dialect:
        """As configured, or as the program's file tells, or by asking the program."""
        chosen = self.options.get("dialect", "auto")
        if chosen != "auto" and chosen not in DIALECTS:
            hint = f"one of: auto, {', '.join(DIALECTS)}"
            raise ConfigError(f"executors.kimi.dialect: {chosen!r} is no dialect of Kimi", hint=hint)
        if chosen in DIALECTS:
            return DIALECTS[chosen]
        if self._found is None:
            path = shutil.which(self.program)
            self._found = dialects.by_its_head(path) if path else None
        if self._found is None:
            CommandExecutor.probe(self)
        return self._found or CURRENT

    def _keyed(self, environ: Mapping[str, str], dialect: Dialect) -> bool:
        """Whether the environment alone says which model to ask, and has the key."""
        named = bool(environ.get("KIMI_MODEL_NAME") or self.options.get("model"))
        return bool(environ.get(dialect.key)) and named

    # ---------------------------------------------------------------- running

    def command(self, context: AttemptContext) -> Command:
        """The current program takes its prompt as an argument only: a long one goes into a file. The older one
        reads it from standard input."""
        self._look_for_older_name()
        dialect = self._dialect()
        longest = dialects.whole_number(self.options, "longest_wait_s")
        self._longest_wait_s = 60.0 if longest is None else float(longest)
        place = self._place = self._choose_place(context, dialect)
        argv, env = dialects.loop_limits(dialect, self.options)
        if place.own:
            place.home.mkdir(mode=0o700, exist_ok=True)
            env[dialect.home[0]] = str(place.home)
        model = self.model_for(context)
        if model and self._keyed(context.environment, dialect):
            env["KIMI_MODEL_NAME"] = model
        elif model:
            argv += ["--model", model]
        if place.session:
            argv += ["--session", place.session.id]
        argv = ["--output-format", "stream-json", *argv, *self.more_arguments()]
        env = {**dialect.quiet, **env}
        if dialect is PRINT:
            return Command([self.program, "--print", *argv], stdin=context.prompt, env=env)
        return Command([self.program, f"--prompt={_argument(context)}", *argv], env=env)

    def _choose_place(self, context: AttemptContext, dialect: Dialect) -> _Place:
        own = self.options.get("own_home")
        own = self._keyed(context.environment, dialect) if own is None else bool(own)
        run = Path(context.run_dir)
        earlier = [run.parent / str(number) / _OWN_HOME for number in range(context.number - 1, 0, -1)]
        homes = earlier if own else [_users_home(context.environment, dialect)]
        wanted = self.session_to_resume(context)
        found = [(home, sessions.find(home, wanted, context.workdir)) for home in homes] if wanted else []
        home, session = next(((home, session) for home, session in found if session), (None, None))
        home = home or (run / _OWN_HOME if own else homes[0])
        return _Place(home=home, own=own, session=session, offsets=sessions.offsets(session), began=time.time())

    def run(self, context: AttemptContext) -> Outcome:
        """Run and judge; tokens, turns and the session of a failed run come from the program's own records."""
        linger_s = min(_LINGER_S, context.limits.linger_s)
        outcome = super().run(attrs.evolve(context, limits=attrs.evolve(context.limits, linger_s=linger_s)))
        place, self._place = self._place, None
        if place is None:
            return outcome
        if place.own:
            mask(place.home, context.environment)
        return self._completed(outcome, context, place)

    def _completed(self, outcome: Outcome, context: AttemptContext, place: _Place) -> Outcome:
        session = (
            sessions.find(place.home, outcome.session_id, context.workdir)
            if outcome.session_id
            else place.session or sessions.newest(place.home, context.workdir, place.began)
        )
        if session is None:
            return outcome
        spent = sessions.spent(session, place.offsets)
        model = outcome.model or spent.model
        return attrs.evolve(outcome, session_id=session.id, usage=spent.usage, turns=spent.calls, model=model)

    def parse(self, line: str, stream: str) -> Progress | None:
        """Live progress, and everything that ``judge`` needs."""
        return heard(line, longest_wait_s=self._longest_wait_s)

    def judge(self, exit_code: int, transcript: Transcript) -> Outcome:
        """By the closing words; see ``judging``."""
        return judged(exit_code, transcript, dialect=self._dialect(), longest_wait_s=self._longest_wait_s)


def _argument(context: AttemptContext) -> str:
    """The prompt, or where it can be read."""
    prompt = context.prompt.encode("utf-8", "replace")
    if len(prompt) <= _LONGEST_ARGUMENT and b"\0" not in prompt:
        return prompt.decode()
    path = os.path.join(context.run_dir, _PROMPT_FILE)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(prompt)
    return (
        f"Your task is written in the file `{path}`. Read all of it first, in several parts if it is too long for "
        "one, then do what it says."
    )


def _users_home(environ: Mapping[str, str], dialect: Dialect) -> Path:
    variable, folder = dialect.home
    chosen = environ.get(variable)
    return Path(chosen) if chosen else Path(environ.get("HOME") or os.path.expanduser("~")) / folder


def _names_a_provider(home: Path) -> bool:
    """Whether the settings name a provider; an untouched file that the program itself made does not."""
    for name in ("config.toml", "config.json"):
        try:
            with open(home / name, "rb") as file:
                text = file.read(_LARGEST_CONFIG)
        except OSError:
            continue
        if b"[providers." in text or b"api_key" in text:
            return True
    return False
