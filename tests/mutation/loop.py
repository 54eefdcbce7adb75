"""Tries mutants: a pytest run loop that forks a child per mutant from a process that has collected everything.

``python -m tests.mutation.loop`` in the mutated tree reads its plan from standard input. Verdicts go to the file
that the plan names, a line each, as they come.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import json
import os
import select
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import mutation_switch
import psutil
import pytest
from hypothesis import Phase, settings

from autopilot.system.tree import become_subreaper, die_with_parent

__all__ = ["Loop", "main"]

_SURVIVED = 77
_MOST = 5.0
"""Mutants of a function that many tests reach meet the cheapest of them, up to so many CPU seconds (a second of
waiting counts as a tenth)."""

_CONTROL = 40
"""So seldom are a mutant's tests run without it."""

_PATIENCE_S, _PATIENCE = 10.0, 5.0
"""A mutant has run out of time after so long, and so many times the time that its tests took without it."""


class Loop:
    """In place of pytest's own loop over tests.

    Args:
        mutants: a mutant's name, its version, and the name under which its function's hits are recorded.
        slow: beginnings of the ids of tests that a mutant meets however long they take.
        own: modules whose own tests are not in ``test_<module>.py``, but in ``test_<this>.py``.
    """

    def __init__(
        self,
        *,
        mutants: list[tuple[str, str, str]],
        slow: list[str],
        own: dict[str, str],
        verdicts: str,
        scratch: str,
    ) -> None:
        self._mutants = mutants
        self._slow = tuple(slow)
        self._own = own
        self._verdicts = verdicts
        self._measured = Path(verdicts).with_name("measured.ndjson")
        self._code = _digest(tuple(p for p in Path.cwd().rglob("*.py") if not p.name.startswith("test_")))
        self._scratch = scratch
        self._seconds: dict[str, float] = {}
        self._cost: dict[str, float] = {}
        self._reaching: dict[str, set[str]] = defaultdict(set)
        self._killers: dict[str, Counter[str]] = defaultdict(Counter)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Measure which test reaches what, then try each mutant on the tests that reach it."""
        if session.testsfailed:
            _say("some tests could not be collected")
            raise session.Failed("a broken collection finds every mutant")
        become_subreaper()
        gc.collect()
        gc.freeze()
        items = {item.nodeid: item for item in session.items}
        self._measure(session, list(items.values()))
        with open(self._verdicts, "a", encoding="utf-8") as file:
            for number, (name, version, reach) in enumerate(self._mutants, 1):
                chosen = [items[nodeid] for nodeid in self._choose(reach)]
                began = time.monotonic()
                verdict, killer = self._try(session, name, chosen) if chosen else ("unreached", "")
                self._killers[reach].update([killer] if killer else [])
                line = {"name": name, "version": version, "verdict": verdict, "by": killer, "tests": len(chosen)}
                print(json.dumps({**line, "s": round(time.monotonic() - began, 2)}), file=file, flush=True)
                _say(f"{number}/{len(self._mutants)} {verdict} {name}")
                if number % _CONTROL == 1:
                    self._control(session, chosen, file)
        return True

    def _control(self, session: pytest.Session, items: list[pytest.Item], file: TextIO) -> None:
        """The same tests without a mutant: one that fails by chance would have "found" mutants as well."""
        verdict, killer = self._try(session, "", items) if items else ("survived", "")
        print(json.dumps({"name": "", "version": "", "verdict": verdict, "by": killer}), file=file, flush=True)

    def _measure(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        known = {test["nodeid"]: test["version"] for test in _lines(self._measured) if not test["failed"]}
        new = [item for item in items if known.get(item.nodeid) != self._version(item)]
        if new and not self._mutants:
            _say(f"measuring {len(new)} tests")
            with _child(self._scratch, self._record, session, new) as (child, _):
                os.waitpid(child, 0)
        tests = {test["nodeid"]: test for test in _lines(self._measured)}
        for test in (tests[item.nodeid] for item in items if item.nodeid in tests):
            if test["failed"]:
                _say(f"fails without a mutant, and is left out: {test['nodeid']}")
                continue
            self._seconds[test["nodeid"]] = test["s"]
            self._cost[test["nodeid"]] = test["cpu"] + test["s"] / 10
            for function in test["reached"]:
                self._reaching[function].add(test["nodeid"])
        _say(f"{len(self._seconds)} tests take {sum(self._seconds.values()):.0f} s")

    def _record(self, session: pytest.Session, items: list[pytest.Item], _: int) -> None:
        hits = mutation_switch.activate(hits=self._scratch)
        with self._measured.open("a", encoding="utf-8") as file:
            for item, following in zip(items, [*items[1:], None], strict=True):
                failed, began, cpu = session.testsfailed, time.monotonic(), sum(os.times()[:4])
                item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
                test = {
                    "nodeid": item.nodeid,
                    "version": self._version(item),
                    "s": time.monotonic() - began,
                    "cpu": sum(os.times()[:4]) - cpu,
                    "failed": session.testsfailed > failed,
                    "reached": sorted(hits.turn()),
                }
                print(json.dumps(test), file=file, flush=True)

    def _version(self, item: pytest.Item) -> str:
        return self._code + _digest((item.path,))

    def _choose(self, reach: str) -> list[str]:
        """Tests that reach a function: killers of its mutants first, then the module's own, then cheap ones."""
        module = reach.split(".")[-2]
        own = f"/test_{self._own.get(module, module)}.py"
        tests = self._reaching[reach]
        killers = [test for test, _ in self._killers[reach].most_common(8)]
        files = defaultdict(list)
        for test in sorted(tests.difference(killers), key=self._cost.__getitem__):
            files[test.partition("::")[0]].append(test)
        chosen = killers + [test for tests in files.values() if own in tests[0] for test in tests]
        others = [tests for tests in files.values() if own not in tests[0]]
        for tests in sorted(others, key=lambda tests: self._total(tests) / len(tests)):
            for test in tests:
                if not chosen or self._total([*chosen, test]) <= _MOST or test.startswith(self._slow):
                    chosen = [*chosen, test]
        return chosen

    def _total(self, tests: list[str]) -> float:
        return sum(self._cost[test] for test in tests)

    def _try(self, session: pytest.Session, mutant: str, items: list[pytest.Item]) -> tuple[str, str]:
        """The verdict, and the test that found the mutant."""
        limit = _PATIENCE_S + _PATIENCE * sum(self._seconds[item.nodeid] for item in items)
        with _child(self._scratch, _run, session, items, mutant) as (child, said):
            if not _ends(child, limit):
                return "timeout", ""
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return ("survived", "") if code == _SURVIVED else ("killed", _read(said))


