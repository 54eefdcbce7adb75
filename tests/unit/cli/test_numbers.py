"""Numbers on the command line: what no number is, or no number that anybody means, is a matter of usage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Cli = Callable[..., Any]

HUGE = "9" * 30
LONGEST = "9" * 5000
DIGEST = "a" * 64


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "1e400", "-1", "ten"])
@pytest.mark.parametrize(
    "command",
    [
        "task wait a --timeout",
        "task cancel a --wait --timeout",
        "task create --title T --timeout",
        "task create --title T --budget",
    ],
)
def test_amounts(cli: Cli, command: str, number: str) -> None:
    cli("task", "create", "--id", "a", "--title", "T")
    assert cli(*command.split(), number).code == 2
    assert cli("task", "list", "-o", "name").out == "a\n"
    assert cli("task", "status", "a", "-o", "json").data["status"] == "pending"


@pytest.mark.parametrize("number", [HUGE, LONGEST], ids=["huge", "longest"])
@pytest.mark.parametrize(
    "command",
    [
        "events tail -n {}",
        "dispatch tick --max-active {}",
        "task create --title T --max-attempts {}",
        "task logs a --attempt {}",
        "events subscribe c --since 1:{}",
        f"events verify --anchor {{}}:{DIGEST}",
    ],
)
def test_counts(cli: Cli, command: str, number: str) -> None:
    cli("task", "create", "--id", "a", "--title", "T")
    said = cli(*command.format(number).split())
    assert said.code == 2
    assert "bug" not in said.err
