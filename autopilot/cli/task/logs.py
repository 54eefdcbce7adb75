"""``task logs``."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable

import click

from autopilot.cli.app import App, pass_app, root_option
from autopilot.cli.attempts import attempt_numbers, last_attempt, read_result, run_folder
from autopilot.cli.find import complete_ids, find_id
from autopilot.cli.numbers import ORDINAL
from autopilot.cli.stdout import flush, write, write_bytes
from autopilot.errors import NotFoundError, UsageError

__all__ = ["logs"]

_CHUNK = 64 * 1024
_NAP_S = 0.1
_VERIFY_LOG = re.compile(r"verify-(?:[0-9]+|plugins)\.log")


@click.command()
@click.argument("task_id", metavar="ID", shell_complete=complete_ids)
@click.option("-f", "--follow", is_flag=True, help="Go on until the attempt has ended.")
@click.option("--attempt", metavar="N", type=ORDINAL, help="The attempt's number; the last one by default.")
@click.option("--stderr", "errors", is_flag=True, help="What it wrote to stderr instead of stdout.")
@click.option("--verify", is_flag=True, help="What its verifications wrote, one after the other.")
@click.option("--raw", is_flag=True, help="The bytes as they are, control characters included; not to a terminal.")
@root_option
@pass_app
def logs(
    app: App, *, task_id: str, follow: bool, attempt: int | None, errors: bool, verify: bool, raw: bool
) -> None:
    """Print what an attempt wrote.

    Control characters are made visible, because what agents print is never trusted; --raw leaves them.
    """
    if raw and sys.stdout.isatty():
        raise UsageError(
            "--raw would hand this terminal over to what an agent printed", hint="send it to a file or a pipe"
        )
    if verify and (follow or errors):
        raise UsageError("--verify goes with neither --follow nor --stderr", hint="leave one of them out")
    task_id = find_id(app, task_id)
    number = _attempt(app, task_id, attempt, follow)
    if verify:
        _verifications(app, task_id, number, raw)
        return
    path = os.path.join(run_folder(app.control, task_id, number), "stderr.log" if errors else "stdout.log")
    emit = _emitter(raw)
    if follow:
        _follow(path, emit, lambda: _runs(app, task_id, number))
    elif os.path.exists(path):
        _follow(path, emit, lambda: False)
    else:
        app.note(f"attempt {number} of {task_id} wrote nothing")
    _point_to_verifications(app, task_id, number)


def _verifications(app: App, task_id: str, number: int, raw: bool) -> None:
    folder = run_folder(app.control, task_id, number)
    names = sorted((name for name in os.listdir(folder) if _VERIFY_LOG.fullmatch(name)), key=_in_order)
    for name in names:
        flush()
        app.note(f"==> {name} <==")
        _follow(os.path.join(folder, name), _emitter(raw), lambda: False)
    if not names:
        app.note(f"no verification of attempt {number} of {task_id} wrote anything")


def _in_order(name: str) -> tuple[int, str]:
    return len(name), name  # 2 before 10, and the plugins, who are asked last, at the end


def _point_to_verifications(app: App, task_id: str, number: int) -> None:
    result = read_result(app.control, task_id, number)
    if result is not None and not all(verdict.ok for verdict in result.verdicts):
        app.note(f"its verification failed: autopilotctl task logs {task_id} --attempt {number} --verify")


def _attempt(app: App, task_id: str, wanted: int | None, follow: bool) -> int:
    if follow and wanted is None:
        lease = app.control.store.lease(task_id)
        if lease is not None and lease.state != "ended":
            return lease.token
    newest = last_attempt(app.control, task_id)
    if wanted is None or wanted in attempt_numbers(app.control, task_id):
        return wanted or newest
    raise NotFoundError(f"task {task_id} has no attempt {wanted}", hint=f"the last one is {newest}")


def _runs(app: App, task_id: str, number: int) -> bool:
    lease = app.control.store.lease(task_id)
    if lease is None or lease.token != number or lease.state == "ended":
        return False
    return not os.path.exists(os.path.join(run_folder(app.control, task_id, number), "result.json"))


def _follow(path: str, emit: Callable[[bytes], None], runs: Callable[[], bool]) -> None:
    """Emit the file, and what is added to it for as long as ``runs`` says so."""
    place = 0
    while True:
        going = runs()  # asked before reading, so that the last words are not missed
        place = _drain(path, place, emit)
        flush()
        if not going:
            return
        time.sleep(_NAP_S)


def _drain(path: str, place: int, emit: Callable[[bytes], None]) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return place
    with os.fdopen(fd, "rb") as file:
        if file.seek(0, os.SEEK_END) < place:
            place = 0
        file.seek(place)
        while data := file.read(_CHUNK):
            emit(data)
        return file.tell()


def _emitter(raw: bool) -> Callable[[bytes], None]:
    return write_bytes if raw else _Emitter().emit


class _Emitter:
    """Writes bytes as harmless text; characters that are cut by a chunk's end wait for the next one."""

    def __init__(self) -> None:
        import codecs

        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def emit(self, data: bytes) -> None:
        from autopilot.system.sanitize import visible

        text = self._decoder.decode(data)
        write("\n".join(visible(line.removesuffix("\r"), limit=0) for line in text.split("\n")))