def _run(session: pytest.Session, items: list[pytest.Item], mutant: str, say: int) -> None:
    mutation_switch.activate(mutant)
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.ihook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed:
            os.write(say, item.nodeid.encode())
            os._exit(1)
    os._exit(_SURVIVED)


@contextmanager
def _child(scratch: str, do: Callable[..., None], *args: object) -> Iterator[tuple[int, int]]:
    """A forked child in a folder for temporary files of its own; nothing of either is left afterwards.

    ``do`` gets a pipe as its last argument; yields the child's pid and the other end of the pipe.
    """
    folder = tempfile.mkdtemp(dir=scratch)
    said, say = os.pipe2(os.O_NONBLOCK)
    pid = os.fork()
    if pid == 0:
        try:
            die_with_parent()
            os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = tempfile.tempdir = folder
            do(*args, say)
        finally:
            os._exit(1)
    os.close(say)
    try:
        yield pid, said
    finally:
        os.close(said)
        _end_everything()
        shutil.rmtree(folder, ignore_errors=True)


def _ends(child: int, limit_s: float) -> bool:
    fd = os.pidfd_open(child)
    try:
        return bool(select.select([fd], [], [], limit_s)[0])
    finally:
        os.close(fd)


def _read(fd: int) -> str:
    try:
        return os.read(fd, 4096).decode()
    except BlockingIOError:  # something else that the mutant started still holds the other end
        return ""


def _end_everything() -> None:
    while family := psutil.Process().children(recursive=True):
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        while _reap():
            pass


@functools.cache
def _digest(paths: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def _reap() -> bool:
    try:
        return os.waitpid(-1, 0)[0] != 0
    except ChildProcessError:
        return False


def _say(line: str) -> None:
    os.write(_screen, f"{line}\n".encode())


_screen = 2


def main() -> int:
    """Run the plan: the arguments of ``Loop``, ``tests`` as pytest takes them, ``fast`` for a fast folder."""
    global _screen
    plan = json.load(sys.stdin)
    settings.register_profile("mutation", derandomize=True, phases=(Phase.explicit, Phase.generate))
    settings.load_profile("mutation")
    _screen = os.dup(2)
    with tempfile.TemporaryDirectory(prefix="m-", dir=plan["fast"]) as scratch:
        loop = Loop(scratch=scratch, **{name: plan[name] for name in ("mutants", "slow", "own", "verdicts")})
        with open(os.devnull, "w", encoding="utf-8") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        return int(pytest.main(["-q", "--tb=native", *plan["tests"], *plan["slow"]], plugins=[loop]))


if __name__ == "__main__":
    sys.exit(main())
