"""The mutation gate of the dispatcher: bugs of reconcile, gates, leases and log, which its machine must find.

A sample runs each time, all of them at full size.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from autopilot.dispatcher import changes, endings, gates
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.reconcile import Reconciler
from autopilot.dispatcher.starting import Starter
from autopilot.dispatcher.tick import Dispatcher
from autopilot.events import append
from autopilot.models import Status
from autopilot.store import protocol
from autopilot.store.filestore import FileStore
from tests.campaign import sample
from tests.property.machines import Plants, find, nothing
from tests.property.test_dispatch_machine import DispatchMachine

MUTANTS = Plants()
mutant = MUTANTS.add


# ---------------------------------------------------------------------- reconcile


@mutant
def results_are_not_adopted(m):
    m.setattr(Reconciler, "_adopt", nothing)


@mutant
def the_living_are_taken_for_dead(m):
    m.setattr(Control, "lease_verdict", lambda self, lease: "dead")
    m.setattr(Reconciler, "_take_back", lambda self, lease, verdict: self._lost(lease, verdict))


@mutant
def the_dead_are_left(m):
    m.setattr(Reconciler, "_lost", nothing)


@mutant
def the_silent_are_left(m):
    real = Control.lease_verdict
    m.setattr(Control, "lease_verdict", lambda self, lease: real(self, lease).replace("expired", "unknown"))
    m.setattr(
        Reconciler,
        "_take_back",
        lambda self, lease, verdict: None,
    )


@mutant
def successors_do_not_wait_for_orphans(m):
    real = Reconciler._take_back

    def take_back(self, lease, verdict):
        clear = self._means.clear
        self._means = attrs.evolve(self._means, clear=lambda lease: nothing(clear(lease)))
        return real(self, lease, verdict)

    m.setattr(Reconciler, "_take_back", take_back)


@mutant
def last_words_are_not_heard(m):
    real = Reconciler._take_back

    def take_back(self, lease, verdict):
        m.setattr(FileStore, "result", nothing)
        try:
            return real(self, lease, verdict)
        finally:
            m.setattr(FileStore, "result", kept)

    kept = FileStore.result
    m.setattr(Reconciler, "_take_back", take_back)


@mutant
def claims_of_dead_dispatchers_are_left(m):
    m.setattr(Reconciler, "_release", nothing)


@mutant
def own_claims_without_a_runner_are_left(m):
    m.setattr(Reconciler, "_look_after_own", nothing)


@mutant
def cancels_in_files_are_not_seen(m):
    m.setattr(Reconciler, "honour_edit", nothing)


@mutant
def held_words_that_nobody_holds_stay(m):
    m.setattr(Reconciler, "repair", nothing)


# ---------------------------------------------------------------------- the outcome table


@mutant
def losses_are_not_counted(m):
    m.setattr(endings, "MAX_LOST", 99)


@mutant
def failures_are_not_counted(m):
    m.setattr(endings, "_after_failure", lambda *a: (Status.PENDING, None, None))


@mutant
def questions_are_failures(m):
    real = endings._next

    def next_(task, spent, result, judged, *a):
        then = real(task, spent, result, judged, *a)
        return endings._after_failure(task, spent, judged) if judged.kind == "needs_input" else then

    m.setattr(endings, "_next", next_)


@mutant
def a_persons_retry_keeps_the_counters(m):
    m.setattr(changes, "fresh_record", lambda record: attrs.evolve(record, reason=None, not_before=None))


@mutant
def a_persons_edit_keeps_the_counters(m):
    m.setattr(protocol, "as_edited", lambda record, task: record)


# ---------------------------------------------------------------------- gates


@mutant
def dependencies_are_not_waited_for(m):
    m.setattr(gates.Dependencies, "refusal", nothing)


@mutant
def failed_dependencies_are_waited_for(m):
    m.setattr(gates.Dependencies, "_failed", nothing)


@mutant
def cycles_are_waited_for(m):
    m.setattr(gates.Dependencies, "cycle_of", nothing)


@mutant
def pauses_are_ignored(m):
    real = Dispatcher.tick

    def tick(self, **options):
        with pytest.MonkeyPatch.context() as here:
            here.setattr(Control, "hold", nothing)
            return real(self, **options)

    m.setattr(Dispatcher, "tick", tick)


@mutant
def parked_tasks_are_never_woken(m):
    m.setattr("autopilot.dispatcher.board.Board.ring", nothing)


@mutant
def broken_files_are_told_of_by_everybody(m):
    m.setattr(changes, "_told", lambda control: [])
    m.setattr(changes, "Event", lambda **fields: changes_event(fields))


def changes_event(fields: dict[str, Any]) -> Any:
    from autopilot.events.ids import unique_event_id
    from autopilot.models import Event

    return Event(**{**fields, "id": unique_event_id(0.0)})


# ---------------------------------------------------------------------- leases, seen from here


@mutant
def what_was_not_projected_is_given_up(m):
    m.setattr(FileStore, "project", lambda self: 0)


@mutant
def runners_that_cannot_be_made_keep_the_task(m):
    m.setattr(Starter, "_give_back", nothing)
    m.setattr(Reconciler, "_look_after_own", nothing)


# ---------------------------------------------------------------------- log


@mutant
def torn_ends_are_written_behind(m):
    m.setattr(append, "read_fragment", lambda fd, start: b"")


@mutant
def ends_are_not_told(m):
    real = endings.conclude
    m.setattr("autopilot.dispatcher.reconcile.conclude", lambda *a, **k: attrs.evolve(real(*a, **k), events=()))


# ---------------------------------------------------------------------- the gate


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) >= 25


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sample(MUTANTS, 4))
def test_the_machine_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find(DispatchMachine, name, MUTANTS[name], monkeypatch)
