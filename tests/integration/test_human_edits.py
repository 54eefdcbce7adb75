"""People save task files, in every editor's way, while programs write them (T13). No save is ever destroyed.

At a program's real pace, and as a torture. Beside the store, a naive program writes a second file at the same
moments: what it loses is what the exchange, the look and the lease of the store are for.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.campaign import record, size
from tests.integration.editors import EDITORS
from tests.integration.people import Person, program

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="needs renameat2 and leases"),
    pytest.mark.timeout(size(300, 4 * 3600)),
]

SESSION = 250
"""Edits of one file, so that it stays a file that a person would edit."""


def work(folder: Path, style: str, edits: int, *, pause_s: float, most_s: float) -> Counter[str]:
    """Edits of one file for the store and of one for the naive program; what became of them.

    Args:
        pause_s: between two writes of a program.
        most_s: between two saves of a person.
    """
    rng = random.Random(f"{style} {folder.name}")
    ours, naive = Person(f"{folder}/store", EDITORS[style]), Person(f"{folder}/naive", EDITORS[style])
    with program(f"{folder}/store", naive.path, pause_s) as counts:
        for _ in range(edits):
            ours.edit()
            with contextlib.suppress(FileExistsError):  # it puts its file where the person's should come
                naive.edit()
            time.sleep(rng.uniform(0, most_s))
    ours.look()
    naive.look()
    return Counter(
        edits=edits,
        program_writes=counts["writes"],
        put_off=counts["put_off"],
        destroyed=len(ours.destroyed),
        overwritten=len(ours.overwritten),
        conflict_copies=ours.copies(),
        naive_writes=counts["naive_writes"],
        naive_lost=len(naive.destroyed | naive.overwritten),
    )


def sessions(folder: Path, style: str, edits: int, **paces: float) -> Counter[str]:
    total: Counter[str] = Counter()
    for number, first in enumerate(range(0, edits, SESSION)):
        place = folder / str(number)
        place.mkdir()
        total.update(work(place, style, min(SESSION, edits - first), **paces))
    return total


@pytest.mark.parametrize("style", EDITORS)
def test_at_a_programs_pace_no_save_is_destroyed(style: str, tmp_path: Path) -> None:
    total = sessions(tmp_path, style, size(30, 5_000), pause_s=0.1, most_s=0.04)
    record("T13", f"{style}, at pace", **total)
    assert total["program_writes"], "a campaign in which the program writes nothing proves nothing"
    assert total["destroyed"] == 0
    assert total["overwritten"] <= few(total)


@pytest.mark.parametrize("style", EDITORS)
def test_torture_destroys_no_save(style: str, tmp_path: Path) -> None:
    total = sessions(tmp_path, style, size(120, 5_000), pause_s=0.0, most_s=0.006)
    record("T13", f"{style}, torture", **total)
    assert total["program_writes"]
    assert total["destroyed"] == 0
    assert total["overwritten"] <= few(total)


def few(total: Counter[str]) -> int:
    """One of a thousand, or one. A busy machine stretches the instant between exchange and look, at
    which a person may read, and later save over, what nobody wanted to show."""
    return max(1, total["edits"] // 1000)
