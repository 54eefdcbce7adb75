"""``autopilotctl init``."""

from __future__ import annotations

import os

import click

from autopilot.cli.app import App, common_options, here, pass_app
from autopilot.cli.executors import COLUMNS, NONE_INSTALLED
from autopilot.cli.output import print_rows
from autopilot.errors import AlreadyExistsError, SetupError

__all__ = ["init"]


@click.command()
@common_options
@pass_app
def init(app: App) -> None:
    """Make a root here and report which agents are installed.

    Writes .autopilot/config.yaml, whose comments explain every setting, and a .gitignore for the folders that
    belong to this machine. What is there already stays as it is, so it may be run again at any time.
    """
    from autopilot.config.load import default_config_text
    from autopilot.config.root import GITIGNORE, make_root

    app.root_option = app.root_option or app.environ.get("AUTOPILOT_ROOT") or os.path.join(here(), ".autopilot")
    root = app.control.root
    new = make_root(root)
    app.note(f"made the root {root.folder}" if new else f"the root {root.folder} is there")
    for name, text in (("config.yaml", default_config_text()), (".gitignore", GITIGNORE.decode())):
        if _write_new(os.path.join(root.folder, name), text):
            app.note(f"wrote {name}")
    try:
        app.control.refuse_network()
    except SetupError as refusal:
        app.note(f"warning: nothing will be dispatched here: {refusal}; {refusal.hint}")
    rows = app.control.executor_rows(fresh=True)
    if not rows:
        app.note(NONE_INSTALLED)
    print_rows(app.format, rows, COLUMNS, name="name")


def _write_new(path: str, text: str) -> bool:
    from autopilot.system.durable import create_file

    try:
        create_file(path, text.encode(), point="init", sync=True)
    except AlreadyExistsError:
        return False
    return True
