"""The attacker: a list of faults, in an order that a seed gives, spread evenly over the work.

Faults keep pace with the tasks and not with the clock, so that a slow machine is not attacked more.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Mapping

import attrs

from autopilot.system.processes import ProcessIdentity, identify, send_signal
from tests.crash.chaos_arena import LONG, TTL_S, Arena

__all__ = ["Chaos"]

_LONG_S = TTL_S + 3.0
"""A stop that no lease survives."""

_MOST_LOSSES = 2
"""Three lost runners in a row make a poison task, by design: the chaos stays below that."""

_ALL_DONE_AT = 0.9
"""By when the plan is through: the last tasks offer few victims."""

_WALKER_S = 60.0
"""How long a sleepwalker may take until a claim of its is somebody else's."""

_SURE_S = 0.5
"""For so long it must be so: who is being ended is stopped for a moment, too."""

_LOSES_RUNNER = ("kill runner", "stop runner")


@attrs.define
class Walker:
    """A dispatcher whose runners fall asleep at the gate, since when it lives, and since when one is too late."""

    dispatcher: subprocess.Popen[bytes]
    since: float
    since_late: float = 0.0


class Chaos:
    """Strikes at an arena.

    Args:
        faults: how many of each kind: ``kill dispatcher``, ``kill runner``, ``kill launcher``; ``stop dispatcher``
            and ``stop runner``, for longer than a lease; ``pause dispatcher`` and ``pause runner``, for less;
            ``sleepwalk``: a dispatcher whose runners stop at the start gate until their claim is somebody else's.

    Attributes:
        done: how many of each were delivered.
        struck: the pids of the runners that were killed, or stopped for longer than a lease.
    """

    def __init__(self, arena: Arena, faults: Mapping[str, int], rng: random.Random) -> None:
        self.done: Counter[str] = Counter()
        self.struck: set[int] = set()
        self._arena = arena
        self._rng = rng
        self._plan = [kind for kind, count in faults.items() for _ in range(count) if kind != "sleepwalk"]
        self._struck = 0
        self._asleep: list[tuple[float, ProcessIdentity]] = []
        self._walkers: list[Walker] = []
        rng.shuffle(self._plan)
        # These take their time, and need tasks that are left.
        walks = faults.get("sleepwalk", 0)
        for number in range(walks):
            self._plan.insert(number * len(self._plan) // (walks + 1), "sleepwalk")

    def step(self, progress: float) -> None:
        """Strike until the plan is as far as the work is; wake those whose time has come."""
        due = len(self._plan) * min(1.0, progress / _ALL_DONE_AT) + 1
        while self._struck < min(len(self._plan), due) and self._strike_next():
            self._struck += 1
        self._wake()

    def _strike_next(self) -> bool:
        """The next fault of the plan for which there is somebody to suffer it."""
        tried = set()
        for place in range(self._struck, len(self._plan)):
            kind = self._plan[place]
            if kind not in tried and self.strike(kind):
                self._plan.insert(self._struck, self._plan.pop(place))
                return True
            tried.add(kind)
        return False

    def strike(self, kind: str) -> bool:
        """Do one fault; whether somebody was there to suffer it."""
        verb, _, whom = kind.partition(" ")
        if kind == "sleepwalk":
            hit = self._sleepwalk()
        elif whom == "dispatcher":
            hit = self._kill_dispatcher() if verb == "kill" else self._stop(self._random_dispatcher(), verb)
        else:
            hit = self._strike_attempt(verb, whom)
        self.done[kind] += hit
        return hit

    def wake_all(self) -> None:
        """End every stop."""
        self._wake(float("inf"))

    # ---------------------------------------------------------------- attempts

    def _strike_attempt(self, verb: str, whom: str) -> bool:
        loses = f"{verb} {whom}" in _LOSES_RUNNER
        asleep = {process for _, process in self._asleep}
        leases = [lease for lease in self._arena.started_leases() if not loses or lease.lost < _MOST_LOSSES]
        self._rng.shuffle(leases)
        if verb == "stop":
            # Their executors are still at work when the lease runs out.
            leases.sort(key=lambda lease: not lease.task.endswith(LONG))
        for lease in leases:
            victim = lease.launcher if whom == "launcher" else lease.runner
            if victim is None or victim in asleep:
                continue
            if send_signal(victim, signal.SIGKILL) if verb == "kill" else self._stop(victim, verb):
                if loses:
                    self.struck.add(victim.pid)
                return True
        return False

    # ---------------------------------------------------------------- dispatchers

    def _random_dispatcher(self) -> ProcessIdentity | None:
        asleep = {process.pid for _, process in self._asleep}
        awake = [one for one in self._arena.dispatchers if one.pid not in asleep]
        # Half of them may sleep at a time: somebody has to do the work.
        if len(awake) * 2 <= len(self._arena.dispatchers):
            return None
        return identify(self._rng.choice(awake).pid)

    def _kill_dispatcher(self, victim: subprocess.Popen[bytes] | None = None, **environ: str) -> bool:
        victim = victim or self._rng.choice(self._arena.dispatchers)
        victim.kill()
        victim.wait()
        self._arena.dispatchers.remove(victim)
        self._arena.start_dispatcher(**environ)
        return True

    def _sleepwalk(self) -> bool:
        self._kill_dispatcher(AUTOPILOT_FAILPOINTS="runner.gate=stop")
        self._walkers.append(Walker(self._arena.dispatchers[-1], time.monotonic()))
        return True

    # ---------------------------------------------------------------- stops

    def _stop(self, victim: ProcessIdentity | None, verb: str) -> bool:
        if victim is None or not send_signal(victim, signal.SIGSTOP):
            return False
        seconds = _LONG_S if verb == "stop" else self._rng.uniform(0.05, 0.6)
        self._asleep.append((time.monotonic() + seconds, victim))
        return True

    def _wake(self, now: float | None = None) -> None:
        now = time.monotonic() if now is None else now
        due = [entry for entry in self._asleep if entry[0] <= now]
        self._asleep = [entry for entry in self._asleep if entry[0] > now]
        for _, process in due:
            send_signal(process, signal.SIGCONT)
        for walker in list(self._walkers):
            self._look_after(walker, now)

    def _look_after(self, walker: Walker, now: float) -> None:
        asleep = set(self._arena.stopped()) - {process.pid for _, process in self._asleep}
        claims = self._arena.claims_of({one.dispatcher.pid for one in self._walkers})
        # Each of them had a claim when it fell asleep.
        if len(asleep) <= claims and now < walker.since + _WALKER_S:
            walker.since_late = now
        elif now >= walker.since_late + _SURE_S:
            self._walkers.remove(walker)
            if walker.dispatcher in self._arena.dispatchers:
                self._kill_dispatcher(walker.dispatcher)
            for pid in asleep:
                self.done["woken at the gate"] += send_signal(identify(pid), signal.SIGCONT)
