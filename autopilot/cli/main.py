"""The entry point of ``autopilotctl``: the table of commands, and the one place where a run begins and ends.

Nothing heavy is imported here: a command's module loads when that command is asked for, and ``--help`` prints
the sentences of the tables.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence

import click

from autopilot._version import __version__
from autopilot.cli.app import App, common_options
from autopilot.cli.faults import guarded, wants_json
from autopilot.cli.lazy import Entry
from autopilot.cli.plugged import PluggedGroup
from autopilot.errors import AutopilotError

__all__ = ["cli", "main"]

PROGRAM = "autopilotctl"

COMMANDS: Mapping[str, Entry] = {
    "init": Entry("autopilot.cli.init:init", "Make a root here and report which agents are installed."),
    "doctor": Entry("autopilot.cli.doctor:doctor", "Check this machine and this root, and say what to mend."),
    "demo": Entry(
        "autopilot.cli.demo.command:demo", "Watch real tasks go from files to done, in a temporary folder."
    ),
    "task": Entry("autopilot.cli.task:task", "Create, list, show, edit and steer tasks."),
    "why": Entry("autopilot.cli.task.why:why", "Say why a task runs, or does not (the same as `task why`)."),
    "dispatch": Entry("autopilot.cli.dispatch:dispatch", "Start what can run: one tick, or for ever."),
    "route": Entry("autopilot.cli.route:route", "Explain which executor a task would get."),
    "stats": Entry("autopilot.cli.stats:stats", "Show what the executors achieved."),
    "executors": Entry("autopilot.cli.executors:executors", "List, probe and reset executors."),
    "plugins": Entry(
        "autopilot.cli.plugins:plugins", "List the installed plugins, broken ones with their reason."
    ),
    "events": Entry("autopilot.cli.events:events", "Read and verify the event log; publish and subscribe."),
    "config": Entry("autopilot.cli.config:config", "Show the settings, and where each comes from."),
    "completion": Entry("autopilot.cli.completion:completion", "Print the completion script of a shell."),
}


@click.command(cls=PluggedGroup, entries=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", "-V", prog_name=PROGRAM, message="%(prog)s %(version)s")
@common_options
def cli() -> None:
    """The control plane for coding agents: tasks are files, decisions are events, executors are plugins.

    A task is a Markdown file in .autopilot/tasks; make one, and dispatch it:

    \b
      autopilotctl task create --title "Say hello" --command "echo hello"
      autopilotctl dispatch tick
      autopilotctl task list

    Exit codes: 0 ok, 1 the work failed, 2 usage, 3 not found, 4 set-up missing, 5 bad input file, 75 busy,
    124 timeout, 130 interrupted.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the answer is the process's exit code.

    Args:
        argv: the arguments without the program's name; ``sys.argv[1:]`` by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    app = App(environ=os.environ)

    def call() -> object:
        return cli.main(args=arguments, prog_name=PROGRAM, standalone_mode=False, obj=app)

    try:
        return guarded(call, as_json=wants_json(arguments), environ=os.environ)
    finally:
        # The work is done and answered for. What cannot be given back now ends with the process.
        with contextlib.suppress(OSError, AutopilotError):
            app.close()
