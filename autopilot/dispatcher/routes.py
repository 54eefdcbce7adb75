"""The router with everything around it: executors and their probes, running attempts, plugin scorers and gates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from autopilot.models import Decision, ExecutorInfo, Health, Outcome, Reason, Task, TaskRecord, Term
from autopilot.routing.contender import Contender
from autopilot.routing.health import HealthBook, RestState
from autopilot.routing.router import Router

if TYPE_CHECKING:
    from autopilot.config.settings import RoutingSettings
    from autopilot.dispatcher.gates import Running
    from autopilot.plugins.manager import LoadedExecutor, PluginManager
    from autopilot.routing.history import History

__all__ = ["Routes", "route_class"]


def route_class(task: Task) -> tuple[Any, ...]:
    """What routing looks at in a task: tasks of one class get one answer at one time, gates of plugins aside."""
    shell = "shell" if task.command is not None else "prose"
    return (
        "route",
        task.executor,
        task.task_type,
        shell,
        task.requires,
        task.model,
        task.on_unavailable,
        task.origin is None,
    )


class Routes:
    """Asks the router, with the circumstances of this moment.

    Args:
        health: the probe of one executor, cached.
    """

    def __init__(
        self,
        settings: RoutingSettings,
        history: History,
        executors: Mapping[str, LoadedExecutor],
        plugins: PluginManager,
        health: Callable[[str], Health],
        deadline_s: float,
    ) -> None:
        self._settings = settings
        self._history = history
        self._router = Router(settings, history.quality, history.health)
        self._executors = executors
        self._plugins = plugins
        self._health = health
        self._deadline_s = deadline_s

    def decide(
        self, task: Task, record: TaskRecord, running: Sequence[Running], now: datetime, *, ask_gates: bool = True
    ) -> Decision:
        """The router's answer. ``ask_gates``: whether plugins' gates may refuse."""
        return self._ask(self._router_now(), task, record, running, now, ask_gates)

    def decide_after(
        self,
        task: Task,
        record: TaskRecord,
        running: Sequence[Running],
        now: datetime,
        *,
        executor: str,
        outcome: Outcome,
    ) -> Decision:
        """The answer for the next attempt; ``outcome`` of ``executor`` counts, although it is not logged yet."""
        health = HealthBook(self._history.health.parameters)
        health.load(self._history.health.dump())
        reset_at = outcome.reset_at.timestamp() if outcome.reset_at else None
        pool = self._executors[executor].info.pool if executor in self._executors else ""
        health.observe(executor, pool, outcome.kind, now.timestamp(), reset_at, message=outcome.message)
        router = Router(self._settings, self._history.quality, health)
        return self._ask(router, task, record, running, now, False)

    def rest(self, executor: str, pool: str, now: float) -> RestState:
        """Whether an executor rests at ``now`` (epoch seconds)."""
        return self._history.health.state(executor, pool, now)

    def figures(self) -> list[dict[str, Any]]:
        """What has been learnt of each executor and task type."""
        from autopilot.routing.explain import stats_rows

        return [attrs.asdict(row) for row in stats_rows(self._history.quality)]

    def _router_now(self) -> Router:
        # A checkpoint that is loaded later puts new objects into the history.
        if self._router.quality is not self._history.quality:
            self._router = Router(self._settings, self._history.quality, self._history.health)
        return self._router

    def _ask(
        self,
        router: Router,
        task: Task,
        record: TaskRecord,
        running: Sequence[Running],
        now: datetime,
        ask_gates: bool,
    ) -> Decision:
        return router.decide(
            task,
            record,
            self._contenders(running),
            now=now.timestamp(),
            score=self._score,
            gate=self._gate if ask_gates else None,
        )

    def _contenders(self, running: Sequence[Running]) -> list[Contender]:
        busy = Counter(attempt.executor for attempt in running)
        types: dict[str, Counter[str]] = defaultdict(Counter)
        for attempt in running:
            types[attempt.executor][attempt.task_type] += 1
        return [
            Contender(
                info=loaded.info,
                health=self._health(name),
                running=busy[name],
                in_flight_types=types[name],
                slots=loaded.slots,
                accepts=loaded.accepts,
            )
            for name, loaded in self._executors.items()
        ]

    def _score(self, task: Task, info: ExecutorInfo, figures: Mapping[str, float]) -> list[Term]:
        answers = self._plugins.call(
            "autopilot_score", deadline_s=self._deadline_s, task=task, executor=info, history=figures
        )
        # The plugin's name comes first, because the weights in the config are by plugin.
        return [
            attrs.evolve(answer.value, name=f"{answer.plugin}:{answer.value.name}")
            for answer in answers
            if isinstance(answer.value, Term)
        ]

    def _gate(self, task: Task, info: ExecutorInfo) -> Reason | None:
        for answer in self._plugins.call(
            "autopilot_dispatch", deadline_s=self._deadline_s, task=task, executor=info
        ):
            refusal = _as_reason(answer)
            if refusal is not None:
                return refusal
        return None


def _as_reason(answer: Any) -> Reason | None:
    if answer.fault:
        return Reason(
            code="gate_failed",
            message=f"the gate of plugin {answer.plugin} failed: {answer.fault}",
            hint="autopilotctl plugins list; a broken gate refuses, because going on could break a promise",
        )
    if answer.value is None or isinstance(answer.value, Reason):
        return answer.value
    return Reason(code="refused", message=f"plugin {answer.plugin}: {answer.value}")
