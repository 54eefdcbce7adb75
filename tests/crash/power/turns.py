"""Several workers in one recording: one runs at a time, and after any operation it may be another's turn."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from unittest import mock

__all__ = ["Turns"]


class Turns:
    """Whose turn it is; the same ``seed`` gives the same order of the same operations."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._turn = threading.Condition()
        self._alive: list[threading.Thread] = []
        self._now: threading.Thread | None = None
        self._faults: list[BaseException] = []

    def run(self, *works: Callable[[], None]) -> None:
        """Run all to their end. Who waits for a lock lets the others go on."""
        self._alive = [threading.Thread(target=self._work, args=(work,)) for work in works]
        with mock.patch.object(time, "sleep", lambda _: self.switch(1.0)):
            threads = list(self._alive)
            self._now = threads[0]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        if self._faults:
            raise self._faults[0]

    def switch(self, chance: float = 0.4) -> None:
        """Called by the one whose turn it is: give it to another, perhaps."""
        me = threading.current_thread()
        if me not in self._alive or self._rng.random() >= chance:
            return
        with self._turn:
            self._pass_on(me)
            self._turn.wait_for(lambda: self._now is me)

    def _work(self, work: Callable[[], None]) -> None:
        me = threading.current_thread()
        with self._turn:
            self._turn.wait_for(lambda: self._now is me)
        try:
            work()
        except BaseException as fault:
            self._faults.append(fault)
        finally:
            with self._turn:
                self._pass_on(me)
                self._alive.remove(me)

    def _pass_on(self, me: threading.Thread) -> None:
        others = [thread for thread in self._alive if thread is not me]
        self._now = self._rng.choice(others) if others else me
        self._turn.notify_all()
