"""The second layer: which executors can do a task at all, and which package to install when none can."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autopilot.models import Task
from autopilot.routing.contender import Contender
from autopilot.system.near import did_you_mean

__all__ = ["ADAPTERS", "SHELL", "incapacity", "install_hint", "is_shell_only", "unknown_executor_hint"]

SHELL = "shell"
"""The capability of executors that run commands."""

_PROSE = frozenset({"code", "review"})

ADAPTERS = {
    "claude-code": "claude",
    "codex": "codex",
    "kimi": "kimi",
    "local": "local",
    "openclaw": "openclaw",
}
"""Executor name -> the extra of ``autopilot-core`` that installs it."""


def is_shell_only(capabilities: frozenset[str]) -> bool:
    """Whether it runs commands and reads no prose: a shell is never handed sentences to execute."""
    return SHELL in capabilities and not capabilities & _PROSE


def incapacity(task: Task, contender: Contender, *, named: bool) -> str | None:
    """Why this executor cannot do this task, or None.

    Args:
        named: the task names this executor, so that a shell takes its body for a script.
    """
    info = contender.info
    if not contender.enabled:
        return f"switched off by `executors.{info.name}.enabled` in the config"
    if contender.explicit_only and not named:
        return "takes only tasks that name it"
    missing = task.requires - info.capabilities
    if missing:
        return f"lacks {_list(missing)}, which the task requires"
    if task.command is not None and SHELL not in info.capabilities:
        return "runs no commands: it lacks the capability shell"
    if task.command is None and is_shell_only(info.capabilities):
        if not named:
            return "is a shell, and the task is prose; a shell gets prose only when the task names it"
        if task.origin:
            return f"is a shell, and the task came from {task.origin}: a shell runs only what a person here wrote"
    return contender.accepts(task) if contender.accepts else None


def install_hint(task: Task, contenders: Sequence[Contender]) -> str:
    """What to install or switch on so that somebody can do the task."""
    needed = set(task.requires) | ({SHELL} if task.command is not None else set())
    hidden = sorted(c.name for c in contenders if not c.enabled and needed <= c.info.capabilities)
    if hidden:
        return f"set `executors.{hidden[0]}.enabled: true` in the config"
    offered = frozenset[str]().union(*(c.info.capabilities for c in contenders))
    missing = needed - offered
    strange = missing - _PROSE - {SHELL}
    if strange:
        return f"install an executor package that offers {_list(strange)}, or take it out of `requires`"
    if SHELL in missing:
        return "pip install 'autopilot-core[local]'"
    if missing or (task.command is None and all(is_shell_only(c.info.capabilities) for c in contenders)):
        return "pip install 'autopilot-core[claude]' (or [codex], [kimi], [openclaw])"
    return f"none of the installed executors takes it; `autopilotctl why {task.id}` has the reason of each"


def unknown_executor_hint(name: str, known: Iterable[str]) -> str:
    """Names that look alike, or the package that brings the executor."""
    if name in ADAPTERS:
        return f"pip install 'autopilot-core[{ADAPTERS[name]}]', then `autopilotctl task retry` the task"
    known = sorted(known)
    if guess := did_you_mean(name, known):
        return f"{guess} Mend `executor:` in the task"
    return f"installed are: {', '.join(known) or 'none'}; mend `executor:` in the task"


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
