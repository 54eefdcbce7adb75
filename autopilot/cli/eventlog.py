"""``events tail``, ``verify`` and ``gc``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from autopilot.cli.app import App, common_options, pass_app
from autopilot.cli.find import complete_ids, pick
from autopilot.cli.instants import parse_since, parse_span
from autopilot.cli.numbers import COUNT
from autopilot.cli.output import Column, aligned, print_lines, print_record, print_rows
from autopilot.cli.stdout import flush, write_bytes
from autopilot.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from autopilot.events.record import Record
    from autopilot.events.verify import VerifyReport

__all__ = ["COLUMNS", "gc", "tail", "verify"]

SHOWN = 20
_TOLD = ("outcome", "executor", "status", "why", "channel", "message", "by", "path")


def _detail(row: Any) -> str:
    payload = row["payload"]
    told = [f"{key}={payload[key]}" for key in _TOLD if isinstance(payload.get(key), str) and payload[key]]
    reason = payload.get("reason")
    if isinstance(reason, dict):
        told.append(str(reason.get("message", "")))
    elif isinstance(reason, str):
        told.append(reason)
    return "  ".join(told)


COLUMNS = (
    Column("TIME", "timestamp"),
    Column("EVENT", "event_type"),
    Column("TASK", "trace_id"),
    Column("DETAIL", _detail, wide=True),
)


@click.command()
@click.option("-n", "--lines", "count", metavar="N", type=COUNT, help="How many; 20, or all with --since.")
@click.option("-f", "--follow", is_flag=True, help="Go on with those to come, until interrupted.")
@click.option(
    "--type", "types", metavar="GLOB", multiple=True, help="Only such events, e.g. 'task.*'; repeatable."
)
@click.option("--task", metavar="ID", shell_complete=complete_ids, help="Only events of this task.")
@click.option("--since", metavar="WHEN", help="Only from this instant on, or from so long ago: 10m, 2h, 1d.")
@common_options
@pass_app
def tail(
    app: App, *, count: int | None, follow: bool, types: tuple[str, ...], task: str | None, since: str | None
) -> None:
    """Print the last events, and with -f those to come.

    With -o ndjson the log's lines come out as they are, byte for byte; on a terminal, what could control it is
    escaped.
    """
    log = app.control.log
    wanted: dict[str, Any] = {
        "types": types or None,
        "task": _whole_id(app, task),
        "since": parse_since(since, app.control.clock.now()) if since else None,
    }
    cursor = log.end() if follow else ""
    everything = since is not None and count is None
    records = list(log.read(**wanted)) if everything else log.tail(SHOWN if count is None else count, **wanted)
    _print(app.format, records)
    if follow:
        flush()
        # What was appended between the two looks must not come twice.
        cursor = records[-1].cursor if records else cursor
        for record in log.follow(cursor, **wanted):
            _print_one(app.format, record)


@click.command()
@click.option("--anchor", metavar="EVENTS:DIGEST", help="The head of an earlier verify, noted in another place.")
@common_options
@pass_app
def verify(app: App, anchor: str | None) -> int:
    """Check the hash chain of the whole log.

    Exit code 1 when it does not hold; every fault is told with its place. With --anchor it is also noticed when
    the log was cut or rewritten since; -o name prints just that: the head.
    """
    from autopilot.events.head import Anchor
    from autopilot.models.wire import dump

    report = app.control.log.verify(None if anchor is None else Anchor.parse(anchor))
    if app.format == "name":
        print_lines(_head(report))
    else:
        print_record(app.format, dump(report), _verdict(report))
    return 0 if report.ok else 1


def _head(report: VerifyReport) -> list[str]:
    return [f"{report.head.events}:{report.head.digest}"] if report.head else []


def _verdict(report: VerifyReport) -> Iterator[tuple[str, object]]:
    yield "verdict", "the chain holds" if report.ok else "THE CHAIN DOES NOT HOLD"
    yield "events", f"{report.events} in {report.segments} segments, {report.duplicates} repeats"
    yield "head", "".join(_head(report)) or None
    yield "faults", "\n".join(f"{fault.segment}:{fault.line}: {fault.message}" for fault in report.faults)
    yield "notes", "\n".join(report.notes)


@click.command()
@click.option("--older-than", metavar="SPAN", help="Delete what is older: 30d, 12w; else the config's retention.")
@common_options
@pass_app
def gc(app: App, older_than: str | None) -> None:
    """Delete old segments of the log, whole.

    A segment goes when all its events are old enough; the newest one always stays, and no line is rewritten.
    """
    days = app.control.settings.events.retention_days
    if older_than is not None:
        days = parse_span(older_than, "--older-than", unit="d").total_seconds() / 86400
    elif not days:
        raise UsageError(
            "the config keeps every segment (events.retention_days is 0)", hint="give --older-than, such as 30d"
        )
    from autopilot.models.wire import dump

    report = app.writable().log.gc(older_than_days=days)
    if app.format == "name":
        print_lines(report.removed)
        return
    row: dict[str, Any] = dump(report)
    print_record(app.format, row, row.items())


def _whole_id(app: App, task: str | None) -> str | None:
    if task is None:
        return None
    try:
        return pick(task, app.control.store.ids())
    except NotFoundError:
        return task  # its file may be gone, while its events are there


def _print(form: str, records: Iterable[Record]) -> None:
    if form == "ndjson" and not sys.stdout.isatty():
        write_bytes(b"".join(record.line + b"\n" for record in records))
    elif form == "ndjson":
        print_rows(form, [record.data for record in records], COLUMNS)
    else:
        print_rows(form, list(_once(records)), COLUMNS)


def _print_one(form: str, record: Record) -> None:
    if form == "table":
        print_lines(aligned([[column.text(record.data) for column in COLUMNS]]))
    else:
        _print("ndjson" if form == "json" else form, [record])
    flush()


def _once(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """The events without repeats: a projection that was redone after a crash logs an id twice."""
    seen: set[str] = set()
    for record in records:
        row = dict(record.data)
        if row["id"] not in seen:
            seen.add(row["id"])
            yield row
