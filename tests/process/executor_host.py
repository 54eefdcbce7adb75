"""Runs one attempt of a ``CommandExecutor`` in a process of its own, and tells what it came to and cost.

    python executor_host.py RUN_DIR LIMITS_JSON PARSE ARGV...

PARSE is ``lines`` for an executor that looks at every line, ``none`` for one that looks at none.
"""

from __future__ import annotations

import json
import os
import sys
import time

from autopilot import AttemptContext, Command, CommandExecutor, Limits, Outcome, OutcomeKind, Progress, Task
from autopilot.executors.command import json_line


class Plain(CommandExecutor):
    """Looks at no line."""

    name = "plain"

    def command(self, context):
        return Command(sys.argv[4:])

    def judge(self, exit_code, transcript):
        evidence = {
            "bytes": [transcript.stdout_bytes, transcript.stderr_bytes],
            "kept": [len(transcript.stdout), len(transcript.stderr)],
            "final": transcript.final,
        }
        kind = OutcomeKind.SUCCEEDED if exit_code == 0 else OutcomeKind.FAILED
        return Outcome(kind=kind, evidence=evidence)


class Parsing(Plain):
    """Looks at every line."""

    def parse(self, line, stream):
        said = json_line(line)
        return None if said is None else Progress(final=bool(said.get("final")))


def peak_mib():
    """The most memory this program ever had. ``ru_maxrss`` would count that of whoever started it, too."""
    with open("/proc/self/status") as file:
        peaks = [line.split()[1] for line in file if line.startswith("VmHWM:")]
    return int(peaks[0]) / 1024


def main():
    run_dir, limits, parse = sys.argv[1:4]
    executor = Parsing() if parse == "lines" else Plain()
    context = AttemptContext(
        task=Task(id="t", title="T"),
        number=1,
        prompt="",
        workdir=run_dir,
        run_dir=run_dir,
        environment={"PATH": os.environ["PATH"]},
        limits=Limits(**json.loads(limits)),
    )
    began = time.monotonic()
    outcome = executor.run(context)
    print(
        json.dumps(
            {
                "kind": outcome.kind,
                "code": outcome.exit_code,
                "evidence": outcome.evidence,
                "took": time.monotonic() - began,
                "rss_mib": peak_mib(),
            }
        )
    )


if __name__ == "__main__":
    main()
