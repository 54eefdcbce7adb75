"""T3: the control plane, killed before any line that it executes, once, twice and three times over.

The lines are those of all code that writes or decides what is written: store, event log, dispatcher, and what is
below them. Most of them leave the same disk behind as the line before. One before which something was written is
one that tells (``inject.Lines``); full runs do all that tell, and 20,000 of any kind.
"""

from __future__ import annotations

import random
import signal
import tempfile
from pathlib import Path

import attrs
import pytest

import autopilot
from tests.campaign import FAST, record, size
from tests.crash.forks import in_child
from tests.crash.inject import Lines, dies_at_line, lines_of
from tests.crash.scenarios import SCENARIOS, Scenario, broken_in, copy_of, settle

_CORE = Path(autopilot.__file__).parent
PLACES = [
    str(_CORE / place)
    for place in (
        "store/",
        "events/",
        "dispatcher/",
        "runner/reclaim",
        "system/durable",
        "system/exchange",
        "system/locks",
        "taskfile/edit",
    )
]


@attrs.frozen
class Subject:
    """A scenario, its root, and the lines of it and of the way back from it."""

    scenario: Scenario
    template: Path
    lines: Lines
    way_back: Lines


@pytest.fixture(scope="module")
def subjects(templates: dict[str, Path]) -> list[Subject]:
    return [_subject(scenario, templates[scenario.name]) for scenario in SCENARIOS]


def _subject(scenario: Scenario, template: Path) -> Subject:
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        folder = copy_of(template, Path(place, "root"))
        lines = lines_of(lambda: scenario.act(folder), *PLACES)
        return Subject(scenario, template, lines, lines_of(lambda: settle(folder), *PLACES))


def killed(subject: Subject, line: int, *again: int, torn: bytes = b"") -> tuple[list[str], int]:
    """Kill the scenario at a line, then the way back at each of ``again``; what broke, and how many died.

    Args:
        torn: a piece of a line that the first death leaves at the end of the log.
    """
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        folder = copy_of(subject.template, Path(place, "root"))
        codes = [in_child(dies_at_line(line, lambda: subject.scenario.act(folder), *PLACES))]
        if torn and (folder / ".autopilot/events").is_dir():
            with open(folder / ".autopilot/events/events.ndjson", "ab") as file:
                file.write(torn)
        codes += [in_child(dies_at_line(one, lambda: settle(folder), *PLACES)) for one in again]
        broken = [f"it ended with {code}" for code in codes if code not in (0, -signal.SIGKILL)]
        where = f"{subject.scenario.name}: line {line}{''.join(f', then {one}' for one in again)}"
        return [f"{where}: {one}" for one in broken + broken_in(folder)], codes.count(-signal.SIGKILL)


@pytest.mark.timeout(7200)
def test_killed_at_every_line_that_tells(subjects: list[Subject]) -> None:
    everything = [(subject, line) for subject in subjects for line in subject.lines.telling]
    assert len(everything) >= 500
    chosen = random.Random(3).sample(everything, size(50, len(everything)))
    broken = [one for subject, line in chosen for one in killed(subject, line)[0]]
    lines = sum(subject.lines.count for subject in subjects)
    record("T3", "every state that a kill can leave", lines=lines, kills=len(chosen), bad=len(broken))
    assert not broken, "\n".join(broken[:40])


@pytest.mark.timeout(7200)
def test_killed_at_any_line(subjects: list[Subject]) -> None:
    everything = [(subject, line) for subject in subjects for line in range(1, subject.lines.count + 1)]
    chosen = random.Random(33).sample(everything, size(20, 20_000))
    broken, kills = [], 0
    for subject, line in chosen:
        faults, died = killed(subject, line)
        broken += faults
        kills += died
    record("T3", "any line", lines=len(everything), kills=kills, bad=len(broken))
    assert not broken, "\n".join(broken[:40])
    # Not every run of a scenario executes the same number of lines.
    assert kills >= 0.95 * len(chosen)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("times, few, all_of_them", [(2, 20, 5_000), (3, 6, 500)])
def test_killed_again_on_the_way_back(subjects: list[Subject], times: int, few: int, all_of_them: int) -> None:
    rng = random.Random(333 + times)
    broken, done, torn_ends = [], 0, 0
    for _ in range(size(few, all_of_them)):
        subject = rng.choice(subjects)
        torn = rng.choice([b"", b'{"id":"evt-one.1.1","event_type":"task.cl'[: rng.randrange(1, 41)]])
        again = [rng.choice(subject.way_back.telling) for _ in range(times - 1)]
        faults, died = killed(subject, rng.choice(subject.lines.telling), *again, torn=torn)
        broken += faults
        done += died == times
        torn_ends += bool(torn)
    record("T3", f"{times} crashes in a row", crashes=done, torn_ends=torn_ends, bad=len(broken))
    assert not broken, "\n".join(broken[:40])
    assert done >= size(few, all_of_them) / 4
