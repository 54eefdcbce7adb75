"""How fast are task files read and edited, next to PyYAML's C loader in the same run?

    python tests/benchmarks/bench_taskfile.py [files]        (2,000 files of each kind by default)

Every number is CPU time of this process, the best of five rounds in which all contenders take turns. The ratio
is the contender's speed over that of ``yaml.load(frontmatter, CSafeLoader)`` on the same files, which does less:
it cuts nothing, checks nothing and types nothing.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Sequence

import yaml

from autopilot.errors import TaskFormatError
from autopilot.models import Status
from autopilot.taskfile import edit, fast, full, parse, read_fields, render
from autopilot.taskfile.source import split

ROUNDS = 5
WORDS = "fix login page error form keep value after timeout retry order cart price tax user mail".split()


def pending(rng: random.Random, number: int) -> bytes:
    fields = {
        "id": f"req-20261122-{number:08x}",
        "title": " ".join(rng.choices(WORDS, k=6)).capitalize(),
        "status": Status.PENDING,
        "priority": rng.choice(["critical", "high", "medium", "low"]),
        "task_type": rng.choice(["bugfix", "feature", "docs"]),
        "timeout_minutes": rng.randint(1, 90),
        "tags": rng.sample(WORDS, 2),
        "depends_on": [f"req-20261122-{number - 1:08x}"] if number else [],
        "created_at": "2026-11-22T09:14:03.123456Z",
    }
    return render(fields, " ".join(rng.choices(WORDS, k=60)) + "\n")


def done(rng: random.Random, number: int) -> bytes:
    result = {"executor": "local", "outcome": "succeeded", "verified": True, "cost_usd": 0.12, "reason": None}
    ends = {"status": Status.DONE, "updated_at": "2026-11-22T09:20:00.000000Z", "attempt": 1, "result": result}
    return edit(pending(rng, number), ends)


def rich(rng: random.Random, number: int) -> bytes:
    more = "acceptance_criteria: >-\n  It works,\n  always.\nowner: {name: A, team: [b, c]}\n---\n\n"
    return pending(rng, number).replace(b"---\n\n", more.encode(), 1)


def timed(work: Callable[[bytes], object], files: Sequence[bytes]) -> float:
    start = time.process_time()
    for data in files:
        work(data)
    return time.process_time() - start


def heads_of(files: Sequence[bytes]) -> dict[bytes, str]:
    return {data: split(data).head for data in files}


def compare(name: str, files: Sequence[bytes]) -> None:
    heads = heads_of(files)
    contenders: dict[str, Callable[[bytes], object]] = {
        "yaml.load, CSafeLoader": lambda data: yaml.load(heads[data], Loader=yaml.CSafeLoader),
        "full reader": lambda data: full.read(heads[data]),
        "fast reader": lambda data: fast.read(heads[data]),
        "read_fields": read_fields,
        "parse": parse,
        "edit (status, attempt)": lambda data: edit(data, {"status": "claimed", "attempt": 9}),
    }
    best = dict.fromkeys(contenders, float("inf"))
    for _ in range(ROUNDS):
        for label, work in contenders.items():
            best[label] = min(best[label], timed(work, files))
    sure = sum(fast.read(head) is not None for head in heads.values()) / len(heads)
    print(f"\n{name}: {len(files)} files, {sure:.0%} by the fast reader")
    base = best["yaml.load, CSafeLoader"]
    for label, seconds in best.items():
        print(f"  {label:24} {len(files) / seconds:10,.0f} files/s   {base / seconds:6.2f} x")


def worst() -> None:
    """The slowest of the campaign's seed files, which no limit may let grow."""
    from tests.property.seeds import all_seeds

    def cost(data: bytes) -> float:
        start = time.process_time()
        try:
            parse(data)
        except TaskFormatError:
            pass
        return time.process_time() - start

    costs = sorted(((cost(seed.data), seed.kind, len(seed.data)) for seed in all_seeds()), reverse=True)
    print("\nslowest seeds")
    for seconds, kind, size in costs[:5]:
        print(f"  {seconds * 1000:8.1f} ms   {kind}, {size:,} bytes")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    rng = random.Random(1)
    for kind in (pending, done, rich):
        compare(kind.__name__, [kind(rng, number) for number in range(count)])
    worst()


if __name__ == "__main__":
    sys.path.insert(0, __file__.rpartition("/tests/")[0])
    main()
