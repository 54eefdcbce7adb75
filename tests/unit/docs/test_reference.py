"""The reference pages say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from autopilot.models import ALLOWED_TRANSITIONS, POLICIES, HealthEffect, OutcomePolicy

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


def policy_row(kind: str, policy: OutcomePolicy) -> str:
    def word(value: bool) -> str:
        return "yes" if value else "no"

    health = "–" if policy.health is HealthEffect.NONE else str(policy.health)
    return f"| `{kind}` | {word(policy.judged)} | {word(policy.uses_attempt)} | {health} | {policy.then} |"


def test_the_outcome_table_is_the_policy() -> None:
    rows = [
        "| outcome | charged to quality | uses an attempt | executor or pool | then |",
        "|---|---|---|---|---|",
        *(policy_row(str(kind), policy) for kind, policy in POLICIES.items()),
    ]
    page = (REFERENCE / "outcomes.md").read_text()
    table = page.split("<!-- policy table: begin -->\n")[1].split("<!-- policy table: end -->")[0]
    assert table.strip() == "\n".join(rows), "put this into docs/reference/outcomes.md:\n" + "\n".join(rows)


def test_the_states_page_has_every_arrow_and_no_other() -> None:
    page = (REFERENCE / "states.md").read_text()
    drawn = set(re.findall(r"^ {4}(\w+) --> (\w+):", page, re.M))
    told = set(re.findall(r"^\| (\w+) \| (\w+) \|", page, re.M))
    allowed = {(str(old), str(new)) for old, news in ALLOWED_TRANSITIONS.items() for new in news}
    assert drawn == allowed
    assert allowed <= told


def test_every_link_between_pages_leads_somewhere() -> None:
    root = REFERENCE.parents[1]
    pages = [root / "README.md", *(root / "docs").rglob("*.md")]
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert broken == []
