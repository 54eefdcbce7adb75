"""Secrets: an agent cannot fetch the dispatcher's, and those of its own that it prints stand in no file."""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from autopilot.models import Outcome
from tests.process.bench import RIGHTLESS
from tests.process.runner_support import Arena, arena

CANARY = 'canary/+&? ü"0123456789'
FETCH = r"""
import json, os, sys

def ancestors():
    pid = os.getpid()
    while pid > 1:
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rpartition(")")[2].split()[1])
        yield pid

seen = {}
for pid in ancestors():
    try:
        with open(f"/proc/{pid}/comm") as file:
            name = file.read().strip()
        with open(f"/proc/{pid}/environ", "rb") as file:
            file.read()
        seen[str(pid)] = "open"
    except PermissionError:
        seen[str(pid)] = "closed"
    try:
        with open(f"/proc/{pid}/mem", "rb"):
            seen[str(pid)] = "open"
    except PermissionError:
        pass
with open(sys.argv[1], "w") as file:
    json.dump(seen, file)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc here")

WITHOUT_POWERS = RIGHTLESS if os.getuid() == 0 else ()


@pytest.mark.skipif(
    bool(WITHOUT_POWERS) and shutil.which("setpriv") is None, reason="root without setpriv (util-linux) reads all"
)
def test_no_process_above_the_agent_shows_its_environment(tmp_path: Path) -> None:
    """Host, runner, launcher and dispatcher, of a real attempt of the same user."""

    def ctl(*arguments: str, **environ: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPILOT_")}
        words = [*WITHOUT_POWERS, sys.executable, "-m", "autopilot.cli", *arguments]
        done = subprocess.run(
            words, cwd=tmp_path, env={**kept, **environ}, capture_output=True, text=True, timeout=300, check=True
        )
        return done.stdout

    (tmp_path / "fetch.py").write_text(FETCH)
    # With something after it the shell stays: the one ancestor that an agent may look into, which shows it can.
    command = shlex.join([sys.executable, "fetch.py", "seen.json"]) + "; true"
    ctl("task", "create", "--id", "t", "--title", "t", "--command", command)
    ticked = ctl("dispatch", "tick", "-o", "json", APP_API_KEY=CANARY)
    assert json.loads(ticked)[0]["outcome"] == "succeeded", ticked
    seen = json.loads((tmp_path / "seen.json").read_text())
    outside = {str(pid) for pid in _own_ancestors()}
    ours = {pid: how for pid, how in seen.items() if pid not in outside}
    assert list(ours.values()) == ["open", "closed", "closed", "closed", "closed"], seen


def _own_ancestors() -> Iterator[int]:
    pid = os.getpid()
    while pid >= 1:
        yield pid
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# ---------------------------------------------------------------------- printed by the agent


def forms(value: str) -> dict[str, str]:
    """The ways in which programs write a value down."""
    raw = value.encode()
    return {
        "as it is": value,
        "JSON": json.dumps(value)[1:-1],
        "JSON as JavaScript writes it": json.dumps(value, ensure_ascii=False)[1:-1],
        "URL": quote(value, safe=""),
        "URL, lower case": re.sub("%..", lambda byte: byte[0].lower(), quote(value, safe="")),
        "form": quote_plus(value),
        "base64": base64.b64encode(raw).decode(),
        "base64, URL-safe": base64.urlsafe_b64encode(raw).decode(),
        "basic authentication": base64.b64encode(b"user:" + raw).decode(),
    }


def kernels(value: str) -> list[bytes]:
    """Bytes of which each form has some, whatever stands around it."""
    raw = value.encode()
    cores = [base64.b64encode(b"\0" * lead + raw)[4:-4] for lead in range(3)]
    return [b"canary/", b"canary%2", b"0123456789", *cores, *(core.replace(b"+", b"-") for core in cores)]


AGENT = r"""
import json, os, sys
for number, line in enumerate(json.load(open(sys.argv[1]))):
    stream = (sys.stdout, sys.stderr)[number % 2]
    long = "x" * (number * 997)
    for piece in (line[:7], line[7:], "\n", long, line * 3, "\n", json.dumps({"said": line}), "\n"):
        stream.write(piece)
        stream.flush()
sys.stdout.write(sys.argv[2] * 2000)
sys.exit(3)
"""


@pytest.fixture(params=["environment", "config"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Arena]:
    with arena(tmp_path, **({"APP_API_KEY": CANARY} if request.param == "environment" else {})) as made:
        made.known = {"environment": ("APP_API_KEY",)}  # type: ignore[attr-defined]
        if request.param == "config":
            made.known = {"environment_values": {"APP_API_KEY": CANARY}}  # type: ignore[attr-defined]
        yield made


def leaks(root: Path) -> list[str]:
    """Where below the root something of the canary is."""
    found = []
    for path in root.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        found += [f"{path.relative_to(root)}: {kernel!r}" for kernel in kernels(CANARY) if kernel in data]
    return found


def test_a_secret_that_the_agent_prints_is_in_no_file(place: Arena) -> None:
    """By an executor's program, its own code, a verify command; in every form; in outcomes as well."""
    said = place.folder / "said.json"
    said.write_text(json.dumps(list(forms(CANARY).values())))
    (place.folder / "agent.py").write_text(AGENT)
    line = f'{shlex.quote(sys.executable)} {place.folder}/agent.py {said} "$APP_API_KEY"'
    outcomes: list[Outcome] = []
    known = place.known  # type: ignore[attr-defined]
    outcomes.append(place.do(f"{line}; {line} 2>&1", executor="shell", **known).outcome)
    body = (
        "import os, sys\n"
        "secret = os.environ['APP_API_KEY']\n"
        "print(secret, file=sys.stderr)\n"
        "context.report(Progress(message=secret, session_id=secret))\n"
        "outcome = Outcome(kind=Kind.SUCCEEDED, message=secret, hint=secret, evidence={'a': [secret]})"
    )
    place.fresh()
    result = place.do(body, verify=(line,), **known)
    outcomes.append(result.outcome)
    assert not result.verdicts[0].ok
    assert leaks(place.root) == []
    told = json.dumps([repr(outcomes), repr(result.verdicts)]).encode()
    assert not any(kernel in told for kernel in kernels(CANARY))
    kept = "".join(path.read_text(errors="replace") for path in place.root.rglob("*.log"))
    assert kept.count("[redacted:APP_API_KEY:") > 30, "nothing was printed, so nothing was shown"


def test_a_secret_that_the_agent_was_not_given_and_found_all_the_same_is_hidden(tmp_path: Path) -> None:
    with arena(tmp_path, APP_API_KEY=CANARY) as place:
        found = place.folder / "creds.txt"
        found.write_text(CANARY)
        place.do(f"cat {found}; cat {found} >&2; exit 1", executor="shell")
        assert leaks(place.root) == []
        assert "[redacted:APP_API_KEY:" in (place.run / "stdout.log").read_text()


def test_the_search_would_find_it(tmp_path: Path) -> None:
    for number, (name, text) in enumerate(forms(CANARY).items()):
        (tmp_path / str(number)).write_text(f"x{text}y")
        assert any(found.startswith(f"{number}:") for found in leaks(tmp_path)), name
