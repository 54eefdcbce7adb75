"""``python -m tests.mutation.coverage SCOPE…``: which lines and branches of a scope no test of it reaches."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.campaign import FAST
from tests.mutation.scopes import SCOPES, accept_scopes, listing, wanted_scopes

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    """Exit code 1 where a test failed."""
    parser = argparse.ArgumentParser(prog="scripts/coverage", description=__doc__)
    accept_scopes(parser)
    names = wanted_scopes(parser, parser.parse_args().scopes)
    if not names:
        print(listing())
        return 0
    chosen = [SCOPES[name] for name in names]
    tests = sorted({path for scope in chosen for kind in ("tests", "slow") for path in scope.get(kind, [])})
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        environ = {**os.environ, "COVERAGE_FILE": f"{folder}/data", "TMPDIR": folder}
        ended = subprocess.run(
            [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", "--timeout=0", *tests],
            cwd=REPOSITORY,
            env=environ,
            check=False,
        )
        report = ["report", "--show-missing", "--skip-covered", f"--include={_files(chosen)}"]
        # Processes that were killed left a part of theirs, of which the first of these complains.
        for words, heard in ((["combine", "-q"], subprocess.DEVNULL), (report, None)):
            command = [sys.executable, "-m", "coverage", *words]
            subprocess.run(command, cwd=REPOSITORY, env=environ, check=True, stdout=heard, stderr=heard)
    return ended.returncode


def _files(scopes: list[dict[str, list[str]]]) -> str:
    return ",".join(pattern for scope in scopes for pattern in scope["mutate"])


if __name__ == "__main__":
    sys.exit(main())
