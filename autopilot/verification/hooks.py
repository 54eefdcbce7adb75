"""The verify plugins, called one by one in a child of the runner."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autopilot.models import PluginRef, Task, Verdict
from autopilot.plugins.direct import call_hook, implementation_of, load_plugin

__all__ = ["verdicts_of", "without_verdict"]


def verdicts_of(
    plugins: Iterable[PluginRef], task: Task, attempt: Mapping[str, Any]
) -> Iterator[tuple[str, Verdict | None]]:
    """Call each plugin's ``autopilot_verify``: first ``(name, None)``, to tell who is at work, then
    ``(name, verdict)`` unless the plugin has nothing to say. A plugin that fails, or gives something else, is a
    failed verdict.
    """
    for ref in plugins:
        yield ref.name, None
        verdict = _ask(ref, task, attempt)
        if verdict is not None:
            yield ref.name, verdict


def without_verdict(plugin: str, why: str) -> Verdict:
    """The failed verdict of a plugin that hangs, or ends the process it runs in."""
    return Verdict(name=plugin or "verify plugins", ok=False, detail=why)


def _ask(ref: PluginRef, task: Task, attempt: Mapping[str, Any]) -> Verdict | None:
    try:
        implementation = implementation_of(load_plugin(ref), "autopilot_verify")
        if implementation is None:
            return without_verdict(ref.name, "the plugin has no autopilot_verify any more")
        verdict = call_hook(implementation, task=task, attempt=attempt)
    except BaseException as fault:  # sys.exit in a plugin must not look like an agreement
        traceback.print_exc()
        return without_verdict(ref.name, traceback.format_exception_only(fault)[-1].strip())
    if verdict is None or isinstance(verdict, Verdict):
        return verdict
    return without_verdict(ref.name, f"gave a {type(verdict).__name__}, not a Verdict")
