"""The router with everything around it: executors and their probes, running attempts, plugin scorers and gates."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from autopilot.models import Decision, ExecutorInfo, Health, Reason, Task, TaskRecord, Term

if TYPE_CHECKING:
    from autopilot.dispatcher.gates import Running
    from autopilot.plugins.manager import LoadedExecutor, PluginManager
    from autopilot.routing.history import History
    from autopilot.routing.router import Contender, Router

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
        router: Router,
        history: History,
        executors: Mapping[str, LoadedExecutor],
        plugins: PluginManager,
        health: Callable[[str], Health],
        deadline_s: float,
    ) -> None:
        self._router = router
        self.history = history
        self._executors = executors
        self._plugins = plugins
        self._health = health
        self._deadline_s = deadline_s

    def decide(
        self, task: Task, record: TaskRecord, running: Sequence[Running], now: datetime, *, ask_gates: bool = True
    ) -> Decision:
        """The router's answer. ``ask_gates``: whether plugins' gates may refuse."""
        return self._router.decide(
            task,
            record,
            self._contenders(running),
            now=now.timestamp(),
            score=self._score,
            gate=self._gate if ask_gates else None,
        )

    def _contenders(self, running: Sequence[Running]) -> list[Contender]:
        from autopilot.routing.router import Contender

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
                accepts=loaded.executor.accepts,
            )
            for name, loaded in self._executors.items()
        ]

    def _score(self, task: Task, info: ExecutorInfo, figures: Mapping[str, Any]) -> list[tuple[str, Term]]:
        answers = self._plugins.call(
            "autopilot_score", deadline_s=self._deadline_s, task=task, executor=info, history=figures
        )
        return [(answer.plugin, answer.value) for answer in answers if isinstance(answer.value, Term)]

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
