"""What comes back from hooks, and which answers make sense."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from autopilot.errors import AutopilotError, PluginError
from autopilot.models import Reason, Term, Verdict

__all__ = ["CHECKS", "Answer", "Check"]

Check = Callable[[Any], str]
"""Looks at an answer that is not None: an empty text where it makes sense, else what is wrong with it."""


@attrs.frozen(kw_only=True)
class Answer:
    """One plugin's answer to one hook.

    Attributes:
        plugin: the plugin's name.
        value: what it returned, never None unless there is a fault.
        fault: why it has no valid answer; empty where it has one. The hook's failure rule says what this means.
        error: what it raised, if it raised.
    """

    plugin: str
    value: Any = None
    fault: str = ""
    error: BaseException | None = None

    def require(self, hook: str) -> Any:
        """The value.

        Raises:
            AutopilotError: the plugin failed; its own error where it raised one of ours, else a PluginError.
        """
        if not self.fault:
            return self.value
        if isinstance(self.error, AutopilotError):
            raise self.error
        raise PluginError(
            f"plugin {self.plugin} failed in {hook}: {self.fault}",
            hint=f"mend or remove it, or list {self.plugin} under plugins.disabled in the config",
        ) from self.error


def _a(*kinds: type) -> Check:
    names = " or ".join(kind.__name__ for kind in kinds)

    def check(value: Any) -> str:
        return "" if isinstance(value, kinds) else f"it returned {type(value).__name__} and not {names}"

    return check


def _term(value: Any) -> str:
    wrong = _a(Term)(value)
    if wrong:
        return wrong
    number = value.value
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not math.isfinite(number):
        return f"the value of its Term is {number!r} and no finite number"
    return "" if isinstance(value.name, str) and isinstance(value.detail, str) else "its Term's words are no text"


def _refusal(value: Any) -> str:
    if isinstance(value, str):
        return "" if value.strip() else "it refused without a reason"
    return _a(str, Reason)(value)


CHECKS: Mapping[str, Check] = {
    "autopilot_score": _term,
    "autopilot_dispatch": _refusal,
    "autopilot_prompt": _a(str),
    "autopilot_verify": _a(Verdict),
}
