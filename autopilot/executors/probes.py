"""Health of executors: probed with a time budget, remembered on disk, so that a tick rarely pays for it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol

import attrs

from autopilot.errors import AutopilotError
from autopilot.models import Health
from autopilot.system.clock import Clock, format_instant, parse_instant
from autopilot.system.durable import ensure_folder, read_file, replace_file
from autopilot.system.exits import staying

__all__ = ["ProbeCache", "Probed", "probe", "probe_all"]

LIMIT_S = 10.0
_HEALTHY_S = 600.0
_UNHEALTHY_S = 30.0
_LARGEST_CACHE = 1024 * 1024


class Probed(Protocol):
    """What is needed of an executor."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    def probe(self) -> Health:
        """Whether it can be tried."""
        ...


def probe_all(executors: Iterable[Probed], *, limit_s: float = LIMIT_S) -> dict[str, Health]:
    """Ask executors for their health, all at the same time; never raises, and takes ``limit_s`` seconds at most.

    Each is asked in a thread, which is left behind if it hangs: it keeps nobody from exiting.
    """
    asked = [_Question(executor) for executor in executors]
    deadline = time.monotonic() + limit_s
    return {question.name: question.answer(deadline, limit_s) for question in asked}


def probe(executor: Probed, *, limit_s: float = LIMIT_S) -> Health:
    """Ask one executor, as ``probe_all`` does."""
    return probe_all([executor], limit_s=limit_s)[executor.name]


class _Question:
    def __init__(self, executor: Probed) -> None:
        self.name = executor.name
        self._answers: list[Health] = []
        self._thread = threading.Thread(
            target=lambda: self._answers.append(_asked(executor)), daemon=True, name=f"probe {executor.name}"
        )
        try:
            self._thread.start()
        except RuntimeError as fault:  # no thread left under this user's limit
            reason = f"{self.name} could not be probed: {fault}"
            self._answers.append(Health(ok=False, reason=reason, hint="check `ulimit -u`"))

    def answer(self, deadline: float, limit_s: float) -> Health:
        """Its answer, waited for until ``deadline``."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._answers:
            return self._answers[0]
        return Health(
            ok=False,
            reason=f"the probe of {self.name} did not answer within {limit_s:g} s",
            hint="run the program by hand and see what it waits for",
        )


def _asked(executor: Probed) -> Health:
    try:
        health: object = staying(executor.probe)
    except AutopilotError as fault:
        return Health(ok=False, reason=fault.message, hint=fault.hint)
    except BaseException as fault:
        return Health(ok=False, reason=f"the probe of {executor.name} failed: {type(fault).__name__}: {fault}")
    if isinstance(health, Health):
        return health
    return Health(ok=False, reason=f"the probe of {executor.name} returned {type(health).__name__}, not Health")


class ProbeCache:
    """Remembers probes in a file that may be deleted at any time.

    An answer counts for ten minutes if all was well and for half a minute if not, and only while PATH, the
    executor's program (place, size, time of change), its class, its options and ``set_env`` are the same.

    Args:
        path: ``state/cache/probes.json``.
        limit_s: seconds that one probe may take.
    """

    def __init__(self, path: str, *, clock: Clock, limit_s: float = LIMIT_S) -> None:
        self._path = path
        self._clock = clock
        self._limit_s = limit_s

    def get(self, executor: Probed, *, fresh: bool = False) -> Health:
        """The health of one executor, asked anew where nothing valid is remembered, or ``fresh``. Never raises."""
        return self.get_all([executor], fresh=fresh)[executor.name]

    def get_all(self, executors: Iterable[Probed], *, fresh: bool = False) -> dict[str, Health]:
        """The health of each, by name; those that must be asked are asked at the same time."""
        wanted = {executor.name: executor for executor in executors}
        known = self._read()
        stamps = {name: _stamp(executor) for name, executor in wanted.items()}
        found = {} if fresh else {name: self._remembered(known.get(name), stamps[name]) for name in wanted}
        healths = {name: health for name, health in found.items() if health is not None}
        asked = self._ask([executor for name, executor in wanted.items() if name not in healths])
        if asked:
            self._write({**known, **{name: _entry(health, stamps[name]) for name, health in asked.items()}})
        return {name: healths.get(name) or asked[name] for name in wanted}

    def _ask(self, executors: list[Probed]) -> dict[str, Health]:
        answers = probe_all(executors, limit_s=self._limit_s)
        return {name: attrs.evolve(health, checked_at=self._clock.now()) for name, health in answers.items()}

    def forget(self, name: str) -> None:
        """Have this executor asked anew the next time."""
        known = self._read()
        if known.pop(name, None) is not None:
            self._write(known)

    def _remembered(self, entry: Any, stamp: str) -> Health | None:
        try:
            health = Health(**{**entry["health"], "checked_at": parse_instant(entry["health"]["checked_at"])})
            stays = timedelta(seconds=_HEALTHY_S if health.ok else _UNHEALTHY_S)
            age = self._clock.now() - parse_instant(entry["health"]["checked_at"])
        except (TypeError, KeyError, ValueError):
            return None
        # A negative age: the clock was set back, and nobody knows how old this is.
        return health if entry["stamp"] == stamp and timedelta(0) <= age < stays else None

    def _read(self) -> dict[str, Any]:
        try:
            known = json.loads(read_file(self._path, limit=_LARGEST_CACHE))
        except (OSError, ValueError, RecursionError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, known: Mapping[str, Any]) -> None:
        if not os.path.isdir(os.path.dirname(os.path.dirname(os.path.dirname(self._path)))):
            return  # no root yet: looking at executors must not make one
        try:
            ensure_folder(os.path.dirname(self._path))
            replace_file(self._path, json.dumps(known, indent=1).encode(), point="probes", sync=False)
        except (AutopilotError, OSError):
            pass  # it is a cache


def _entry(health: Health, stamp: str) -> dict[str, Any]:
    values = attrs.asdict(health)
    assert health.checked_at is not None
    return {"stamp": stamp, "health": {**values, "checked_at": format_instant(health.checked_at)}}


def _stamp(executor: Probed) -> str:
    """What an answer depends on, as far as we can see it."""
    kind = type(executor)
    program = str(getattr(executor, "program", "") or "")
    set_env = dict(getattr(executor, "set_env", None) or {})
    search = set_env.get("PATH", os.environ.get("PATH", ""))
    path = shutil.which(program, path=search) if program else None
    parts = [
        f"{kind.__module__}.{kind.__qualname__}",
        _signature(getattr(sys.modules.get(kind.__module__), "__file__", None)),
        repr(sorted(dict(getattr(executor, "options", None) or {}).items(), key=repr)),
        repr(sorted(set_env.items())),
        search,
        _signature(path),
    ]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _signature(path: str | None) -> str:
    if not path:
        return ""
    try:
        found = os.stat(path)
    except OSError:
        return path
    return f"{path} {found.st_size} {found.st_mtime_ns}"
