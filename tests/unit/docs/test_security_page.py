"""The security page names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|autopilot)[\w./-]*\.py)`", PAGE)))


def test_every_test_it_names_exists() -> None:
    assert [name for name in NAMED if not (ROOT / name).is_file()] == []
    assert len(NAMED) > 15, "the names are written in another way now"


def test_every_row_of_what_is_defended_names_one() -> None:
    table = PAGE.split("## What is defended\n")[1].split("## What is not\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert [
        row for row in rows if not re.search(r"`(?:tests|autopilot)[\w./-]*\.py`", row.rsplit(" | ", 1)[1])
    ] == []


def test_it_invents_no_address() -> None:
    assert re.findall(r"[\w.+-]+@[\w-]+\.\w+", PAGE) == []
