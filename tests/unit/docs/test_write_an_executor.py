"""The page on writing an executor says what works: its class and the number of the fake agent's modes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from autopilot.testing.fake_agent import MODES

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "how-to" / "write-an-executor.md").read_text()


def test_the_class_runs_the_program_that_its_options_name() -> None:
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", PAGE, re.S)[0], names)
    scribe = names["ScribeExecutor"]
    assert scribe({"program": "/opt/fake"}).command(_Context()).argv[0] == "/opt/fake"
    assert scribe(None).command(_Context()).argv[0] == "scribe"


def test_the_number_of_modes() -> None:
    assert re.findall(r"It has (\d+) modes", PAGE) == [str(len(MODES))]


class _Context:
    prompt = "write"
