"""Answers that make no sense are told apart from those that do."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.errors import PluginError, SetupError
from autopilot.models import Reason, Term, Verdict
from autopilot.plugins.answers import CHECKS, Answer

GOOD = {
    "autopilot_score": [Term(name="x", value=0.5), Term(name="x", value=0)],
    "autopilot_dispatch": ["not on Fridays", Reason(code="friday", message="not on Fridays")],
    "autopilot_prompt": ["", "Do it"],
    "autopilot_verify": [Verdict(name="x", ok=True)],
}
BAD = {
    "autopilot_score": [0.5, "x", Term(name="x", value=float("nan")), Term(name="x", value=float("inf"))],
    "autopilot_dispatch": [True, False, "", "  ", 7, ["x"]],
    "autopilot_prompt": [b"bytes", 7],
    "autopilot_verify": [True, "ok", Term(name="x", value=1)],
}


@pytest.mark.parametrize(("hook", "value"), [(hook, value) for hook, values in GOOD.items() for value in values])
def test_good_answers(hook: str, value: Any) -> None:
    assert CHECKS[hook](value) == ""


@pytest.mark.parametrize(("hook", "value"), [(hook, value) for hook, values in BAD.items() for value in values])
def test_bad_answers(hook: str, value: Any) -> None:
    assert CHECKS[hook](value)


@pytest.mark.parametrize(
    "term",
    [
        Term(name="x", value="1"),  # type: ignore[arg-type]
        Term(name="x", value=True),
        Term(name=1, value=1.0),  # type: ignore[arg-type]
        Term(name="x", value=1.0, detail=None),  # type: ignore[arg-type]
    ],
)
def test_terms_with_wrong_fields(term: Term) -> None:
    assert CHECKS["autopilot_score"](term)


def test_require_gives_the_value_or_raises_the_plugins_own_error() -> None:
    assert Answer(plugin="p", value=3).require("autopilot_store") == 3
    own = SetupError("the database is down", hint="start it")
    with pytest.raises(SetupError) as caught:
        Answer(plugin="p", fault="x", error=own).require("autopilot_store")
    assert caught.value is own
    with pytest.raises(PluginError, match="plugin p failed in autopilot_store: broken") as other:
        Answer(plugin="p", fault="broken", error=ValueError("broken")).require("autopilot_store")
    assert "plugins.disabled" in other.value.hint
    assert isinstance(other.value.__cause__, ValueError)
