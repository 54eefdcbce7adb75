"""Waiting for tasks to end, with a line that moves on a terminal and plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from autopilot.cli.app import App
from autopilot.errors import DeadlineError, StorageError

if TYPE_CHECKING:
    from autopilot.store.contract import Store

__all__ = ["Progress", "wait_for"]

ENDED = frozenset({"done", "blocked", "cancelled", "invalid"})
_NAP_S = 1.0
_PATIENCE_S = 2.0


class Progress:
    """Says on stderr how far something is: one line in place on a terminal, else a line for each change."""

    def __init__(self) -> None:
        self._moving = sys.stderr.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        """Show ``text`` instead of the last one."""
        from autopilot.system.sanitize import visible

        text = visible(text)
        if text == self._shown:
            return
        sys.stderr.write(f"\r\x1b[K{text}" if self._moving else f"{text}\n")
        sys.stderr.flush()
        self._shown = text

    def clear(self) -> None:
        """Take the moving line away."""
        if self._moving and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
        self._shown = ""


def wait_for(app: App, ids: Sequence[str], *, timeout: float | None = None) -> dict[str, str]:
    """Wait until every task is done, blocked, cancelled or invalid; the status of each.

    Raises:
        DeadlineError: ``timeout`` seconds have passed.
        NotFoundError: a task's file is gone.
    """
    store = app.control.store
    deadline = None if timeout is None else time.monotonic() + timeout
    progress = Progress()
    adopter = _Adopter(app)
    try:
        while True:
            statuses = {task_id: status_of(store, task_id) for task_id in ids}
            open_ids = [task_id for task_id, status in statuses.items() if status not in ENDED]
            if not open_ids:
                return statuses
            progress.show(_line(statuses))
            adopter.look(open_ids)
            left = _NAP_S if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise _late(open_ids, len(ids), timeout)
            store.wait(min(left, _NAP_S))
    finally:
        progress.clear()


class _Adopter:
    """Adopts attempts that ended while no dispatcher was running, so that nobody waits for ever for them."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._seen: dict[tuple[str, int], float] = {}

    def look(self, ids: Sequence[str]) -> None:
        """Adopt, where an attempt of these ended some time ago and no dispatcher has noticed."""
        now = time.monotonic()
        ended = [key for key in map(self._ended, ids) if key is not None]
        if any(now - self._seen.setdefault(key, now) > _PATIENCE_S for key in ended):
            self._adopt()
            self._seen.clear()

    def _ended(self, task_id: str) -> tuple[str, int] | None:
        control = self._app.control
        lease = control.store.lease(task_id)
        if lease is None or lease.state == "ended":
            return None
        over = control.store.result(lease) is not None or control.lease_verdict(lease) == "dead"
        return (task_id, lease.token) if over else None

    def _adopt(self) -> None:
        from autopilot.dispatcher.tick import Dispatcher

        dispatcher = Dispatcher(self._app.control, max_active=0)  # room for nothing new: it only reconciles
        try:
            dispatcher.tick()
        except StorageError as fault:
            self._app.note(f"an attempt has ended, and its result cannot be adopted: {fault.message}")
        finally:
            dispatcher.close()


def _late(open_ids: Sequence[str], number: int, timeout: float | None) -> DeadlineError:
    names = ", ".join(open_ids[:8])
    return DeadlineError(
        f"{len(open_ids)} of {number} tasks had not ended after {timeout:g} s: {names}",
        hint=f"`autopilotctl why {open_ids[0]}` says what it waits for",
    )


def status_of(store: Store, task_id: str) -> str:
    """The status, ``invalid`` for a file that cannot be read."""
    from autopilot.models import InvalidTask

    task = store.get(task_id)
    return "invalid" if isinstance(task, InvalidTask) else str(task.status)


def _line(statuses: dict[str, str]) -> str:
    if len(statuses) == 1:
        return "waiting for {}: {}".format(*next(iter(statuses.items())))
    from collections import Counter

    counts = ", ".join(f"{number} {status}" for status, number in sorted(Counter(statuses.values()).items()))
    return f"waiting for {len(statuses)} tasks: {counts}"
