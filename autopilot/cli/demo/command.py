"""The click command of ``autopilotctl demo``."""

from __future__ import annotations

import click

from autopilot.cli.app import App, pass_app

__all__ = ["demo"]


@click.command()
@click.option("--keep", is_flag=True, help="Keep the folder, to look round in it.")
@pass_app
def demo(app: App, keep: bool) -> int:
    """Watch real tasks go from files to done, in a temporary folder.

    Makes a small git repository with a failing test, queues tasks with priorities and a dependency, one of which
    fails at first, and dispatches them for real with the local executor. Exit code 0 only when all ended as
    expected. Nothing outside the folder is touched.
    """
    from autopilot.cli.demo import run_demo

    return run_demo(keep=keep, environ=app.environ)
