"""``autopilotctl stats``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.output import print_record

__all__ = ["stats"]


@click.command()
@common_options
@pass_app
def stats(app: App) -> None:
    """Show what the executors achieved."""
    answer: dict[str, Any] = app.control.stats()
    print_record(app.format, answer, list(_flat(answer)))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += _flat(value, f"{prefix}{key}.")
        else:
            lines.append((f"{prefix}{key}", value))
    return lines
