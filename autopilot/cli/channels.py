"""``events publish`` and ``events subscribe``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.instants import parse_since, parse_span
from autopilot.cli.output import Column, print_lines, print_record, print_rows, to_json
from autopilot.cli.stdout import flush
from autopilot.errors import InputError, UsageError

if TYPE_CHECKING:
    from autopilot.events.channels import Channels

__all__ = ["publish", "subscribe"]


def _text(row: Any) -> str:
    message = row["message"]
    return message if isinstance(message, str) else to_json(message)


COLUMNS = (Column("CURSOR", "cursor"), Column("MESSAGE", _text, wide=True))


@click.command()
@click.argument("channel")
@click.argument("message")
@click.option("--ttl", metavar="SPAN", help="Readers drop it after this long: 90s, 10m, 2h; for ever by default.")
@common_options
@pass_app
def publish(app: App, channel: str, message: str, ttl: str | None) -> None:
    """Send a message to a channel.

    A message of - is read from stdin. Prints the event's id. What an event cannot hold (some 2 MB) is refused.
    """
    from autopilot.models.wire import dump

    seconds = parse_span(ttl, "--ttl", unit="s").total_seconds() if ttl is not None else None
    text = _from_stdin() if message == "-" else message
    app.writable()
    try:
        event = _channels(app).publish(channel, text, seconds)
    except UsageError as fault:
        if message == "-" and fault.code == "too_large":
            raise InputError(fault.message, hint=fault.hint, code=fault.code) from None
        raise
    if app.format == "table":
        print_lines([event.id])
    else:
        print_record(app.format, dump(event), ())


def _from_stdin() -> str:
    import codecs

    from autopilot.events.encode import MAX_PAYLOAD

    # One byte more than can be a message is refused as one; it may end in the middle of a character.
    data = sys.stdin.buffer.read(MAX_PAYLOAD + 1)
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(data, final=len(data) <= MAX_PAYLOAD)
    except UnicodeDecodeError as fault:
        raise InputError(
            f"byte {fault.start + 1} of stdin is not UTF-8", hint="messages are text; encode other data as base64"
        ) from None


@click.command()
@click.argument("channel")
@click.option("--since", metavar="CURSOR|WHEN", help="Only what came after: a cursor, an instant, or 10m, 2h, 1d.")
@click.option("-f", "--follow", is_flag=True, help="Go on with those to come, until interrupted.")
@common_options
@pass_app
def subscribe(app: App, channel: str, since: str | None, follow: bool) -> None:
    """Print the messages of a channel.

    Those that have not expired, each with the cursor that goes on after it.
    """
    found = _channels(app).subscribe(channel, _cursor(app, since), follow=follow)
    rows: Iterator[dict[str, Any]] = (
        {"channel": channel, "cursor": cursor, "message": message} for cursor, message in found
    )
    if not follow:
        print_rows(app.format, list(rows), COLUMNS, name="cursor")
        return
    for row in rows:
        if app.format == "table":
            print_lines([f"{row['cursor']}  {_text(row)}"])
        else:
            print_rows("name" if app.format == "name" else "ndjson", [row], COLUMNS, name="cursor")
        flush()


def _channels(app: App) -> Channels:
    from autopilot.events.channels import Channels

    return Channels(app.control.log, clock=app.control.clock)


def _cursor(app: App, since: str | None) -> str | None:
    """Where to begin; an instant becomes the cursor before the first event of that time."""
    if since is None or (since.replace(":", "", 1).isdecimal() and ":" in since):
        return since
    from autopilot.events.record import summary
    from autopilot.system.clock import format_instant

    earliest = format_instant(parse_since(since, app.control.clock.now()))
    cursor = "0:0"
    for record in app.control.log.read():
        head = summary(record.line)
        if head is not None and head.timestamp >= earliest:
            break
        cursor = record.cursor
    return cursor
