"""Ids as people type them: whole, or any beginning that only one has."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from autopilot.cli.app import App
from autopilot.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from autopilot.models import InvalidTask, Task

__all__ = ["complete_executors", "complete_ids", "find_executor", "find_id", "find_ids", "find_task", "pick"]

_SHOWN = 8


def pick(wanted: str, ids: Sequence[str], what: str = "task") -> str:
    """The id of ``ids`` (sorted) that ``wanted`` is, or is the beginning of.

    Raises:
        NotFoundError: none is.
        UsageError: several are; the hint lists them.
    """
    start = bisect_left(ids, wanted)
    if start < len(ids) and ids[start] == wanted:
        return wanted
    found = []
    for name in ids[start:]:
        if not name.startswith(wanted):
            break
        found.append(name)
    if wanted and len(found) == 1:
        return found[0]
    if wanted and found:
        raise UsageError(
            f"{len(found)} {what}s begin with {wanted!r}: {_listed(found)}",
            hint="type more of the id",
            code="ambiguous",
        )
    raise NotFoundError(f"no {what} {wanted!r}", hint=_near(wanted, ids, what))


def find_id(app: App, wanted: str) -> str:
    """The whole id of the task that the person means.

    Raises:
        NotFoundError, UsageError: as ``pick``.
    """
    return pick(wanted, app.control.store.ids())


def find_ids(app: App, wanted: Iterable[str]) -> list[str]:
    """The whole ids of the tasks that the person means, each once.

    Raises:
        NotFoundError, UsageError: as ``pick``.
    """
    ids = app.control.store.ids()
    return list(dict.fromkeys(pick(name, ids) for name in wanted))


def find_task(app: App, wanted: str) -> Task | InvalidTask:
    """The task, or the unreadable file, that the person means.

    Raises:
        NotFoundError, UsageError: as ``pick``.
    """
    return app.control.store.get(find_id(app, wanted))


def find_executor(app: App, name: str) -> str:
    """The name, if there is such an executor.

    Raises:
        NotFoundError: there is none; the hint names those there are.
    """
    names = sorted(app.control.executors)
    if name in names:
        return name
    known = (
        f"known: {', '.join(names)}"
        if names
        else "none is installed; `pip install autopilot-adapter-local` has one"
    )
    raise NotFoundError(f"no executor {name!r}", hint=known)


def complete_ids(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completion for task ids."""
    return _complete(ctx, incomplete, lambda app: app.control.store.ids())


def complete_executors(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completion for executor names."""
    return _complete(ctx, incomplete, lambda app: sorted(app.control.executors))


def _complete(ctx: click.Context, incomplete: str, names: object) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    app = ctx.find_object(App)
    if app is None or not callable(names):
        return []
    try:
        found: Iterable[str] = names(app)
    except Exception:  # a broken root must not print a traceback into somebody's half-typed line
        return []
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _near(wanted: str, names: Sequence[str], what: str) -> str:
    from autopilot.system.near import did_you_mean

    otherwise = f"`autopilotctl {what} list` shows those there are" if names else f"there are no {what}s yet"
    return did_you_mean(wanted, names) or otherwise
