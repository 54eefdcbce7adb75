"""Two dispatchers on one root against the tables of design: any order of ticks, deaths, runners, people and time.

Whatever happens, each event of the log must be an allowed step with a cause (``dispatch_model``), nothing begins
while its predecessor lives, and a tick that comes to its end leaves nothing undone that was due. When the faults
end, every task comes to its end or says why it does not.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from autopilot.errors import AutopilotError
from autopilot.models import InvalidTask, Status, Task
from tests.campaign import FAST, size
from tests.property.dispatch_model import ENDS, Key
from tests.property.dispatch_world import SLOTS, Runner, Seat, World
from tests.property.machines import run_campaign
from tests.property.mortal import dies_at

IDS = ["a", "b", "c", "d"]
ids = st.sampled_from(IDS)
seats = st.integers(0, 1)
picks = st.integers(0, 7)
kinds = st.sampled_from(["succeeded", "succeeded", "failed", "needs_input", "rate_limited"])
words = st.sampled_from(["pending", "pending", "cancelled", "in_progress", "done"])

_TO_REST = 60
DONE: Counter[str] = Counter()
"""What this process did, for the figures."""


class DispatchMachine(RuleBasedStateMachine):
    """See the module's text."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=FAST)
        self.world = World(f"{self.folder}/world")
        self.marks: Counter[str] = Counter()
        self.broken: dict[str, bytes] = {}
        self.frozen: dict[str, bytes] = {}
        self.contents: set[tuple[str, bytes]] = set()

    def teardown(self) -> None:
        try:
            self.come_to_rest()
            DONE["runs"] += 1
        finally:
            self.world.close()
            shutil.rmtree(self.folder)

    # ------------------------------------------------------------------ tasks and people

    @initialize()
    def begin(self) -> None:
        self.add("a", [])
        self.add("b", ["a"])

    @rule(task_id=ids, depends_on=st.lists(ids, max_size=2, unique=True))
    def add(self, task_id: str, depends_on: list[str]) -> None:
        if task_id not in self.tasks():
            self.world.add(task_id, tuple(depends_on))

    @rule(task_id=ids, word=words)
    def person_sets_status(self, task_id: str, word: str) -> None:
        if task_id not in self.sound() or self.world.ended_untold(task_id):
            # An end that is committed and not told yet would come after the person's word in the log.
            return
        self.world.put_line(task_id, "status", word)
        if word == "cancelled":
            self.world.ask_cancel(task_id)
        if self.world.hand.store.lease(task_id) is None:
            self.world.read_log()
            self.world.trail.tasks[task_id].set_to(word)

    @rule(pick=picks, word=words, seat=seats)
    def person_writes_over_a_held_task(self, pick: int, word: str, seat: int) -> None:
        self.one_tick(self.world.seats[seat])
        if held := sorted(lease.task_id for lease in self.world.held()):
            self.person_sets_status(held[pick % len(held)], word)
            self.tick(seat)

    @rule(task_id=ids)
    def person_writes_a_line(self, task_id: str) -> None:
        if task_id in self.sound():
            self.world.save(task_id, self.world.text(task_id) + b"mark\n")
            self.marks[task_id] += 1

    @rule(task_id=ids)
    def person_breaks_the_file_or_mends_it(self, task_id: str) -> None:
        if task_id in self.sound():
            self.broken[task_id] = self.world.text(task_id)
            self.world.save(
                task_id, f"---\nid: {task_id}\ntitle: a: b\n---\n".encode() + b"x" * len(self.contents)
            )
            self.contents.add((task_id, self.world.text(task_id)))
        elif task_id in self.broken:
            self.world.save(task_id, self.broken.pop(task_id))

    @rule(task_id=ids)
    def person_upgrades_the_format(self, task_id: str) -> None:
        if task_id in self.sound() and self.world.hand.store.lease(task_id) is None:
            self.world.put_line(task_id, "schema", "2")
            self.frozen[task_id] = self.world.text(task_id)

    @rule(task_id=ids)
    def cancel(self, task_id: str) -> None:
        self.world.ask_cancel(task_id)
        self.ask(lambda: self.world.hand.cancel(task_id))

    @rule(task_id=ids)
    def retry(self, task_id: str) -> None:
        self.ask(lambda: self.world.hand.retry(task_id, force=True))

    def ask(self, command) -> None:
        try:
            command()
        except AutopilotError:
            DONE["refused"] += 1

    @rule()
    def pause_or_resume(self) -> None:
        if self.world.hand.hold() is None:
            self.world.hand.pause()
        else:
            self.world.hand.resume()

    def tasks(self) -> list[str]:
        return self.world.hand.store.ids()

    def sound(self) -> list[str]:
        return [name for name in self.tasks() if name not in self.broken and name not in self.frozen]

    # ------------------------------------------------------------------ dispatchers

    @rule(seat=seats)
    def tick(self, seat: int) -> None:
        """A whole tick; what was due by then is done."""
        forsaken = self.forsaken_claims(self.world.seats[seat])
        self.one_tick(self.world.seats[seat])
        assert not forsaken & self.forsaken_claims(self.world.seats[seat]), "a claim that nobody starts was kept"
        due = [runner.key for runner in self.world.runners if runner.key in self.world.reports]
        for lease in self.world.held():
            key = (lease.task_id, lease.token)
            assert key not in due, f"{key} has reported and was not adopted"
            left = [one for one in self.world.runners if one.key == key and (one.alive or one.orphans)]
            assert left or self.world.alive(lease.owner), f"{key} is dead and was not taken back"
            if self.world.written(lease.task_id) is Status.CANCELLED:
                assert lease.cancel, f"the file of {lease.task_id} asks for a cancel, and nobody was told"

    def forsaken_claims(self, seat: Seat) -> set[Key]:
        """This dispatcher's claims whose runner is gone, or was never made."""
        mine = [lease for lease in self.world.held() if lease.owner == seat.me]
        waiting = {runner.key for runner in self.world.runners if runner.alive}
        return {(lease.task_id, lease.token) for lease in mine} - waiting

    def one_tick(self, seat: Seat) -> None:
        self.world.clock.advance(0.1)
        paused = self.world.hand.hold() is not None
        report = seat.dispatcher.tick()
        assert not (paused and report.started), "started while paused"
        DONE["ticks"] += 1
        DONE["adopted"] += len(report.adopted)

    @rule(seat=seats)
    def both_tick_at_once(self, seat: int) -> None:
        """The second one ticks in the middle of the first one's tick, where that one starts or ends something."""
        first, second = self.world.seats[seat], self.world.seats[1 - seat]
        self.world.then(lambda: self.one_tick(second))
        self.one_tick(first)
        self.world.then(lambda: None)

    @rule(seat=seats, task_id=ids, word=words)
    def person_saves_in_the_middle_of_a_tick(self, seat: int, task_id: str, word: str) -> None:
        self.world.then(lambda: self.person_sets_status(task_id, word))
        self.one_tick(self.world.seats[seat])
        self.world.then(lambda: None)

    @rule(seat=seats, nth=st.integers(1, 60), torn=st.sampled_from([None, 1, -1]))
    def dispatcher_dies_in_a_tick(self, seat: int, nth: int, torn: int | None) -> None:
        doomed = self.world.seats[seat]
        died = dies_at(
            nth, lambda: self.one_tick(doomed), world=self.world.folder, bury=doomed.control.close, torn=torn
        )
        DONE["dispatchers killed"] += died
        self.replace(seat)

    @rule(seat=seats, nth=st.integers(1, 30), kind=kinds)
    def dispatcher_dies_while_it_adopts(self, seat: int, nth: int, kind: str) -> None:
        self.everybody_reports(seat, kind)
        self.dispatcher_dies_in_a_tick(seat, nth, None)

    @rule(seat=seats)
    def dispatcher_is_replaced(self, seat: int) -> None:
        self.world.seats[seat].control.close()
        self.replace(seat)

    def replace(self, seat: int) -> None:
        self.world.seats[seat].control.log.close()
        self.world.processes[self.world.seats[seat].me] = False
        self.world.seats[seat] = Seat(self.world)

    @rule(seat=seats, refuses=st.booleans(), silent=st.booleans())
    def runners_cannot_be_made(self, seat: int, refuses: bool, silent: bool) -> None:
        self.world.seats[seat].refuses, self.world.seats[seat].silent = refuses, silent
        self.tick(seat)
        self.tick(seat)

    # ------------------------------------------------------------------ runners

    @rule(pick=picks)
    def runner_begins(self, pick: int) -> None:
        if runner := self.choose(pick, lambda one: one.alive and not one.working):
            self.world.begin(runner)

    @rule(pick=picks, kind=kinds)
    def runner_reports(self, pick: int, kind: str) -> None:
        if runner := self.choose(pick, lambda one: one.working):
            self.world.report(runner, kind)

    @rule(pick=picks)
    def runner_beats(self, pick: int) -> None:
        if runner := self.choose(pick, lambda one: one.working):
            self.world.beat(runner)

    @rule(pick=picks, orphans=st.booleans())
    def runner_dies(self, pick: int, orphans: bool) -> None:
        if runner := self.choose(pick, lambda one: one.alive):
            self.world.end(runner, orphans=orphans and runner.working)
            DONE["runners killed"] += 1

    @rule(pick=picks, kind=kinds)
    def runner_will_have_last_words(self, pick: int, kind: str) -> None:
        if runner := self.choose(pick, lambda one: one.working):
            runner.last_words = kind

    @rule(seat=seats, kind=kinds)
    def the_silent_have_last_words(self, seat: int, kind: str) -> None:
        """The short way to a result that comes while its attempt is taken back."""
        self.everybody_is_at_work(seat)
        for runner in self.world.runners:
            runner.last_words = kind if runner.working else runner.last_words
        self.world.clock.advance(90.0)
        self.tick(seat)

    @rule()
    def orphans_end(self) -> None:
        for runner in self.world.runners:
            runner.orphans = False

    @rule(seat=seats, kinds=st.lists(kinds, min_size=1, max_size=4))
    def whole_attempts(self, seat: int, kinds: list[str]) -> None:
        """The short way to counters: attempts that begin and report at once."""
        for kind in kinds:
            self.everybody_reports(seat, kind)
        self.one_tick(self.world.seats[seat])

    @rule(seat=seats, task_id=ids, by_hand=st.booleans())
    def used_up_and_sent_back(self, seat: int, task_id: str, by_hand: bool) -> None:
        """The short way to counters that must begin anew."""
        self.whole_attempts(seat, ["failed"] * 3)
        if task_id in self.sound() and self.world.written(task_id) is Status.BLOCKED:
            if by_hand:
                self.person_sets_status(task_id, "pending")
            else:
                self.retry(task_id)
            self.whole_attempts(seat, ["failed"])

    @rule(seat=seats, orphans=st.booleans())
    def attempts_are_lost(self, seat: int, orphans: bool) -> None:
        """The short way to poison, and to successors of those that left something behind."""
        self.everybody_is_at_work(seat)
        for runner in self.world.runners:
            self.world.end(runner, orphans=orphans and runner.working)
        self.everybody_is_at_work(seat)

    def everybody_is_at_work(self, seat: int) -> None:
        self.one_tick(self.world.seats[seat])
        self.everybody_begins()

    def everybody_reports(self, seat: int, kind: str) -> None:
        self.everybody_is_at_work(seat)
        for runner in self.world.runners:
            if runner.working:
                self.world.report(runner, kind)

    def everybody_begins(self) -> None:
        for runner in self.world.runners:
            if runner.alive and not runner.working:
                self.world.begin(runner)

    def choose(self, pick: int, wanted) -> Runner | None:
        found = [runner for runner in self.world.runners if wanted(runner)]
        return found[pick % len(found)] if found else None

    # ------------------------------------------------------------------ time, and the log

    @rule(seconds=st.sampled_from([1.0, 32.0, 90.0, 3600.0]), beats=st.booleans())
    def time_passes(self, seconds: float, beats: bool) -> None:
        self.world.clock.advance(seconds)
        for runner in self.world.runners:
            if beats and runner.working:
                self.world.beat(runner)

    @rule(fragment=st.sampled_from([b"{", b'{"id": "evt-half', b"\xff\xfe", b'{"id": 1}']))
    def somebody_dies_while_writing_the_log(self, fragment: bytes) -> None:
        path = f"{self.world.root.events}/events.ndjson"
        if os.path.exists(path):
            self.world.read_log()
            with open(path, "ab") as file:
                file.write(fragment)

    @rule()
    def the_log_is_rotated_and_pruned(self) -> None:
        self.world.read_log()
        self.world.hand.log.rotate()
        self.world.read_log()
        self.world.hand.log.gc(keep_bytes=0)

    # ------------------------------------------------------------------ what must always hold

    @invariant()
    def it_holds(self) -> None:
        self.world.read_log()
        assert sum(1 for _ in self.world.held()) <= SLOTS
        for task in self.world.hand.store.tasks():
            if isinstance(task, Task):
                assert task.body.count("mark") == self.marks[task.id], f"a person's line in {task.id} is gone"
            if task.id in self.frozen:
                assert self.world.text(task.id) == self.frozen[task.id], "a newer format was written"
        told = self.world.trail.invalid
        assert len(told) == len(set(told)), "a broken file was told of twice"

    def come_to_rest(self) -> None:
        """Faults and people go home; then everything comes to its end, or says why not."""
        self.world.hand.resume()
        for task_id in list(self.broken):
            self.person_breaks_the_file_or_mends_it(task_id)
        self.orphans_end()
        for seat in self.world.seats:
            seat.refuses = seat.silent = False
        for turn in range(_TO_REST):
            if turn > 1 and not self.work_left():
                break
            self.world.clock.advance(100.0)
            self.everybody_begins()
            for runner in self.world.runners:
                if runner.working:
                    self.world.report(runner, "succeeded")
            self.tick(turn % 2)
            self.it_holds()
        assert not self.work_left(), f"still open after {_TO_REST} ticks"
        self.everything_is_told()
        assert self.world.hand.log.verify().ok

    def work_left(self) -> list[str]:
        """Ids of tasks that are neither ended nor waiting for a reason that somebody can read."""
        left = [lease.task_id for lease in self.world.hand.store.leases()]
        for task in self.world.hand.store.tasks():
            if isinstance(task, InvalidTask) or task.status in ENDS:
                continue
            why = self.world.hand.why(task.id)
            reason = why["reason"] or next((gate for gate in why["gates"] if not gate["ok"]), None)
            if why["runnable"] or not reason or task.id not in self.waits_for_ever():
                left.append(task.id)
        return left

    def waits_for_ever(self) -> set[str]:
        """What may stay pending: newer formats, and what depends on one of them or on a task that is not there."""
        found = set(self.frozen)
        needs = {task.id: task.depends_on for task in self.world.hand.store.tasks() if isinstance(task, Task)}
        for _ in needs:
            found |= {name for name, deps in needs.items() if any(d not in needs or d in found for d in deps)}
        return found

    def everything_is_told(self) -> None:
        self.world.read_log()
        for task_id, facts in self.world.trail.tasks.items():
            for token in range(1, facts.token + 1):
                assert any(name.startswith(f"evt-{task_id}.{token}.") for name in self.world.trail.ids)
        told = {task_id for task_id, _ in self.world.trail.invalid}
        assert told <= {task_id for task_id, _ in self.contents}
        for task in self.world.hand.store.tasks():
            if isinstance(task, Task) and task.id not in self.frozen:
                facts = self.world.trail.tasks[task.id]
                expected = facts.committed if facts.status in ("claimed", "in_progress") else facts.status
                assert task.status == expected, f"{task.id} is {task.status}, and the log says {facts}"


@pytest.mark.timeout(size(300, 4 * 3600))
def test_dispatchers_keep_the_tables() -> None:
    run_campaign(DispatchMachine, size(40, 20_000), DONE)
