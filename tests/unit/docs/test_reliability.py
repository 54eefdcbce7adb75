"""The page on reliability: every promise has its proof, and every proof that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "reliability.md").read_text()


def rows(first: str) -> dict[str, str]:
    """The table rows whose first cell matches, by that cell."""
    return dict(re.findall(rf"^\| ({first}) \|(.*)\|$", PAGE, re.M))


def test_every_promise_names_a_test() -> None:
    promises = rows(r"P\d+")
    assert list(promises) == [f"P{number}" for number in range(1, 34)]
    assert [name for name, row in promises.items() if "`tests/" not in row and "/tests/" not in row] == []


def test_every_campaign_names_its_figures_and_its_command() -> None:
    campaigns = rows(r"T\d+p?")
    assert list(campaigns) == ["T1", "T2", "T3", "T3p", *(f"T{number}" for number in range(4, 16))]
    script = (ROOT / "scripts" / "campaign").read_text()
    for name, row in campaigns.items():
        assert re.search(r"\d", row), f"{name} has no figure"
        assert re.search(rf"^ *{name}\) ", script, re.M), f"scripts/campaign does not know {name}"


def test_every_test_that_is_named_is_there() -> None:
    named = re.findall(r"`([\w./-]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 60
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not (ROOT / file).is_file() or (test and f"def {test}(" not in (ROOT / file).read_text())
    ]
    assert missing == []


def test_the_campaigns_run_tests_that_are_there() -> None:
    script = (ROOT / "scripts" / "campaign").read_text()
    paths = re.findall(r"[\w./-]*tests/[\w./*-]+", script)
    assert paths
    assert [path for path in paths if not list(ROOT.glob(path))] == []
