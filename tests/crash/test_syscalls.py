"""T2: the unmodified command line, killed at its n-th system call, or refused that call, as strace does it.

Every process of a run is disturbed at its own n-th call: the command, the launcher, the runner, the executor's
program. Then fresh processes bring the root to its end, and what they find is held against what the command said
with its exit code, what the tasks' own commands wrote, the files and the log (``oracle``).
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.campaign import FAST, record, size
from tests.crash.scenarios import broken_in, copy_of
from tests.crash.syscalls import CALLS, Program, Run, Trouble, program, why_not
from tests.crash.world import note, text

ANSWERS = {0, 2, 4, 5}
"""What a command may answer when the machine refuses it something: it went without; the file that the command line
names cannot be read; what was refused; the task's file cannot be read."""

RAN = """command: printf '["%s", %s]\\n' "$AUTOPILOT_TASK_ID" "$AUTOPILOT_ATTEMPT" >>ran"""
"""What the tasks run: it tells the oracle."""

CONFIG = """\
durability: full
dispatcher:
  backoff_s: 0
  backoff_max_s: 0
limits:
  lease_ttl_s: 5
  beat_s: 1
  grace_s: 0.5
"""


@attrs.frozen
class Command:
    """A command that is disturbed.

    Attributes:
        before: commands that have made the root.
        promise: the ack that its success is worth.
    """

    argv: str
    before: tuple[str, ...] = ()
    promise: tuple[object, ...] = ()

    def template(self, control: Program, folder: Path) -> None:
        """Make the root that each injection gets a copy of."""
        (folder / ".autopilot").mkdir(parents=True, mode=0o700)
        (folder / ".autopilot/config.yaml").write_text(CONFIG)
        (folder / "one.md").write_bytes(text("one", RAN))
        for argv in self.before:
            assert control.run(folder, argv).exit_code == 0
            if argv == CREATE:
                note(folder / "acks", "created", "one")
            patience = time.monotonic() + 60
            while argv == START and not (folder / ".autopilot/runs/one/1/result.json").exists():
                assert time.monotonic() < patience
                time.sleep(0.01)


CREATE = "task create --file one.md"
START = "dispatch tick --no-wait"
COMMANDS = (
    Command(CREATE, promise=("created", "one")),
    Command("task edit one --set priority=high", (CREATE,), ("edited", "one", {"priority": "high"})),
    Command("task cancel one", (CREATE,)),
    Command("dispatch tick", (CREATE,)),
    Command(START, (CREATE, START)),
    Command("events publish ch words", (CREATE,)),
)


@pytest.fixture(scope="module")
def control(templates: object) -> Iterator[Program]:
    # The templates are not needed: with them this process is warm, which judges each injection in a child.
    if reason := why_not():
        pytest.skip(reason)
    with program() as made:
        yield made


def troubles(control: Program, command: Command, template: Path) -> list[Trouble]:
    """Every call of the undisturbed command, killed at and refused."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        run, calls = control.calls(copy_of(template, Path(place, "root")), command.argv)
    assert run.exit_code == 0, run
    return [
        Trouble(call, nth, error)
        for call, count in calls.items()
        for nth in range(1, count + 1)
        for error in ("", *CALLS[call])
    ]


def disturb(control: Program, command: Command, template: Path, trouble: Trouble) -> list[str]:
    """One injection; what it broke."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        folder = copy_of(template, Path(place, "root"))
        run = control.disturbed(folder, command.argv, trouble)
        if run.exit_code == 0 and command.promise:
            note(folder / "acks", *command.promise)
        broken = [*badly_said(run, trouble), *broken_in(folder)]
        return [f"{command.argv}: {trouble}: {one}" for one in broken]


def badly_said(run: Run, trouble: Trouble) -> list[str]:
    """What is wrong with how the program ended."""
    if not trouble.error and run.exit_code == -signal.SIGKILL:
        return []
    if run.exit_code not in ANSWERS or "Traceback" in run.said:
        return [f"it ended with {run.exit_code} and said {run.said!r}"]
    if run.exit_code and ("error: " not in run.said or "unexpected fault" in run.said):
        return [f"it ended with {run.exit_code} and did not say why: {run.said!r}"]
    return []


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("number", range(len(COMMANDS)), ids=[command.argv for command in COMMANDS])
def test_every_system_call_killed_or_refused(control: Program, number: int) -> None:
    command = COMMANDS[number]
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        template = Path(place, "template")
        command.template(control, template)
        everything = troubles(control, command, template)
        chosen = random.Random(20261128).sample(everything, size(6, len(everything)))
        broken = [line for trouble in chosen for line in disturb(control, command, template, trouble)]
    kills = sum(not trouble.error for trouble in chosen)
    record("T2", command.argv, possible=len(everything), injections=len(chosen), kills=kills, bad=len(broken))
    assert not broken, "\n".join(broken[:60])
