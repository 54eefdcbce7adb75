"""The executors that plugins supply, checked, with the config's overrides applied."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs

from autopilot.models import ExecutorInfo, Health, PluginRef, Task
from autopilot.plugins.guards import PluginFault, sentence

__all__ = ["Ask", "ExecutorRules", "LoadedExecutor", "Supplied", "check_supplied", "load_executor"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]*\Z")
_ACCEPT_S = 2.0
_PROBE_S = 15.0
_METHODS = ("describe", "accepts", "probe", "run")


Ask = Callable[[Callable[[], Any], float], Any]
"""Runs code of a plugin with a deadline in seconds; raises HangError, or what the code raises."""


class ExecutorRules(Protocol):
    """What is needed of ``autopilot.config.settings.ExecutorSettings``."""

    @property
    def enabled(self) -> bool: ...
    @property
    def slots(self) -> int | None: ...
    @property
    def quota_pool(self) -> str | None: ...
    @property
    def tier(self) -> str | None: ...
    @property
    def strong(self) -> tuple[str, ...] | None: ...
    @property
    def weak(self) -> tuple[str, ...] | None: ...
    @property
    def cost_usd(self) -> float | None: ...
    @property
    def set_env(self) -> Mapping[str, str]: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


@attrs.frozen(kw_only=True)
class LoadedExecutor:
    """One executor, ready to be routed to.

    Attributes:
        executor: the plugin's object, an ``autopilot.Executor`` or one that has its methods.
        info: how it describes itself, with the config's overrides.
        plugin: where the host of an attempt loads it from.
        slots: how many attempts it may do at once; None for no limit of its own.
        environment: prefixes and names of environment variables that it asks for.
        ask: runs its code isolated.
    """

    executor: Any
    info: ExecutorInfo
    plugin: PluginRef
    slots: int | None = None
    environment: tuple[str, ...] = ()
    ask: Ask = attrs.field(default=lambda work, deadline_s: work(), repr=False, eq=False)

    def accepts(self, task: Task) -> str | None:
        """None, or why it can never do this task; never raises: one that fails or hangs does not accept."""
        try:
            refusal = self.ask(lambda: self.executor.accepts(task), _ACCEPT_S)
        except Exception as fault:
            return f"accepts() of {self.info.name} failed: {sentence(fault)}"
        if refusal is None or isinstance(refusal, str):
            return refusal or None
        return f"accepts() of {self.info.name} returned {type(refusal).__name__} and not a sentence or None"

    def probe(self) -> Health:
        """Whether it can be tried now; never raises: one that fails or hangs is not healthy."""
        try:
            health = self.ask(self.executor.probe, _PROBE_S)
        except Exception as fault:
            return _unhealthy(f"its probe failed: {sentence(fault)}", self.plugin)
        if isinstance(health, Health):
            return health
        return _unhealthy(f"its probe returned {type(health).__name__} and not Health", self.plugin)


@attrs.frozen(kw_only=True)
class Supplied:
    """One executor as a plugin supplied it, checked."""

    executor: Any
    info: ExecutorInfo
    environment: tuple[str, ...]


def check_supplied(value: Any) -> list[Supplied]:
    """Check what ``autopilot_executors`` returned; runs code of the plugin.

    Raises:
        PluginFault: it is no list of executors, or one of them is not usable; the text says which and why.
    """
    if value is None:
        return []
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise PluginFault(f"its autopilot_executors returned {type(value).__name__} and not a list of executors")
    supplied = [_check(executor) for executor in value]
    names = [one.info.name for one in supplied]
    for name in names:
        if names.count(name) > 1:
            raise PluginFault(f"it supplies two executors of the name {name!r}")
    return supplied


def load_executor(supplied: Supplied, plugin: PluginRef, rules: ExecutorRules | None, ask: Ask) -> LoadedExecutor:
    """Apply the config's section for this executor."""
    info = supplied.info
    if rules is not None:
        given = {
            "quota_pool": rules.quota_pool,
            "tier": rules.tier,
            "strong": None if rules.strong is None else frozenset(rules.strong),
            "weak": None if rules.weak is None else frozenset(rules.weak),
            "slots": rules.slots,
            "cost_usd": rules.cost_usd,
        }
        changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        info = attrs.evolve(info, **changes)
        with contextlib.suppress(AttributeError):  # an object of their own that takes no attributes
            supplied.executor.set_env = dict(rules.set_env)
    return LoadedExecutor(
        executor=supplied.executor,
        info=info,
        plugin=plugin,
        slots=info.slots,
        environment=supplied.environment,
        ask=ask,
    )


def _unhealthy(reason: str, plugin: PluginRef) -> Health:
    return Health(ok=False, reason=reason, hint=f"tell the author of plugin {plugin.name}")


def _check(executor: Any) -> Supplied:
    if isinstance(executor, type):
        raise PluginFault(f"it supplies the class {executor.__name__} and not an object of it")
    name = getattr(executor, "name", None)
    if not isinstance(name, str) or not _NAME.match(name):
        raise PluginFault(f"the executor's name {name!r} is not made of lower-case letters, digits and hyphens")
    for method in _METHODS:
        if not callable(getattr(executor, method, None)):
            raise PluginFault(f"its executor {name!r} has no method {method}()")
    try:
        info = executor.describe()
    except BaseException as fault:
        raise PluginFault(f"describe() of its executor {name!r} failed: {sentence(fault)}") from fault
    return Supplied(
        executor=executor,
        info=_check_info(name, info, getattr(executor, "capabilities", ())),
        environment=_words(name, "environment", getattr(executor, "environment", ())),
    )


def _check_info(name: str, info: Any, capabilities: Any) -> ExecutorInfo:
    if not isinstance(info, ExecutorInfo):
        raise PluginFault(
            f"describe() of its executor {name!r} returned {type(info).__name__} and not ExecutorInfo"
        )
    if info.name != name:
        raise PluginFault(f"its executor {name!r} describes itself as {info.name!r}")
    for field in ("capabilities", "strong", "weak"):
        _words(name, field, getattr(info, field))
    for field, least in (("slots", 1), ("cost_usd", 0)):
        number = getattr(info, field)
        if number is not None and not (isinstance(number, (int, float)) and number >= least):
            raise PluginFault(
                f"{field} of its executor {name!r} is {number!r}; it must be {least} or more, or None"
            )
    return attrs.evolve(
        info, capabilities=info.capabilities or frozenset(_words(name, "capabilities", capabilities))
    )


def _words(name: str, field: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, (tuple, list, set, frozenset)) and all(isinstance(word, str) and word for word in value):
        return tuple(value)
    raise PluginFault(f"{field} of its executor {name!r} is {value!r} and not a collection of words")
