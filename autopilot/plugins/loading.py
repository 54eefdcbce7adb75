"""Load plugins: each by itself, when a hook that it may implement is first needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from autopilot.models import PluginRef
from autopilot.plugins.guards import PluginFault, Snapshot, quiet, sentence
from autopilot.plugins.load import load_ref
from autopilot.plugins.record import PluginStatus, Record
from autopilot.plugins.worker import HangError, Worker

if TYPE_CHECKING:
    from autopilot.plugins.inspection import Examined, Implementation

__all__ = ["GUARDING_HOOKS", "Loader", "PluginRules"]

Caller = tuple[Record, "Implementation"]

GUARDING_HOOKS = frozenset({"autopilot_dispatch", "autopilot_verify"})
"""Hooks that refuse: a plugin is loaded for them even if its trial found none, and goes on being asked after
faults, because a gate that fails must not become a gate that is open."""


class PluginRules(Protocol):
    """What is needed of ``autopilot.config.settings.PluginSettings``."""

    @property
    def disabled(self) -> tuple[str, ...]: ...
    @property
    def only(self) -> tuple[str, ...]: ...
    @property
    def options(self) -> Mapping[str, Mapping[str, Any]]: ...


class Loader:
    """The plugins of one process and who of them implements what.

    Args:
        settings: which plugins may load, and their options.
        found: the plugins to use; None to look for the installed ones.
        builtins: (name, object) of plugins of the core itself.
        worker: runs their code.
        budget_s: how long the import of a plugin may take.
        trials: whether plugins that are new are first tried in a process of their own.
        cache_folder: where trials and the list of plugins are cached; the user's cache folder by default.
    """

    def __init__(
        self,
        settings: PluginRules,
        *,
        found: Sequence[PluginRef] | None,
        builtins: Sequence[tuple[str, object]],
        worker: Worker,
        budget_s: float,
        trials: bool,
        cache_folder: str | None,
    ) -> None:
        self._settings = settings
        self._found = found
        self._builtins = builtins
        self._worker = worker
        self._budget_s = budget_s
        self._use_trials = trials
        self._cache_folder = cache_folder
        self._records: list[Record] | None = None
        self._callers: dict[str, list[Caller]] = {}
        self._ready: set[str | None] = set()

    def implementers(self, hook: str) -> list[Caller]:
        """Who implements ``hook``, in the order of asking; loads what may."""
        self.load(hook)
        return self._callers.get(hook, [])

    def records(self) -> list[Record]:
        """Every plugin, loaded or not."""
        if self._records is None:
            self._records = [*self._builtin_records(), *self._found_records()]
        return self._records

    def forget(self, record: Record, keep: frozenset[str] = frozenset()) -> None:
        """Ask this plugin nothing any more, but for the hooks to ``keep``."""
        for hook, callers in self._callers.items():
            if hook not in keep:
                # A new list: somebody may be going through the old one.
                self._callers[hook] = [caller for caller in callers if caller[0] is not record]

    def _builtin_records(self) -> Iterable[Record]:
        for name, plugin in self._builtins:
            ref = PluginRef(name=name, value=getattr(plugin, "__name__", type(plugin).__name__))
            record = Record(ref=ref, builtin=plugin)
            if name in self._settings.disabled:
                record.end(PluginStatus.BLOCKED, "plugins.disabled in the config names it")
            yield record

    def _found_records(self) -> list[Record]:
        found = self._found
        if found is None:
            from autopilot.plugins.discovery import find_plugins

            found = find_plugins(cache_folder=self._cache_folder)
        options = self._settings.options
        records = [Record(ref=attrs.evolve(ref, options=options.get(ref.name, {}))) for ref in found]
        for record in records:
            self._block(record)
        _settle_conflicts(records, {name for name, _ in self._builtins})
        return records

    def _block(self, record: Record) -> None:
        if record.name in self._settings.disabled:
            record.end(PluginStatus.BLOCKED, "plugins.disabled in the config names it")
        elif self._settings.only and record.name not in self._settings.only:
            record.end(PluginStatus.BLOCKED, "plugins.only in the config does not name it")

    def load(self, hook: str | None) -> None:
        """Load every plugin that may implement ``hook``; all for None."""
        if hook in self._ready or None in self._ready:
            return
        pending = [record for record in self.records() if record.status is None]
        self._try([record for record in pending if record.builtin is None and record.hooks is None])
        for record in pending:
            known = record.hooks
            if record.status is None and (
                hook is None or known is None or hook in known or hook in GUARDING_HOOKS
            ):
                self._load_one(record)
        self._ready.add(hook)

    def _try(self, records: Sequence[Record]) -> None:
        if not self._use_trials or not records:
            return
        from autopilot.plugins.trial import Trials

        trials = Trials(budget_s=self._budget_s, cache_folder=self._cache_folder)
        by_ref = {record.ref: record for record in records}
        for ref, trial in trials.judge(list(by_ref)).items():
            record = by_ref[ref]
            record.hooks = trial.hooks
            if trial.fault:
                record.end(PluginStatus.BROKEN, trial.fault)

    def _load_one(self, record: Record) -> None:
        try:
            examined = self._import(record)
        except KeyboardInterrupt:
            raise
        except HangError:
            record.end(PluginStatus.BROKEN, f"its import took more than {self._budget_s:g} s")
            return
        except BaseException as fault:
            record.end(PluginStatus.BROKEN, sentence(fault))
            return
        record.status = PluginStatus.LOADED
        record.implementations = examined.implementations
        record.notes.extend(examined.warnings)
        for implementation in examined.implementations:
            self._callers.setdefault(implementation.hook, []).append((record, implementation))
        for hook in examined.hooks:
            self._callers[hook] = sorted(self._callers[hook], key=_order)

    def _import(self, record: Record) -> Examined:
        from autopilot.plugins.inspection import examine

        if record.builtin is not None:
            return examine(record.builtin)
        snapshot = Snapshot()
        replaced: list[str] = []
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: replaced.extend(snapshot.restore()))
            stack.enter_context(quiet())
            examined = self._worker.run(lambda: examine(load_ref(record.ref)), self._budget_s)
        if replaced:
            raise PluginFault(f"its import replaces {', '.join(replaced)}, which all others rely on")
        return examined


def _order(caller: Caller) -> tuple[int, bool, str]:
    record, implementation = caller
    return implementation.rank, record.builtin is not None, record.name


def _settle_conflicts(records: Sequence[Record], taken: set[str]) -> None:
    for record in records:
        if record.status is not None:
            continue
        rivals = [one for one in records if one.name == record.name and one is not record]
        if record.name in taken:
            record.end(PluginStatus.CONFLICT, f"{record.name!r} is the name of a plugin of the core")
        elif rivals:
            sources = ", ".join(sorted({record.source, *(one.source for one in rivals)}))
            record.end(
                PluginStatus.CONFLICT, f"several plugins have the name {record.name!r}, none is used: {sources}"
            )
