"""The sink: wakes the gateway's agent with a short word when a task is done or blocked."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from autopilot import AutopilotError, ConfigError, Event
from autopilot_adapter_openclaw.address import ADDRESS_OPTIONS, Address, token_from, word_of
from autopilot_adapter_openclaw.gateway import CallError, call

__all__ = ["Notifier"]

LIMIT_S = 1.0
"""A sink may take 2 s before it is taken for hanging."""

_REST_S = 60.0
_REMEMBERED = 1024
_TYPES: Mapping[str, str] = {"task.done": "is done", "task.blocked": "is blocked"}
_OPTIONS = ADDRESS_OPTIONS | {"notify", "agent", "mode"}
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}\Z")


class Notifier:
    """Posts results to ``/hooks/wake``. Never raises, never waits long, and rests after a failure.

    The gateway takes wake texts for trusted: so they are made of ids and words of Autopilot's own only, never of
    what a task's author or an agent wrote.
    """

    def __init__(
        self,
        address: Address,
        *,
        agent: str = "main",
        mode: str = "now",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._agent = agent
        self._mode = mode
        self._clock = clock
        self._told: OrderedDict[str, None] = OrderedDict()
        self._rests_until = 0.0
        self._busy: threading.Thread | None = None
        self._missed = 0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Notifier | None:
        """The notifier that ``plugins.openclaw`` asks for, None where ``notify`` is not true.

        Raises:
            ConfigError: an option is unknown or wrong.
        """
        unknown = sorted(set(options) - _OPTIONS - {"token", "hook_token", "gateway_token"})
        if unknown:
            known = ", ".join(sorted(_OPTIONS))
            raise ConfigError(f"plugins.openclaw does not know {', '.join(unknown)}", hint=f"it knows {known}")
        address = Address.from_options(options)
        mode, notify = options.get("mode") or "now", options.get("notify", False)
        if mode not in ("now", "next-heartbeat") or not isinstance(notify, bool):
            raise ConfigError("plugins.openclaw: mode is now or next-heartbeat, notify is true or false")
        agent = word_of(str(options.get("agent") or "main"), "the agent")
        return cls(address, agent=agent, mode=mode) if notify else None

    def tell(self, event: Event) -> None:
        """Post the event if it is a result, and was not told before."""
        if event.event_type not in _TYPES or event.id in self._told:
            return
        self._told[event.id] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        if self._clock() < self._rests_until or (self._busy is not None and self._busy.is_alive()):
            self._missed += 1
            return
        missed, self._missed = self._missed, 0
        more = f" {missed} results before it were not told." if missed else ""
        # A name server that hangs cannot be given a deadline: a thread of its own can be left behind.
        self._busy = threading.Thread(target=self._post, args=(_sentence(event) + more,), daemon=True)
        try:
            self._busy.start()
            self._busy.join(LIMIT_S + 0.3)
        except RuntimeError:  # no thread left under this user's limit
            self._rest()

    def _post(self, text: str) -> None:
        try:
            token = token_from(os.environ, self._address.hook_token_env)
            body = {"text": text, "mode": self._mode, "agentId": self._agent}
            path = f"{self._address.hooks_path}/wake"
            if (
                not token
                or call(self._address, "POST", path, limit_s=LIMIT_S, token=token, body=body).status != 200
            ):
                self._rest()
        except (CallError, AutopilotError, OSError):
            self._rest()

    def _rest(self) -> None:
        self._missed += 1
        self._rests_until = self._clock() + _REST_S


def _sentence(event: Event) -> str:
    payload = event.payload
    result, reason = payload.get("result"), payload.get("reason")
    words = {
        "executor": result.get("executor") if isinstance(result, Mapping) else None,
        "outcome": result.get("outcome") if isinstance(result, Mapping) else None,
        "reason": reason.get("code") if isinstance(reason, Mapping) else None,
        "attempt": payload.get("attempt"),
    }
    told = [f"{name} {value}" for name, value in words.items() if value is not None and _WORD.match(str(value))]
    task = event.trace_id if _WORD.match(str(event.trace_id)) else "(unnamed)"
    more = f" ({', '.join(told)})" if told else ""
    return f"Autopilot: task {task} {_TYPES[event.event_type]}{more}. See `autopilotctl task show {task}`."
