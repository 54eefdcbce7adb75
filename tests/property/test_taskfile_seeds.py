"""The task-file campaign (T6): seed files of every class, and mutations of them. Nothing crashes or is silent."""

from __future__ import annotations

import os
import random
import tracemalloc
from collections import Counter

import pytest

from autopilot.errors import TaskFormatError
from autopilot.models import Task
from autopilot.taskfile import edit, fast, full, parse, parse_frontmatter, read_fields, source
from tests.property.seeds import Seed, all_seeds

SIZE = int(os.environ.get("AUTOPILOT_TEST_SIZE", "1"))
MUTATIONS = 20_000 * SIZE
SEEDS = all_seeds()
SMALL = [seed.data for seed in SEEDS if len(seed.data) < 2_000]
VALID = [seed.data for seed in SEEDS if len(seed.data) < 2_000 and seed.expect == "ok"]
TOKENS = [
    *(
        b"---\n",
        b"\n---\n",
        b": ",
        b" #",
        b"- ",
        b"\n  - ",
        b"\t",
        b"\r\n",
        b"\r",
        b"\0",
        b"\xef\xbb\xbf",
        b'"',
        b"'",
        b"\\",
    ),
    *(
        b"&a ",
        b"*a",
        b"!!str ",
        b"<<: ",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"|\n",
        b">\n",
        b"? ",
        b"%",
        b"@",
        b"`",
        b"~",
        b"null",
    ),
    *(
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\xff",
        b"\xed\xa0\x80",
        b"\x1b",
        b"=======\n",
        b"status: done\n",
        b"id: x\n",
        b"schema: 2\n",
    ),
    *(b"title: ", b"result:\n  a: b\n", b"\n\n", b"  ", b"0", b"\xf0\x9f\x9a\x80"),
]


def judge(data: bytes) -> Task | TaskFormatError:
    """Parse, and check what must hold for any bytes."""
    try:
        task = parse(data, path="t.md")
    except TaskFormatError as fault:
        check_fault(fault, data)
        return fault
    fields = read_fields(data)
    assert {key: getattr(task, key) for key in fields} == fields
    return task


def check_fault(fault: TaskFormatError, data: bytes) -> None:
    assert fault.path == "t.md"
    assert fault.message and fault.hint
    assert len(fault.message) < 500 and len(fault.hint) < 700, "one screen line, whatever the file holds"
    assert 0 <= fault.line <= data.count(b"\n") + 1
    assert fault.column >= (1 if fault.line else 0)
    assert str(fault).startswith("t.md:")


def check_edit(data: bytes) -> None:
    """Setting owned keys changes their lines only."""
    values = {"status": "blocked", "attempt": 7, "result": {"executor": "x: y", "verified": None}}
    try:
        done = edit(data, values)
    except TaskFormatError as fault:
        assert fault.message and fault.hint
        return
    old, new = parse_frontmatter(data), parse_frontmatter(done)
    assert {key: new[key] for key in new if key not in values} == {
        key: old[key] for key in old if key not in values
    }
    assert new["status"] == "blocked"
    assert new["result"] == values["result"]
    before, after = source.split(data), source.split(done)
    assert done[: after.begin] == data[: before.begin]
    assert done[after.end :] == data[before.end :]


def check_readers_agree(data: bytes) -> None:
    """Where the fast reader is sure, the full one says the same."""
    try:
        head = source.split(data).head
    except TaskFormatError:
        return
    found = fast.read(head)
    if found is not None:
        assert full.read(head).values == found


def test_there_are_enough_seeds() -> None:
    counts = Counter(seed.kind for seed in SEEDS)
    assert len(counts) >= 30
    assert len({seed.data for seed in SEEDS}) >= 500
    assert min(counts.values()) >= 10


@pytest.mark.parametrize("kind", sorted({seed.kind for seed in SEEDS}))
def test_seeds(kind: str) -> None:
    for seed in SEEDS:
        if seed.kind == kind:
            judged = judge(seed.data)
            assert seed.expect in (None, "ok" if isinstance(judged, Task) else "bad"), (seed.data[:300], judged)
            check_edit(seed.data)
            check_readers_agree(seed.data)


def test_the_largest_seeds_stay_small_in_memory() -> None:
    for seed in (seed for seed in SEEDS if len(seed.data) > 50_000):
        assert peak_memory(seed) < 64 * 1024 * 1024, (seed.kind, len(seed.data))


def peak_memory(seed: Seed) -> int:
    tracemalloc.start()
    try:
        judge(seed.data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def mutated(rng: random.Random) -> bytes:
    data = rng.choice(SMALL if rng.random() < 0.3 else VALID)
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(OPERATORS)(rng, data)
    return data


def splice(rng: random.Random, data: bytes) -> bytes:
    other = rng.choice(SMALL)
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def insert_token(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(TOKENS) + data[at:]


def drop(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + data[at + rng.randint(1, 12) :]


def flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data or b"-")
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def move_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    lines.insert(rng.randint(0, len(lines)), lines[at])
    if rng.random() < 0.5:
        del lines[at]
    return b"".join(lines)


def indent_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = b" " * rng.randint(1, 4) + lines[at] if rng.random() < 0.7 else lines[at].lstrip()
    return b"\n".join(lines)


OPERATORS = (splice, insert_token, insert_token, drop, flip, move_lines, indent_line)


@pytest.mark.parametrize("part", range(4))
def test_mutations(part: int) -> None:
    rng = random.Random(f"task files {part}")
    seen: Counter[str] = Counter()
    for _ in range(MUTATIONS // 4):
        data = mutated(rng)
        seen[type(judge(data)).__name__] += 1
        check_readers_agree(data)
        if seen.total() % 5 == 0:
            check_edit(data)
    assert seen["Task"] > MUTATIONS // 40, "a campaign in which nothing parses proves little"
    assert seen["TaskFormatError"] > MUTATIONS // 40
