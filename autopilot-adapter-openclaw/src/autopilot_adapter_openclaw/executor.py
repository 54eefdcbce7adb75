"""Does attempts through a running OpenClaw gateway: ``/v1/responses`` where it is on, else the webhook."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from autopilot import (
    AttemptContext,
    AutopilotError,
    ConfigError,
    Executor,
    ExecutorInfo,
    Health,
    Outcome,
    OutcomeKind,
    Progress,
    SetupError,
)
from autopilot_adapter_openclaw import asked
from autopilot_adapter_openclaw.address import ADDRESS_OPTIONS, Address, token_from, word_of
from autopilot_adapter_openclaw.gateway import (
    Answer,
    CallError,
    LostAnswerError,
    NotSentError,
    SenselessError,
    call,
)
from autopilot_adapter_openclaw.judging import judge_hook, judge_response, said

__all__ = ["OpenClawExecutor"]

_START = "start it with `openclaw gateway run`, or correct executors.openclaw.url"
_PROBE_S = 2.0
_NO_TOKEN = "no_token"
_BROKEN_IN_A_ROW = 6
_LONGEST_PAUSE_S = 30.0
_HOOK_BYTES = 256 * 1024
_OPTIONS = ADDRESS_OPTIONS | {"door", "agent", "model", "resume", "tell_folder", "slots"}


class OpenClawExecutor(Executor):
    """An agent of an OpenClaw gateway.

    Options:
        url: the gateway's address; ``http://127.0.0.1:18789`` by default.
        door: ``responses``, ``hook``, or ``auto`` (default): the first that is open and has its token.
        agent: the agent's id; ``main`` by default.
        model: ``provider/model``, unless the task names one; the agent's own by default.
        resume: whether a retry goes on with the session of the attempt before (``responses`` only; default true).
        tell_folder: whether the prompt names the work folder; by default where the gateway is on this machine.
        gateway_token_env, hook_token_env: variables that hold the tokens.
        hooks_path, allow_plain_http, ca_file: as the README says.
    """

    name: ClassVar[str] = "openclaw"
    capabilities: ClassVar[frozenset[str]] = frozenset({"code", "review"})

    def __init__(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rejoin_s: float = 300.0,
    ) -> None:
        super().__init__(options)
        self._clock = clock
        self._sleep = sleep
        self._rejoin_s = rejoin_s
        names = [
            str(self.options.get(f"{kind}_token_env") or f"OPENCLAW_{word}_TOKEN")
            for kind, word in (("gateway", "GATEWAY"), ("hook", "HOOKS"))
        ]
        # Just the two tokens: nothing else of OpenClaw's environment is this executor's business.
        self.environment = tuple(names)  # type: ignore[misc]

    def describe(self) -> ExecutorInfo:
        """Of no tier: that depends on the model behind the gateway."""
        model = self.options.get("model")
        return ExecutorInfo(name=self.name, capabilities=self.capabilities, model=str(model) if model else None)

    # ---------------------------------------------------------------- health

    def probe(self) -> Health:
        """Whether the gateway is ready, and which of its doors is open to us; costs no run and no token."""
        try:
            address = Address.from_options(self.options)
            door = self._door(address, self.environ)
            ready = call(address, "GET", "/readyz", limit_s=_PROBE_S)
        except AutopilotError as fault:
            return Health(ok=False, reason=fault.message, hint=fault.hint)
        except CallError as fault:
            return Health(ok=False, reason=f"the gateway does not answer: {fault}", hint=_START)
        if ready.status != 200:
            return Health(
                ok=False, reason=f"the gateway is not ready (HTTP {ready.status})", hint="wait, or " + _START
            )
        where = f"gateway at {address.host}:{address.port}"
        return Health(ok=True, reason=f"{where}, by {door}", dialect=door, warning=self._warning(door))

    def _warning(self, door: str) -> str:
        unknown = sorted(set(self.options) - _OPTIONS)
        words = [f"unknown options: {', '.join(unknown)}"] if unknown else []
        if door == "hook":
            words.append("the webhook marks prompts as untrusted and tells neither words nor tokens nor reasons")
        return "; ".join(words)

    def _door(self, address: Address, environ: Mapping[str, str]) -> str:
        """The first door that is open and has its token."""
        wanted = str(self.options.get("door") or "auto")
        if wanted not in ("auto", "responses", "hook"):
            raise ConfigError(f"door {wanted!r} is unknown", hint="it is auto, responses or hook")
        doors = {
            "responses": (address.gateway_token_env, "/v1/responses"),
            "hook": (address.hook_token_env, f"{address.hooks_path}/agent"),
        }
        missing, shut = [], []
        for door, (variable, path) in doors.items():
            if wanted not in ("auto", door):
                continue
            if not token_from(environ, variable):
                missing.append(f"{variable} is not set")
            # Both take POST only, and say so without looking at the token; a door that is shut is not found.
            elif call(address, "GET", path, limit_s=_PROBE_S).status == 405:
                return door
            else:
                shut.append(f"{path} is not switched on")
        raise SetupError(
            "no door of the gateway is open to us: " + ", ".join([*missing, *shut]),
            code="" if shut else _NO_TOKEN,
            hint=f"set {address.gateway_token_env} and switch gateway.http.endpoints.responses on, or "
            f"set {address.hook_token_env} and switch hooks on",
        )

    # ---------------------------------------------------------------- running

    def run(self, context: AttemptContext) -> Outcome:
        """Send the prompt, wait for the end of the run, and judge what came back."""
        try:
            address = Address.from_options(self.options)
            door = self._door(address, context.environment)
            work = self._by_responses if door == "responses" else self._by_hook
            return work(context, address, self._clock() + context.limits.deadline_s)
        except AutopilotError as fault:
            kind = OutcomeKind.AUTH_ERROR if fault.code == _NO_TOKEN else OutcomeKind.CONFIG_ERROR
            return Outcome(kind=kind, message=fault.message, hint=fault.hint)
        except CallError as fault:
            return _without_answer(fault)

    def _by_responses(self, context: AttemptContext, address: Address, deadline: float) -> Outcome:
        """One request, as long as the run; where it ends early, closing the connection ends the run."""
        session = (
            context.session_id if context.session_id and self.options.get("resume", True) else _session(context)
        )
        headers = {"x-openclaw-session-key": word_of(session, "the session's key")}
        model = context.task.model or self.options.get("model")
        if model:
            headers["x-openclaw-model"] = word_of(str(model), "the model")
        body = {"model": f"openclaw/{self._agent()}", "input": self._prompt(context, address)}
        context.report(
            Progress(message=f"asks {address.host}:{address.port} by /v1/responses", session_id=session)
        )
        asked.record(context, door="responses", session=session, headers=headers, body=body)
        token = token_from(context.environment, address.gateway_token_env)
        try:
            answer = call(
                address,
                "POST",
                "/v1/responses",
                limit_s=max(0.1, deadline - self._clock()),
                token=token,
                headers=headers,
                body=body,
            )
        except LostAnswerError as fault:
            return self._lost(fault, deadline, "the gateway ends a run whose connection is gone")
        answer = _without(answer, token)
        sys.stdout.write(said(answer.json() or {}) + "\n")
        outcome = judge_response(answer, token=address.gateway_token_env, now=datetime.now(UTC))
        return _evolved(outcome, session_id=session, model=str(model) if model else None)

    def _by_hook(self, context: AttemptContext, address: Address, deadline: float) -> Outcome:
        """One run, however often its request is sent, and by however many attempts: the key joins a request to the
        run that is already there."""
        body: dict[str, Any] = {
            "message": self._prompt(context, address),
            "name": "Autopilot",
            "agentId": self._agent(),
            "deliver": False,
            "waitForCompletion": True,
            # A run cannot be ended from outside by this door: so it gets its own limit from the start.
            "timeoutSeconds": max(1, int(context.limits.deadline_s)),
        }
        model = context.task.model or self.options.get("model")
        if model:
            body["model"] = str(model)
        words = asked.words_of(context, self._agent(), str(model))
        key = asked.open_key(context, words) or word_of(f"{context.task.id}.{context.number}", "the key")
        if len(json.dumps(body)) > _HOOK_BYTES:
            return Outcome(
                kind=OutcomeKind.FAILED,
                message="the prompt is larger than the webhook's limit of 256 KiB",
                hint="shorten the task, or switch gateway.http.endpoints.responses on: it takes 20 MB",
            )
        asked.record(context, door="hook", key=key, words=words, body=body)
        return self._joined(context, address, key, body, deadline)

    def _joined(
        self, context: AttemptContext, address: Address, key: str, body: Mapping[str, Any], deadline: float
    ) -> Outcome:
        sent, broken = False, 0
        while True:
            context.report(Progress(message=f"waits for run {key} at {address.host}:{address.port}"))
            token = token_from(context.environment, address.hook_token_env)
            began = self._clock()
            limit = max(0.1, min(self._rejoin_s, deadline - began))
            headers = {"Idempotency-Key": key}
            path = f"{address.hooks_path}/agent"
            try:
                answer = call(address, "POST", path, limit_s=limit, token=token, headers=headers, body=body)
            except (LostAnswerError, NotSentError) as fault:
                sent = sent or isinstance(fault, LostAnswerError)
                if not sent:
                    raise
                # To wait in vain for minutes is the way of a long run; to break at once is not.
                broken = 0 if self._clock() - began >= limit else broken + 1
                pause = min(2.0 ** (broken - 1), _LONGEST_PAUSE_S) if broken else 0.0
                if broken >= _BROKEN_IN_A_ROW or deadline - self._clock() <= pause:
                    then = f"run {key} may still go on in the gateway"
                    return self._lost(fault, deadline, then, evidence={asked.OPEN: True})
                self._sleep(pause)
                continue
            return judge_hook(_without(answer, token), token=address.hook_token_env, now=datetime.now(UTC))

    def _lost(
        self, fault: CallError, deadline: float, then: str, *, evidence: Mapping[str, Any] | None = None
    ) -> Outcome:
        late = self._clock() >= deadline - 0.05
        return Outcome(
            kind=OutcomeKind.TIMED_OUT if late else OutcomeKind.UNAVAILABLE,
            message=f"{fault}; {then}",
            hint=_START,
            # At its limit the run ends by itself: the next attempt begins a new one.
            evidence={} if late or evidence is None else evidence,
        )

    def _agent(self) -> str:
        return word_of(str(self.options.get("agent") or "main"), "the agent")

    def _prompt(self, context: AttemptContext, address: Address) -> str:
        """The gateway's agent has a folder of its own, so the task's is named where it means something there."""
        if not self.options.get("tell_folder", address.loopback):
            return context.prompt
        return (
            f"The current folder of this task is {context.workdir}\n"
            "Use absolute paths below it for every file, and make it the working folder of every command.\n\n"
            + context.prompt
        )


def _session(context: AttemptContext) -> str:
    """A session of this attempt's own; the run folder tells equal ids of two roots apart."""
    place = hashlib.sha256(os.fsencode(context.run_dir)).hexdigest()[:12]
    return f"autopilot-{context.task.id}.{context.number}-{place}"


def _without(answer: Answer, token: str) -> Answer:
    """The answer without our token, which a peer may have sent back."""
    return Answer(answer.status, answer.headers, answer.body.replace(token.encode(), b"[redacted]"))


def _evolved(outcome: Outcome, **changes: Any) -> Outcome:
    import attrs

    return attrs.evolve(outcome, **changes)


def _without_answer(fault: CallError) -> Outcome:
    if isinstance(fault, SenselessError):
        return Outcome(kind=OutcomeKind.PROTOCOL_VIOLATION, message=str(fault), hint=_START)
    if isinstance(fault, NotSentError) and fault.mistrusted:
        hint = "set ca_file to the certificate of the gateway's issuer"
        return Outcome(kind=OutcomeKind.CONFIG_ERROR, message=str(fault), hint=hint)
    return Outcome(kind=OutcomeKind.UNAVAILABLE, message=str(fault), hint=_START)
