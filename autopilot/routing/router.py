"""Picks the executor of a task in three layers: explicit constraint, capability and score, resources.

A decision is a pure function of the task, the contenders, the folded history, the parameters and ``now``. Every
contender appears in it, with its numbers or the reason why not.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from autopilot.config.settings import RoutingSettings
from autopilot.models import Decision, Task, TaskRecord
from autopilot.routing.capability import incapacity, install_hint, unknown_executor_hint
from autopilot.routing.contender import Contender
from autopilot.routing.entry import Entry, Gatekeeper, Question
from autopilot.routing.health import HealthBook, format_epoch
from autopilot.routing.quality import Quality
from autopilot.routing.scoring import Scorer, figures, plugin_terms, quality_terms
from autopilot.routing.tiers import Word, declared_word, declares

__all__ = ["Gatekeeper", "Router"]

_UNAVAILABLE = ("unhealthy", "resting")
_CODES = ("no_slot", "refused", "resting", "unhealthy")
"""Why capable executors cannot be had, the soonest change first: a task that waits for a slot is not parked."""


class Router:
    """Decides.

    Args:
        settings: prices, weights, order for ties, and what to do when a named executor is not available.
        quality, health: the folded history (``History.quality``, ``History.health``); read, never changed.
    """

    def __init__(self, settings: RoutingSettings, quality: Quality, health: HealthBook) -> None:
        self.settings = settings
        self.quality = quality
        self.health = health
        self.parameters = quality.parameters.with_settings(settings)
        self._order = {name: index for index, name in reversed(list(enumerate(settings.order)))}

    def decide(
        self,
        task: Task,
        record: TaskRecord,
        executors: Sequence[Contender],
        *,
        now: float,
        score: Scorer | None = None,
        gate: Gatekeeper | None = None,
    ) -> Decision:
        """Choose the executor of ``task``, or say why there is none now.

        Args:
            record: what is remembered of the task; executors in ``failed_on`` come last.
            executors: everyone who is installed, in any order.
            now: epoch seconds.
            score: asks the plugins for terms, for each capable executor. Must not raise.
            gate: asks the plugins' gates, for the executor about to be chosen; refused, the next best is asked
                about. Must not raise.

        Returns:
            A decision whose ``permanent`` is True only where waiting cannot help: an unknown executor, a named one
            that can never do this task, and a named one that is not available under ``on_unavailable: fail``.
        """
        contenders = tuple(sorted(executors, key=lambda contender: contender.name))
        question = Question(
            task=task,
            record=record,
            contenders=contenders,
            named=task.executor,
            now=now,
            score=score,
            gate=gate,
        )
        if task.executor is None:
            return self._answer(question)
        if all(contender.name != task.executor for contender in contenders):
            return self._unknown(question)
        return self._explicit(question)

    # ------------------------------------------------------------------ first layer: the explicit constraint

    def _explicit(self, question: Question) -> Decision:
        decision = self._answer(question)
        if decision.reason_code not in _UNAVAILABLE:
            return decision
        wish = question.task.on_unavailable or self.settings.on_unavailable
        if wish == "fallback":
            others = self._answer(attrs.evolve(question, named=None))
            return attrs.evolve(others, reason=f"{decision.reason}; on_unavailable is fallback: {others.reason}")
        if wish == "fail":
            hint = decision.hint or "set `on_unavailable: wait` or `fallback`, or name another executor"
            return attrs.evolve(decision, permanent=True, wake_at=None, hint=hint)
        return decision

    def _unknown(self, question: Question) -> Decision:
        name = question.named or ""
        known = [contender.name for contender in question.contenders]
        entries = [self._excluded(c, "other", f"the task names {name}") for c in question.contenders]
        return self._decision(
            question,
            entries,
            code="unknown_executor",
            reason=f"no executor is called {name}",
            hint=unknown_executor_hint(name, known),
            permanent=True,
        )

    # ------------------------------------------------------------------ second layer: capability and score

    def _answer(self, question: Question) -> Decision:
        entries = [self._capable(question, contender) for contender in question.contenders]
        capable = [entry for entry in entries if not entry.code]
        if not capable:
            return self._nobody(question, entries)
        self._rate(question, capable)
        for entry in capable:
            self._look_at_resources(question, entry)
        capable.sort(key=self._rank)
        rest = [entry for entry in entries if entry.estimate is None]
        return self._choose(question, capable, rest)

    def _capable(self, question: Question, contender: Contender) -> Entry:
        named = question.named
        if named is not None and contender.name != named:
            return self._excluded(contender, "other", f"the task names {named}")
        why = incapacity(question.task, contender, named=contender.name == question.task.executor)
        return self._excluded(contender, "incapable", why) if why else Entry(contender=contender)

    @staticmethod
    def _excluded(contender: Contender, code: str, why: str) -> Entry:
        return Entry(contender=contender, code=code, why=why)

    def _rate(self, question: Question, capable: Sequence[Entry]) -> None:
        # As soon as one candidate declares anything, everyone is given as many pseudo-runs, so that saying nothing
        # does not look like uncertainty, which would be worth a try before the one who says it is good.
        spoken = any(declares(entry.contender.info) for entry in capable)
        kind = question.task.task_type
        for entry in capable:
            contender = entry.contender
            word: Word | None = declared_word(contender.info, kind) if spoken else None
            entry.estimate = self.quality.estimate(
                contender.name,
                kind,
                contender.in_flight_types.get(kind, 0),
                declared=word,
                typical_cost=contender.info.cost_usd,
                parameters=self.parameters,
            )
            entry.terms = quality_terms(entry.estimate, kind, self.parameters)
            if question.score:
                said = question.score(question.task, contender.info, figures(entry.estimate))
                entry.terms += plugin_terms(said, self.parameters)
            entry.score = sum([term.value for term in entry.terms])
            entry.failed = contender.name in question.record.failed_on

    def _rank(self, entry: Entry) -> tuple[bool, bool, float, int, float, int, str]:
        assert entry.estimate is not None
        return (
            bool(entry.code),
            entry.failed,
            -entry.score,
            entry.contender.running,
            entry.estimate.cost_usd,
            self._order.get(entry.name, len(self._order)),
            entry.name,
        )

    def _nobody(self, question: Question, entries: Sequence[Entry]) -> Decision:
        task = question.task
        if question.named is not None:
            named = next(entry for entry in entries if entry.name == question.named)
            return self._decision(
                question,
                entries,
                code="no_capable_executor",
                reason=f"the task names {named.name}, which cannot do it: {named.why}",
                hint="name another executor, or change what the task asks for",
                permanent=True,
            )
        what = "runs commands" if task.command is not None else "can do this task"
        needs = f" (requires {', '.join(sorted(task.requires))})" if task.requires else ""
        return self._decision(
            question,
            entries,
            code="no_capable_executor",
            reason=f"no installed executor {what}{needs}",
            hint=install_hint(task, question.contenders),
        )

    # ------------------------------------------------------------------ third layer: resources and gates

    def _look_at_resources(self, question: Question, entry: Entry) -> None:
        contender = entry.contender
        health, limit = contender.health, contender.limit
        if health is not None and not health.ok:
            entry.exclude("unhealthy", health.reason or "its probe failed", hint=health.hint)
            return
        rest = self.health.state(contender.name, contender.info.pool, question.now)
        trying = rest.half_open and self._trial_runs(question, contender, rest.probing)
        if not rest.ok or trying:
            waiting = "one attempt is trying whether it works again" if trying else rest.reason
            entry.exclude("resting", waiting, hint=rest.hint, wake_at=rest.until)
        elif limit is not None and contender.running >= limit:
            entry.exclude("no_slot", f"all its slots are taken ({contender.running} of {limit})")

    @staticmethod
    def _trial_runs(question: Question, contender: Contender, probing: str) -> bool:
        # The book knows that an attempt was let through; the leases know whether it still lives.
        if probing == "pool":
            pool = contender.info.pool
            return any(c.running for c in question.contenders if c.info.pool == pool)
        return bool(probing) and contender.running > 0

    def _choose(self, question: Question, capable: list[Entry], rest: list[Entry]) -> Decision:
        for entry in capable:
            if entry.code:
                break
            refusal = question.gate(question.task, entry.contender.info) if question.gate else None
            if refusal is None:
                return self._chosen(question, entry, capable + rest)
            entry.exclude("refused", refusal.message, hint=refusal.hint)
        return self._nobody_now(question, capable, rest)

    def _chosen(self, question: Question, entry: Entry, entries: list[Entry]) -> Decision:
        assert entry.estimate is not None
        able = sum(not other.code for other in entries)
        best = f"best of {able}" if able > 1 else "the only one that can take it now"
        why = "the task names it" if question.named else best
        reason = f"{entry.name}: {why}, score {entry.score:.3f}, expected success {entry.estimate.mean:.2f}"
        first = [entry] + [other for other in entries if other is not entry]
        return self._decision(question, first, code="chosen", reason=reason, chosen=entry)

    def _nobody_now(self, question: Question, capable: list[Entry], rest: list[Entry]) -> Decision:
        code = next(code for code in _CODES if any(entry.code == code for entry in capable))
        first = min((entry for entry in capable if entry.code == code), key=lambda entry: entry.wakes)
        wakes = [entry.wake_at for entry in capable if entry.code == "resting"]
        known = [wake for wake in wakes if wake is not None]
        wake_at = min(known) if code == "resting" and len(known) == len(wakes) else None
        reason = f"{first.name}: {first.why}"
        if len(capable) > 1:
            reason = f"none of {len(capable)} capable executors can take it now; {reason}"
        if wake_at is not None:
            reason = f"{reason} (next try {format_epoch(wake_at)})"
        return self._decision(question, capable + rest, code=code, reason=reason, hint=first.hint, wake_at=wake_at)

    def _decision(
        self,
        question: Question,
        entries: Sequence[Entry],
        *,
        code: str,
        reason: str,
        hint: str = "",
        wake_at: float | None = None,
        permanent: bool = False,
        chosen: Entry | None = None,
    ) -> Decision:
        return Decision(
            task_id=question.task.id,
            executor=chosen.name if chosen else None,
            reason_code=code,
            reason=reason,
            hint=hint,
            confidence=chosen.estimate.mean if chosen and chosen.estimate else None,
            candidates=tuple(entry.candidate() for entry in entries),
            wake_at=wake_at,
            permanent=permanent,
            parameters=self.parameters.hash,
        )
