"""The list of commands in ``docs/reference/command-line.md``, written from the commands themselves.

``python -m autopilot.cli.reference docs/reference/command-line.md`` renews it; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from autopilot.cli.main import PROGRAM, cli

__all__ = ["MARKER", "markdown", "renew"]

MARKER = "## Commands\n"
_COMMON = frozenset({"root", "output", "help"})


def markdown() -> str:
    """Every command with its options."""
    return "".join(_section(path, command) for path, command in _walk(cli, ()))


def _walk(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group, info_name=PROGRAM, resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from _walk(command, (*path, name))
        elif command is not None:
            yield (*path, name), command


def _section(path: tuple[str, ...], command: click.Command) -> str:
    arguments = [one.metavar or str(one.name).upper() for one in command.params if isinstance(one, click.Argument)]
    title = " ".join([*path, *arguments])
    text = "\n".join(line.strip() for line in (command.help or "").replace("\b\n", "").strip().split("\n"))
    options = [_row(one) for one in command.params if isinstance(one, click.Option) and one.name not in _COMMON]
    table = "\n| option | meaning |\n|---|---|\n" + "".join(options) if options else ""
    return f"\n### `{title}`\n\n{text}\n{table}"


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    kind = ""
    if not option.is_flag:
        choices = option.type.choices if isinstance(option.type, click.Choice) else ()
        kind = f" `{'|'.join(map(str, choices))}`" if choices else f" {option.metavar or option.type.name.upper()}"
    words = f"{names}{kind}".replace("|", "\\|")
    return f"| {words} | {(option.help or '').replace('|', chr(92) + '|')} |\n"


def renew(path: str) -> None:
    """Write the list into the page, below its ``MARKER``."""
    with open(path, encoding="utf-8") as file:
        head, marker, _ = file.read().partition(MARKER)
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + marker + markdown())


if __name__ == "__main__":
    renew(sys.argv[1])
