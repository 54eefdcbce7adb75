"""``python -m tests.mutation SCOPE…``: try mutants of a part of the core, and say which ones no test finds."""

from __future__ import annotations

import argparse
import functools
import json
import os
import random
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.campaign import FAST, record
from tests.mutation.scopes import SCOPES, accept_scopes, listing, wanted_scopes
from tests.mutation.tree import Mutant, build

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
_VERDICTS = "verdicts.ndjson"


def main() -> int:
    """Exit code 1 where fewer than 90 of 100 mutants are found, or none was tried."""
    options = _options()
    if not options.scopes:
        print(listing())
        return 0
    reports = [_scope(name, SCOPES[name], options) for name in options.scopes]
    codes = [code for code in reports if code is not None]
    if not codes:
        print(
            f"scripts/mutation: no mutant of {' '.join(options.scopes)} was tried: {_why_none(options)}",
            file=sys.stderr,
        )
    return max(codes, default=1)


def _why_none(options: argparse.Namespace) -> str:
    if options.report:
        return "there are no verdicts yet; run it without --report, or look at --file and --change"
    return "none is left by --file, --sample and --change"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutation", description=__doc__)
    accept_scopes(parser)
    parser.add_argument("--file", default="", help="only files whose path contains this")
    parser.add_argument("--sample", type=int, metavar="N", help="at most N mutants of a file, the same each time")
    parser.add_argument("--change", default="", help="only mutants whose changed lines contain this")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="try so many at once")
    parser.add_argument("--again", action="store_true", help="try those once more that were not found")
    parser.add_argument("--slow", action="store_true", help="with the scope's slow tests, too")
    parser.add_argument("--report", action="store_true", help="try none; say what is known")
    options = parser.parse_args()
    options.scopes = wanted_scopes(parser, options.scopes)
    return options


def _scope(name: str, scope: dict[str, Any], options: argparse.Namespace) -> int | None:
    """The exit code; None where there is nothing to report."""
    place = REPOSITORY / "build" / "mutation" / name
    # A report must not take the tree away from a run that is on its way.
    tree = place / ("report" if options.report else "tree")
    everything = build(REPOSITORY, tree, scope["mutate"], options.file)
    mutants = [mutant for mutant in _sample(everything, options.sample) if options.change in mutant.change]
    known = _known(place, mutants)
    pending = [m for m in mutants if m not in known or (options.again and known[m] in ("survived", "unreached"))]
    if pending and not options.report:
        tests = {
            "tests": scope["tests"],
            "slow": scope.get("slow", []) if options.slow else [],
            "own": scope.get("own", {}),
        }
        _run(place, [], tests)  # measures, once for all
        _side_by_side(place, pending, tests, options.jobs)
        known = _known(place, mutants)
    return _report(name, len(everything), known) if known else None


def _sample(mutants: list[Mutant], size: int | None) -> list[Mutant]:
    """In an order by chance, the same each time: what an interrupted run has done is a sample, too."""
    mutants = random.Random("order").sample(mutants, len(mutants))
    taken: Counter[str] = Counter()
    chosen = []
    for mutant in mutants:
        taken[mutant.file] += 1
        if size is None or taken[mutant.file] <= size:
            chosen.append(mutant)
    return chosen


def _known(place: Path, mutants: list[Mutant]) -> dict[Mutant, str]:
    verdicts = place / _VERDICTS
    lines = verdicts.read_text(encoding="utf-8").splitlines() if verdicts.exists() else []
    latest = {(line["name"], line["version"]): line["verdict"] for line in map(json.loads, lines)}
    return {m: latest[m.name, m.version] for m in mutants if (m.name, m.version) in latest}


def _side_by_side(place: Path, mutants: list[Mutant], tests: dict[str, Any], jobs: int) -> None:
    with ThreadPoolExecutor(jobs) as pool:
        for done in [pool.submit(_run, place, mutants[job::jobs], tests) for job in range(jobs)]:
            done.result()


def _run(place: Path, mutants: list[Mutant], tests: dict[str, Any]) -> None:
    plan: dict[str, Any] = {
        "mutants": [(mutant.name, mutant.version, mutant.reach) for mutant in mutants],
        "verdicts": str(place / _VERDICTS),
        "fast": FAST,
        **tests,
    }
    tree = place / "tree"
    subprocess.run(
        [sys.executable, "-m", "tests.mutation.loop"],
        input=json.dumps(plan).encode(),
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        check=True,
    )


def _report(name: str, generated: int, known: dict[Mutant, str]) -> int:
    silent = [mutant for mutant, verdict in known.items() if verdict in ("survived", "unreached")]
    survivors = [mutant for mutant in silent if not _is_equivalent(mutant)]
    for mutant in survivors:
        print(f"{known[mutant]}: {mutant.function}: {mutant.change}")
    counts = Counter(known.values())
    equivalent = len(silent) - len(survivors)
    score = 100 * (1 - len(survivors) / max(1, len(known) - equivalent))
    record(
        "mutation",
        name,
        generated=generated,
        tried=len(known),
        killed=counts["killed"],
        timeouts=counts["timeout"],
        equivalent=equivalent,
        survivors=len(survivors),
        score=round(score, 1),
    )
    return int(score < 90)


@functools.cache
def _equivalent() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in sorted((HERE / "equivalent").glob("*.toml")):
        for kind, entries in tomllib.loads(path.read_text(encoding="utf-8")).items():
            found[kind] += entries
    return found


def _is_equivalent(mutant: Mutant) -> bool:
    listed = any(
        entry["function"] == mutant.function and entry["change"] == mutant.change
        for entry in _equivalent()["mutant"]
    )
    ruled = any(
        re.fullmatch(rule["function"], mutant.function) and re.search(rule["change"], mutant.change)
        for rule in _equivalent()["rule"]
    )
    old, _, new = mutant.change.partition(" => ")
    respelled = new.replace("XX", "").lower() == old.lower()
    return listed or ruled or (respelled and any(re.search(rule["in"], old) for rule in _equivalent()["spelling"]))


if __name__ == "__main__":
    sys.exit(main())
