"""Run a plugin's code with a deadline."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from autopilot.plugins.guards import PluginFault, no_second_self, sentence
from autopilot.system.exits import refuse_exits, staying

__all__ = ["HangError", "Worker"]

Result = TypeVar("Result")
_LOOKS = 10
_BETWEEN_LOOKS_S = 0.02
_BUSY_NS = 500_000


class HangError(Exception):
    """The code was not done when its time ran out; its thread has been given up."""


class Worker:
    """One thread that does what it is told, one thing at a time; a new one takes over when it hangs."""

    def __init__(self) -> None:
        self._pid = 0
        self._thread: threading.Thread | None = None
        refuse_exits()

    def run(self, work: Callable[[], Result], deadline_s: float) -> Result:
        """Do ``work`` in the thread and wait for it; what it raises comes out here.

        Raises:
            HangError: it took longer than ``deadline_s`` seconds.
        """
        if self._thread is None or self._pid != os.getpid():
            self._start()
        self._inbox.put(work)
        try:
            fault, value = self._outbox.get(timeout=deadline_s)
        except Empty:
            self._abandon()
            raise HangError(f"it took more than {deadline_s:g} s") from None
        except BaseException:
            self._abandon()
            raise
        if fault is not None:
            raise fault
        result: Result = value
        return result

    def close(self) -> None:
        """Let the thread end."""
        if self._thread is not None and self._pid == os.getpid():
            self._inbox.put(None)
        self._thread = None

    def _start(self) -> None:
        self._pid = os.getpid()
        self._inbox: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._outbox: SimpleQueue[tuple[BaseException | None, Any]] = SimpleQueue()
        self._thread = threading.Thread(
            target=_serve, args=(self._inbox, self._outbox), name="autopilot-plugins", daemon=True
        )
        self._thread.start()

    def _abandon(self) -> None:
        thread, self._thread = self._thread, None
        self._inbox.put(None)
        if thread is not None:
            _interrupt(thread)


def _serve(
    inbox: SimpleQueue[Callable[[], Any] | None], outbox: SimpleQueue[tuple[BaseException | None, Any]]
) -> None:
    try:
        while (work := inbox.get()) is not None:
            try:
                outbox.put((None, _confined(work)))
            except Exception as fault:
                outbox.put((fault, None))
            except BaseException as fault:
                # sys.exit and the like mean nothing in a thread, and a real Ctrl-C comes to the main one.
                outbox.put((PluginFault(sentence(fault)), None))
            del work
    except SystemExit:  # the interrupt of a thread that was given up, late
        return


def _confined(work: Callable[[], Result]) -> Result:
    return no_second_self(lambda: staying(work))


def _interrupt(thread: threading.Thread) -> None:
    """End a thread that was given up, if it is busy: a loop of Python code would steal time for ever.

    One that is blocked steals nothing and must be left alone: an exception that waits for a blocked thread makes
    the interpreter look for it at every step (CPython 3.11 even stands still when it is traced).
    """
    if thread.ident is None or thread.native_id is None or not _is_busy(thread.native_id):
        return
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))


def _is_busy(native_id: int) -> bool:
    before = _cpu_time(native_id)
    for _ in range(_LOOKS):
        time.sleep(_BETWEEN_LOOKS_S)
        if _cpu_time(native_id) - before > _BUSY_NS:
            return True
    return False


def _cpu_time(native_id: int) -> int:
    """Nanoseconds that a thread of this process has run; 0 where that cannot be known."""
    try:
        with open(f"/proc/self/task/{native_id}/schedstat", encoding="ascii") as file:
            return int(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
