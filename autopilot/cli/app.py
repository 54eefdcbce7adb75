"""What one run of ``autopilotctl`` shares: the root that was asked for, the output format, the core's facade."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from autopilot.errors import SetupError

if TYPE_CHECKING:
    from autopilot.dispatcher.control import Control

__all__ = ["FORMATS", "App", "common_options", "here", "on_terminal", "pass_app", "root_option"]

FORMATS = ("table", "json", "ndjson", "name")

F = TypeVar("F", bound=Callable[..., Any])


def here() -> str:
    """The current folder.

    Raises:
        SetupError: it was removed while this shell was in it.
    """
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise SetupError(
            "the current folder was removed", hint="cd to one that exists, and run it again"
        ) from None


class App:
    """One run of the program.

    Attributes:
        environ: the environment variables.
        root_option: the value of ``--root``, None where it was not given.
        format: how data is printed: one of ``FORMATS``.
        plugins_asked: whether plugins had the chance to add commands in this run.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.root_option: str | None = None
        self.format = "table"
        self.plugins_asked = False

    @functools.cached_property
    def control(self) -> Control:
        """The core, opened on the root that was asked for; reading creates nothing.

        Raises:
            SetupError: the root cannot be used, or the current folder was removed.
        """
        from autopilot.config.root import find_root
        from autopilot.dispatcher.control import Control

        return Control.open(find_root(self.root_option, self.environ, here()), environ=self.environ)

    def writable(self) -> Control:
        """The core, with a root that exists: a missing one is made, and said so on stderr.

        Raises:
            StorageError: it cannot be made.
        """
        control = self.control
        if control.ensure_root():
            self.note(f"made the root {control.root.folder}")
        return control

    def note(self, text: str) -> None:
        """Say something to the person: on stderr, made harmless for terminals."""
        from autopilot.system.sanitize import visible

        click.echo(visible(text), err=True)

    def close(self) -> None:
        """Give back what the core holds, where it was opened."""
        control = self.__dict__.pop("control", None)
        if control is not None:
            control.close()


def common_options(function: F) -> F:
    """``--root`` and ``-o``; they may stand before or after the command's name."""
    function = click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        expose_value=False,
        callback=_set_format,
        help="How to print the data.",
    )(function)
    return root_option(function)


def root_option(function: F) -> F:
    """``--root`` alone, for commands that print no data."""
    return click.option(
        "--root",
        metavar="FOLDER",
        expose_value=False,
        callback=_set_root,
        help="The .autopilot folder (else $AUTOPILOT_ROOT, else the nearest one upwards).",
    )(function)


def _set_format(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    app = ctx.find_object(App)
    if value is not None and app is not None:
        app.format = value


def _set_root(ctx: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    app = ctx.find_object(App)
    if value is not None and app is not None:
        app.root_option = value


pass_app = click.make_pass_decorator(App)
"""Hands the ``App`` of this run to a command as its first argument."""


def on_terminal() -> bool:
    """Whether a person sits at both ends, so that an editor can be opened."""
    return sys.stdin.isatty() and sys.stdout.isatty()
