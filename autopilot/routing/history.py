"""What the event log teaches the router: outcomes folded into quality and health.

The log is the truth, and this state is a cache of it: it can be rebuilt from the first event to the same bits, and
a checkpoint only saves the time. An outcome counts once, however often a crash put it into the log.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from autopilot.models import POLICIES, Event, OutcomeKind
from autopilot.routing.health import HealthBook
from autopilot.routing.parameters import Parameters
from autopilot.routing.quality import Quality
from autopilot.system.clock import parse_instant
from autopilot.system.durable import read_file, replace_file

__all__ = ["REMEMBERED_ATTEMPTS", "History"]

REMEMBERED_ATTEMPTS = 4096
"""How many of the last attempts are remembered to drop repeats. A crash repeats what it cut off within the next
tick, so repeats are a few events apart and not thousands."""

_SCHEMA = 1
_RELEVANT = re.compile(
    rb'"event_type":\s*"(?:(dispatch\.decision)|dispatch\.result|executor\.reset|task\.reclaimed)"'
)


class _Fact(NamedTuple):
    """The parts of an event that all handlers need; a tuple, because there may be 100,000 of them to fold."""

    id: str
    task: str
    now: float
    payload: Mapping[str, Any]

    @property
    def attempt(self) -> str:
        """The key of the attempt; the event's own id where the payload has no number."""
        number = self.payload.get("attempt")
        return self.id if number is None else f"{self.task}.{number}"


class History:
    """Quality and health, as the events tell them.

    Attributes:
        quality, health: the folded state, to be given to a ``Router``.
        cursor: where in the log the fold stands, as the caller told it (any JSON value); None at the start.
        folded: how many outcomes counted so far.
    """

    def __init__(self, parameters: Parameters | None = None) -> None:
        self.parameters = parameters or Parameters()
        self._handlers: dict[str, Callable[[_Fact], bool]] = {
            "dispatch.decision": self._decision,
            "dispatch.result": self._result,
            "executor.reset": self._reset,
            "task.reclaimed": self._reclaimed,
        }
        self._clear()

    def _clear(self) -> None:
        self.quality = Quality(self.parameters)
        self.health = HealthBook(self.parameters)
        self.cursor: Any = None
        self.folded = 0
        self._seen: OrderedDict[str, None] = OrderedDict()

    # ------------------------------------------------------------------ folding

    def fold(self, events: Iterable[Mapping[str, Any] | Event], cursor: Any = None) -> int:
        """Fold events in the order of the log; of those that do not concern routing nothing is read.

        Args:
            events: parsed lines of the log, or ``Event`` objects.
            cursor: where the log goes on after them; None leaves the cursor as it is.

        Returns:
            How many outcomes counted. Repeats, and events of a shape that this version does not know, do not.
        """
        before = self.folded
        for event in events:
            kind = event.event_type if isinstance(event, Event) else event.get("event_type")
            handler = self._handlers.get(kind) if isinstance(kind, str) else None
            fact = _read(event) if handler else None
            if handler and fact and handler(fact):
                self.folded += 1
        if cursor is not None:
            self.cursor = cursor
        return self.folded - before

    def fold_lines(self, lines: Iterable[bytes], cursor: Any = None) -> int:
        """``fold`` for raw lines of the log; lines that cannot matter are not even parsed.

        Decisions, the longest lines, matter only while somebody's breaker is open. Lines that are no JSON are
        skipped: the log's own ``verify`` reports them.
        """
        return self.fold(self._relevant(lines), cursor)

    def _relevant(self, lines: Iterable[bytes]) -> Iterator[Mapping[str, Any]]:
        for line in lines:
            found = _RELEVANT.search(line)
            if found and not (found[1] and self.health.calm):
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                if isinstance(event, dict):
                    yield event

    def _result(self, fact: _Fact) -> bool:
        payload, executor = fact.payload, str(fact.payload.get("executor") or "")
        outcome = payload.get("outcome")
        kind = _KINDS.get(outcome) if isinstance(outcome, str) else None
        if not executor or kind is None or not self._first_time(fact.attempt):
            return False
        pool = str(payload.get("pool") or "")
        if payload.get("host_fault"):
            self.health.ended(executor, pool)
            return True
        policy = POLICIES[kind]
        judged = policy.judged and bool(payload.get("judged", True))
        self.health.observe(
            executor,
            pool,
            kind,
            fact.now,
            _instant(payload.get("reset_at")),
            message=str(payload.get("message") or ""),
            judged=judged,
        )
        if judged:
            success = policy.success and bool(payload.get("success", True))
            cost, seconds = _number(payload.get("cost_usd")), _number(payload.get("duration_s"))
            self.quality.observe(executor, str(payload.get("task_type") or "general"), success, cost, seconds)
        return True

    def _decision(self, fact: _Fact) -> bool:
        executor = fact.payload.get("executor")
        if executor and fact.attempt not in self._seen and not self.health.calm:
            self.health.started(str(executor), fact.now, fact.attempt)
        return False

    def _reclaimed(self, fact: _Fact) -> bool:
        executor = fact.payload.get("executor")
        if executor and not self.health.calm:
            self.health.ended(str(executor))
        return False

    def _reset(self, fact: _Fact) -> bool:
        executor = fact.payload.get("executor")
        if executor and self._first_time(fact.id):
            self.health.reset(str(executor), str(fact.payload.get("pool") or ""))
        return False

    def _first_time(self, key: str) -> bool:
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_ATTEMPTS:
            self._seen.popitem(last=False)
        return True

    # ------------------------------------------------------------------ checkpoints

    def save(self, path: str) -> None:
        """Write a checkpoint. It is a cache: not synced, and deleting it loses nothing.

        Raises:
            StorageError: the disk refuses; an older checkpoint is still there.
        """
        state = {
            "schema": _SCHEMA,
            "parameters": self.parameters.hash,
            "cursor": self.cursor,
            "folded": self.folded,
            "quality": self.quality.dump(),
            "health": self.health.dump(),
            "seen": list(self._seen),
        }
        data = json.dumps(state, separators=(",", ":")).encode()
        replace_file(path, data, point="routing.checkpoint", sync=False)

    def load(self, path: str) -> bool:
        """Continue from a checkpoint; whether it could be used.

        One that is missing, damaged, of another version or of other parameters is not used, and this object then
        starts afresh (``cursor`` None): fold the log from its first event.
        """
        self._clear()
        try:
            state = json.loads(read_file(path))
            if (state["schema"], state["parameters"]) != (_SCHEMA, self.parameters.hash):
                return False
            self.quality.load(state["quality"])
            self.health.load(state["health"])
            self._seen = OrderedDict.fromkeys(str(key) for key in state["seen"])
            self.cursor, self.folded = state["cursor"], int(state["folded"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self._clear()
            return False
        return True


_KINDS = {kind.value: kind for kind in OutcomeKind}


def _read(event: Mapping[str, Any] | Event) -> _Fact | None:
    if isinstance(event, Event):
        identity, trace, timestamp, payload = event.id, event.trace_id, event.timestamp, event.payload
    else:
        identity, trace = str(event.get("id", "")), event.get("trace_id")
        timestamp, payload = event.get("timestamp", ""), event.get("payload") or {}
    now = _instant(timestamp)
    if now is None or not isinstance(payload, Mapping):
        return None
    task = str(payload.get("task_id") or trace or identity.removeprefix("evt-").rsplit(".", 2)[0])
    return _Fact(identity, task, now, payload)


def _instant(text: Any) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        return parse_instant(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
