"""A small synthetic world for routing: executors whose true success rates per type are known."""

from __future__ import annotations

import hashlib
from typing import Any

from autopilot.config.settings import RoutingSettings
from autopilot.models import ExecutorInfo, Task, TaskRecord
from autopilot.routing import Contender, HealthBook, History, Quality, Router

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z

RATES = {
    "anvil": {"bugfix": 0.85, "docs": 0.40, "tests": 0.55},
    "brush": {"bugfix": 0.35, "docs": 0.90, "tests": 0.50},
    "chisel": {"bugfix": 0.50, "docs": 0.55, "tests": 0.80},
    "drill": {"bugfix": 0.20, "docs": 0.25, "tests": 0.20},
}
"""Executor -> type -> true success rate."""


def uniform(*parts: Any) -> float:
    """A number in [0, 1) that is the same in every run and on every machine."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def make_task(**fields: Any) -> Task:
    return Task(**({"id": "t1", "title": "a task"} | fields))


def make_contender(name: str, capabilities: tuple[str, ...] = ("code",), **fields: Any) -> Contender:
    about = {key: fields.pop(key) for key in list(fields) if key in ("tier", "strong", "weak", "quota_pool")}
    about |= {"cost_usd": fields.pop("cost_usd")} if "cost_usd" in fields else {}
    return Contender(info=ExecutorInfo(name=name, capabilities=frozenset(capabilities), **about), **fields)


def make_result(task: str = "t1", attempt: int = 1, *, at: str = "2026-01-01T00:00:00Z", **payload: Any) -> dict:
    defaults = {
        "attempt": attempt,
        "executor": "anvil",
        "pool": "anvil",
        "task_type": "bugfix",
        "outcome": "succeeded",
        "judged": True,
        "success": True,
        "verified": True,
        "cost_usd": 0.5,
        "duration_s": 60.0,
        "reset_at": None,
        "message": "",
        "host_fault": False,
    }
    return {
        "id": f"evt-{task}.{attempt}.5",
        "event_type": "dispatch.result",
        "timestamp": at,
        "source": "autopilot",
        "trace_id": task,
        "payload": defaults | payload,
    }


class World:
    """A router over a history, with shorthands."""

    def __init__(self, **settings: Any) -> None:
        self.history = History()
        self.settings = RoutingSettings(**settings)

    @property
    def quality(self) -> Quality:
        return self.history.quality

    @property
    def health(self) -> HealthBook:
        return self.history.health

    def decide(self, task: Task, contenders: list[Contender], *, now: float = NOW, failed_on=(), **hooks: Any):
        router = Router(self.settings, self.quality, self.health)
        record = TaskRecord(task_id=task.id, failed_on=tuple(failed_on))
        return router.decide(task, record, contenders, now=now, **hooks)
