"""The plugin manager: loads plugins one by one when a hook is first needed, and asks each by itself.

pluggy alone does not isolate plugins: one implementation that raises ends the whole call and drops the others'
results, ``sys.exit`` passes ``except Exception``, and its loading of entry points stops at the first broken one.
So pluggy is used for what it is good at, the markers and signatures (``inspection``), and the rest is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from autopilot.models import PluginRef
from autopilot.plugins.answers import CHECKS, Answer, Check
from autopilot.plugins.executors import Ask, ExecutorRules, LoadedExecutor, Supplied, check_supplied, load_executor
from autopilot.plugins.guards import quiet, sentence
from autopilot.plugins.loading import GUARDING_HOOKS, Loader, PluginRules
from autopilot.plugins.record import PluginReport, PluginStatus, Record
from autopilot.plugins.worker import HangError, Worker

if TYPE_CHECKING:
    from autopilot.plugins.inspection import Implementation

__all__ = ["Answer", "LoadedExecutor", "PluginManager", "PluginReport", "PluginRules", "PluginStatus"]

MAX_FAULTS = 3
INLINE_HOOKS = frozenset({"autopilot_store", "autopilot_prompt", "autopilot_verify"})
"""Asked in the caller's own thread, without a deadline: what they make may be bound to it, and prompt and verify
run in a child of the runner, which has a deadline of its own."""

FaultListener = Callable[[str, str, str], None]
"""Told (plugin, hook, reason) when a plugin is quarantined: once for each plugin and process."""


class PluginManager:
    """The plugins of one process. Used by one thread; making one costs nothing.

    Args:
        settings: which plugins may load, and their options.
        found: the plugins to use; None to look for the installed ones.
        builtins: (name, object) of plugins of the core itself; they are asked last and without a deadline.
        on_fault: told when a plugin is quarantined.
        load_budget_s: how long the import of a plugin may take.
        call_deadline_s: how long a plugin may take to answer, unless a call says otherwise.
        trials: whether plugins that are new are first tried in a process of their own.
        cache_folder: where trials and the list of plugins are cached; the user's cache folder by default.

    Attributes:
        offered: names of the executors that plugins supplied when ``executors`` was last asked, those that the
            config switches off included.
    """

    def __init__(
        self,
        settings: PluginRules,
        *,
        found: Sequence[PluginRef] | None = None,
        builtins: Sequence[tuple[str, object]] = (),
        on_fault: FaultListener | None = None,
        load_budget_s: float = 10.0,
        call_deadline_s: float = 2.0,
        trials: bool = True,
        cache_folder: str | None = None,
    ) -> None:
        self._settings = settings
        self._on_fault = on_fault
        self._load_budget_s = load_budget_s
        self._call_deadline_s = call_deadline_s
        self._worker = Worker()
        self.offered: frozenset[str] = frozenset()
        self._loader = Loader(
            settings,
            found=found,
            builtins=builtins,
            worker=self._worker,
            budget_s=load_budget_s,
            trials=trials,
            cache_folder=cache_folder,
        )

    # ------------------------------------------------------------------ asking

    def call(
        self, hook: str, *, deadline_s: float | None = None, check: Check | None = None, **values: Any
    ) -> list[Answer]:
        """Ask every plugin that implements ``hook``, each by itself.

        Args:
            hook: its name.
            deadline_s: for each plugin; None for the manager's default. A plugin that hangs is quarantined and, as
                abstaining, not among the answers.
            check: whether an answer makes sense; by default what the hook's description says.
            values: the hook's parameters, all of them.

        Returns:
            The answers that are not None and the faults, in the order: ``tryfirst``, others, ``trylast``; within
            each plugins by name, the core's own last. What a fault means is for the caller to say.
        """
        answers = []
        for record, implementation in self._loader.implementers(hook):
            answer = self._ask(record, implementation, values, deadline_s, check or CHECKS.get(hook))
            if answer is not None:
                answers.append(answer)
        return answers

    def first(
        self, hook: str, *, deadline_s: float | None = None, check: Check | None = None, **values: Any
    ) -> Answer | None:
        """Ask until one answers; None when nobody does.

        Raises:
            AutopilotError: the plugin whose turn it was failed; no other is asked then.
        """
        for record, implementation in self._loader.implementers(hook):
            answer = self._ask(record, implementation, values, deadline_s, check or CHECKS.get(hook))
            if answer is not None:
                answer.require(hook)
                return answer
        return None

    def refs(self, hook: str) -> tuple[PluginRef, ...]:
        """The installed plugins that implement ``hook``, in the order of asking, for a child process to load.
        The core's own are not among them: the child has them."""
        found = dict.fromkeys(
            record.ref for record, _ in self._loader.implementers(hook) if record.builtin is None
        )
        return tuple(found)

    def reports(self) -> list[PluginReport]:
        """Every plugin with its status, by name; loads what is not loaded yet."""
        self._loader.load(None)
        return [
            record.report()
            for record in sorted(self._loader.records(), key=lambda one: (one.name, one.ref.distribution))
        ]

    def names(self) -> frozenset[str]:
        """The names of all plugins that are installed."""
        return frozenset(record.name for record in self._loader.records())

    def unknown_names(self) -> tuple[str, ...]:
        """Names under ``plugins:`` in the config that no plugin has."""
        known = self.names()
        named = {*self._settings.disabled, *self._settings.only, *self._settings.options}
        return tuple(sorted(named - known))

    def executors(self, settings: Mapping[str, ExecutorRules]) -> dict[str, LoadedExecutor]:
        """Every usable executor by name, except those that the config switches off.

        A plugin that fails or supplies nonsense is disabled. Of a name that two plugins supply neither is used,
        and both say so.

        Args:
            settings: the ``executors:`` section of the config.
        """
        options = {name: dict(rules.options) for name, rules in settings.items()}
        suppliers: dict[str, list[tuple[Record, Supplied]]] = {}
        for record, implementation in self._loader.implementers("autopilot_executors"):
            for supplied in self._supplied(record, implementation, options):
                suppliers.setdefault(supplied.info.name, []).append((record, supplied))
        self.offered = frozenset(suppliers)
        loaded = {}
        for name, offers in sorted(suppliers.items()):
            rules = settings.get(name)
            if len(offers) > 1:
                _note_conflict(name, [record for record, _ in offers])
            elif rules is None or rules.enabled:
                record, supplied = offers[0]
                loaded[name] = load_executor(supplied, record.ref, rules, self._asker(record))
        return loaded

    def close(self) -> None:
        """Let the thread that runs plugins' code end."""
        self._worker.close()

    # ------------------------------------------------------------------ asking one

    def _ask(
        self,
        record: Record,
        implementation: Implementation,
        values: Mapping[str, Any],
        deadline_s: float | None,
        check: Check | None,
    ) -> Answer | None:
        hook = implementation.hook
        try:
            value = self._run(record, implementation, values, deadline_s)
            wrong = check(value) if check is not None and value is not None else ""
        except HangError as fault:
            self._quarantine(record, hook, f"{hook} hung: {fault}", everything=True)
            return None
        except KeyboardInterrupt:
            raise
        except BaseException as fault:
            return self._fault(record, hook, sentence(fault), fault)
        if wrong:
            return self._fault(record, hook, wrong, None)
        record.faults.pop(hook, None)
        return None if value is None else Answer(plugin=record.name, value=value)

    def _run(
        self, record: Record, implementation: Implementation, values: Mapping[str, Any], deadline_s: float | None
    ) -> Any:
        arguments = [values[name] for name in implementation.arguments]
        if record.builtin is not None:
            return implementation.function(*arguments)
        with quiet():
            if deadline_s is None and implementation.hook in INLINE_HOOKS:
                return implementation.function(*arguments)
            limit = self._call_deadline_s if deadline_s is None else deadline_s
            return self._worker.run(lambda: implementation.function(*arguments), limit)

    def _supplied(
        self, record: Record, implementation: Implementation, options: Mapping[str, Any]
    ) -> list[Supplied]:
        def work() -> list[Supplied]:
            config = [dict(options)][: len(implementation.arguments)]
            return check_supplied(implementation.function(*config))

        try:
            if record.builtin is not None:
                return work()
            with quiet():
                return self._worker.run(work, self._load_budget_s)
        except KeyboardInterrupt:
            raise
        except BaseException as fault:
            reason = f"autopilot_executors hung: {fault}" if isinstance(fault, HangError) else sentence(fault)
            record.end(PluginStatus.DISABLED, reason)
            self._loader.forget(record)
            return []

    def _asker(self, record: Record) -> Ask:
        def ask(work: Callable[[], Any], deadline_s: float) -> Any:
            if record.builtin is not None:
                return work()
            with quiet():
                return self._worker.run(work, deadline_s)

        return ask

    def _fault(self, record: Record, hook: str, reason: str, error: BaseException | None) -> Answer:
        count = record.faults[hook] = record.faults.get(hook, 0) + 1
        if count >= MAX_FAULTS:
            self._quarantine(record, hook, f"{hook} failed {count} times in a row: {reason}", everything=False)
        return Answer(plugin=record.name, fault=reason, error=error)

    def _quarantine(self, record: Record, hook: str, reason: str, *, everything: bool) -> None:
        fresh = record.status is not PluginStatus.QUARANTINED
        record.end(PluginStatus.QUARANTINED, reason)
        self._loader.forget(record, keep=frozenset() if everything else GUARDING_HOOKS)
        if fresh and self._on_fault is not None:
            self._on_fault(record.name, hook, reason)


def _note_conflict(name: str, records: Sequence[Record]) -> None:
    names = " and ".join(sorted(f"{record.name} ({record.source})" for record in records))
    note = f"executor {name!r} is supplied by {names}; none of them is used"
    for record in records:
        if note not in record.notes:
            record.notes.append(note)
