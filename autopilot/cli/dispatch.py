"""``autopilotctl dispatch``: one tick, or ticks for ever; pause, resume, drain."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from autopilot.cli.app import App, common_options, pass_app, root_option
from autopilot.cli.lazy import LazyGroup
from autopilot.cli.numbers import ORDINAL
from autopilot.cli.output import Column, print_rows
from autopilot.cli.waiting import Progress

if TYPE_CHECKING:
    from autopilot.dispatcher.faults import TaskFault
    from autopilot.dispatcher.reports import TickReport
    from autopilot.dispatcher.tick import Dispatcher

__all__ = ["dispatch"]

COLUMNS = (
    Column("TASK", "task_id"),
    Column("TRY", "attempt"),
    Column("EXECUTOR", "executor"),
    Column("OUTCOME", "outcome"),
    Column("CONFIDENCE", lambda row: None if row["confidence"] is None else f"{row['confidence']:.2f}"),
    Column("REASON", "reason", wide=True),
)

max_active_option = click.option(
    "--max-active",
    metavar="N",
    type=ORDINAL,
    help="Attempts that may run at once in the whole root.",
)


@click.command(cls=LazyGroup, entries={})
def dispatch() -> None:
    """Start what can run: one tick, or for ever."""
    from autopilot.system.tree import set_not_dumpable

    # All that is started from here on is this user's and could read our environment, which holds every secret.
    set_not_dumpable()


@dispatch.command()
@click.option("--dry-run", is_flag=True, help="Say what would start; start and write nothing.")
@click.option("--no-wait", is_flag=True, help="Return at once; a later tick adopts the results.")
@max_active_option
@common_options
@pass_app
def tick(app: App, dry_run: bool, no_wait: bool, max_active: int | None) -> int:
    """Do one tick and wait for the attempts that it started.

    The exit code is 0 whatever becomes of the tasks, unless Autopilot itself fails at one: that one is left alone,
    and the others go on. When it is interrupted, the agents go on.
    """
    from autopilot.dispatcher.tick import Dispatcher

    dispatcher = Dispatcher(app.control if dry_run else app.writable(), max_active=max_active)
    try:
        report = dispatcher.tick(dry_run=dry_run)
        teller = _Teller(app, dry_run=dry_run)
        teller.tell(report)
        rows = [begun.row() for begun in report.started]
        if rows and not dry_run and not no_wait:
            rows = _wait(app, dispatcher)
            teller.tell_faults(dispatcher.take_faults())
    finally:
        dispatcher.close()
    if not rows and app.format == "table":
        app.note("nothing to start; `autopilotctl task list` shows the tasks, `autopilotctl why ID` the reasons")
    print_rows(app.format, rows, COLUMNS, name="task_id")
    return teller.exit_code


@dispatch.command()
@max_active_option
@root_option
@pass_app
def run(app: App, max_active: int | None) -> None:
    """Dispatch for ever, woken by changes; SIGINT or SIGTERM end it politely, and the agents go on."""
    from autopilot.dispatcher.tick import Dispatcher

    dispatcher = Dispatcher(app.writable(), max_active=max_active)
    with _polite_end(app) as ending:
        app.note(f"dispatching {app.control.root.folder}; stop with Ctrl-C, the agents go on")
        try:
            dispatcher.run(ending.is_set, on_tick=_Teller(app).tell)
        finally:
            dispatcher.close()
    app.note("stopped; running agents go on, and the next dispatcher adopts their results")


@dispatch.command()
@common_options
@pass_app
def pause(app: App) -> None:
    """Start nothing more in this root until `resume`; what runs goes on."""
    app.writable().pause()
    _print_mode(app, "paused: nothing starts until `autopilotctl dispatch resume`")


@dispatch.command()
@common_options
@pass_app
def resume(app: App) -> None:
    """Start tasks again after `pause` or `drain`."""
    lifted = app.writable().resume()
    _print_mode(app, "resumed" if lifted else "it was neither paused nor draining")


@dispatch.command()
@common_options
@pass_app
def drain(app: App) -> None:
    """Start nothing more; running dispatchers end when their last attempt has ended."""
    app.writable().drain()
    _print_mode(app, "draining: dispatchers end after their last attempt; `dispatch resume` takes it back")


def _print_mode(app: App, sentence: str) -> None:
    hold = app.control.hold()
    mode = str(hold.mode) if hold else "dispatching"
    if app.format == "table":
        app.note(sentence)
    else:
        print_rows(app.format, [{"mode": mode, "by": hold.by if hold else None}], (), name="mode")


def _wait(app: App, dispatcher: Dispatcher) -> list[dict[str, Any]]:
    progress = Progress()

    def tell(running: int) -> None:
        progress.show(f"waiting for {running} running {'attempt' if running == 1 else 'attempts'}")

    try:
        return dispatcher.wait_started(on_progress=tell)
    except KeyboardInterrupt:
        progress.clear()
        app.note("the agents go on; the next tick adopts their results")
        raise
    finally:
        progress.clear()


class _Teller:
    """Says on stderr what ticks did; a sentence that stays the same is said once.

    Attributes:
        exit_code: that of the faults with single tasks, 1 where one of them is a bug; 0 without any.
    """

    def __init__(self, app: App, *, dry_run: bool = False) -> None:
        self._app = app
        self._verb = "would start" if dry_run else "started"
        self._notes: tuple[str, ...] = ()
        self.exit_code = 0

    def tell(self, report: TickReport) -> None:
        """Tell one tick."""
        for note in report.notes:
            if note not in self._notes:
                self._app.note(note)
        self._notes = report.notes
        self.tell_faults(report.faults)
        for ended in report.adopted:
            why = f": {ended.reason.message}" if ended.reason else ""
            self._app.note(f"{ended.task_id} attempt {ended.token} {ended.outcome}, now {ended.status}{why}")
        for begun in report.started:
            self._app.note(f"{self._verb} {begun.task_id} attempt {begun.attempt} on {begun.executor}")

    def tell_faults(self, faults: Sequence[TaskFault]) -> None:
        """Tell what went wrong with single tasks; with ``AUTOPILOT_DEBUG=1`` with their tracebacks."""
        for fault in faults:
            if self._app.environ.get("AUTOPILOT_DEBUG") == "1":
                sys.excepthook(type(fault.cause), fault.cause, fault.cause.__traceback__)
            self._app.note(str(fault))
            self.exit_code = min(self.exit_code or fault.error.exit_code, fault.error.exit_code)


@contextmanager
def _polite_end(app: App) -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second SIGINT interrupts as usual."""
    ending = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, _frame: object) -> None:
        ending.set()
        app.control.store.notify()
        signal.signal(number, before[signal.Signals(number)] or signal.SIG_DFL)

    for number in before:
        signal.signal(number, end)
    try:
        yield ending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
