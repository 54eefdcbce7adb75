"""The mutation gate: protocol bugs, planted one by one, which the machine of ``test_store_machine`` must find.

A machine that cannot tell a broken store from a whole one proves nothing. A sample runs each time, all of them at
full size.
"""

from __future__ import annotations

import os

import attrs
import pytest

from autopilot.models import LeaseState
from autopilot.store import eyes, leasefiles, markdown, projection, protocol, scan, summaries
from autopilot.store.filestore import FileStore
from autopilot.store.layout import Layout
from autopilot.system.durable import replace_file
from tests.campaign import sample
from tests.property.machines import Plants, find, nothing
from tests.property.test_store_machine import StoreMachine

MUTANTS = Plants()
mutant = MUTANTS.add


# ---------------------------------------------------------------------- claims


@mutant
def held_tasks_are_claimed_again(m):
    real = protocol.check_claimable
    m.setattr(protocol, "check_claimable", lambda task, lease, digest: real(task, None, digest))


@mutant
def tasks_are_claimed_in_any_status(m):
    m.setattr(
        protocol,
        "check_claimable",
        lambda task, lease, digest: lease and protocol.check_movable(task, lease, task.status, task.status),
    )


@mutant
def slots_are_not_counted(m):
    m.setattr(protocol, "check_slots", nothing)


@mutant
def ended_leases_take_slots(m):
    m.setattr(protocol, "holds", lambda lease: lease is not None)


@mutant
def tokens_do_not_grow(m):
    real = protocol.claimed
    m.setattr(protocol, "claimed", lambda record, *, token, **more: real(record, token=max(token - 1, 1), **more))


@mutant
def records_are_forgotten(m):
    m.setattr(leasefiles.LeaseFiles, "record", nothing)
    m.setattr(leasefiles.LeaseFiles, "last_run", lambda self, task_id: 0)


@mutant
def refused_claims_are_not_undone(m):
    m.setattr(leasefiles.LeaseFiles, "undo_claim", nothing)


@mutant
def claims_are_published_after_the_fact_only(m):
    real = FileStore.claim

    def claim(self, *args, **more):
        publish, self._publish = self._publish, nothing
        try:
            return real(self, *args, **more)
        finally:
            self._publish = publish

    m.setattr(FileStore, "claim", claim)


@mutant
def claims_are_not_written_into_the_file(m):
    real = projection.Projector.write

    def write(self, lease, point, **more):
        return (None, True) if point == "claim.md" else real(self, lease, point, **more)

    m.setattr(projection.Projector, "write", write)


# ---------------------------------------------------------------------- fencing


@mutant
def old_tokens_are_good_tokens(m):
    def check(current, lease):
        if current is None or not protocol.holds(current):
            raise protocol.LeaseLostError("gone")
        return current

    m.setattr(protocol, "check_current", check)


@mutant
def who_judged_the_claim_may_end_the_attempt(m):
    def check(current, lease):
        if current is None or current.token != lease.token or not protocol.holds(current):
            raise protocol.LeaseLostError("gone")
        return current

    m.setattr(protocol, "check_current", check)


@mutant
def attempts_are_started_twice(m):
    real = protocol.started

    def started(current, lease, **more):
        if current is not None and current.token == lease.token and current.state is LeaseState.STARTED:
            return attrs.evolve(current, owner=more["owner"])
        return real(current, lease, **more)

    m.setattr(protocol, "started", started)


@mutant
def every_end_is_allowed(m):
    m.setattr(protocol, "_check_end", nothing)


@mutant
def moves_do_not_look_at_the_lease(m):
    real = protocol.check_movable
    m.setattr(protocol, "check_movable", lambda task, lease, new, expected: real(task, None, new, expected))


@mutant
def moves_do_not_look_at_the_status(m):
    real = protocol.check_movable
    m.setattr(
        protocol,
        "check_movable",
        lambda task, lease, new, expected: real(attrs.evolve(task, status=expected), lease, new, expected),
    )


@mutant
def late_reports_are_taken(m):
    real = FileStore.report

    def report(self, lease, result):
        try:
            real(self, lease, result)
        except protocol.LeaseLostError:
            pass

    m.setattr(FileStore, "report", report)


@mutant
def late_beats_are_taken(m):
    real = FileStore.renew

    def renew(self, lease):
        try:
            return real(self, lease)
        except protocol.LeaseLostError:
            return None

    m.setattr(FileStore, "renew", renew)


@mutant
def beats_are_not_written(m):
    m.setattr(leasefiles.LeaseFiles, "write_beat", nothing)


@mutant
def cancel_requests_are_not_written(m):
    m.setattr(leasefiles.LeaseFiles, "write_cancel", nothing)


@mutant
def an_end_throws_away_a_cancel_that_it_has_not_seen(m):
    real = protocol.ended

    def ended(current, lease, ending, **more):
        seen = lease if current is None else attrs.evolve(lease, cancel=current.cancel)
        return real(current, seen, ending, **more)

    m.setattr(protocol, "ended", ended)


# ---------------------------------------------------------------------- outbox and projections


@mutant
def the_outbox_is_thrown_away(m):
    real = projection.Projector._tell
    m.setattr(projection.Projector, "_tell", lambda self, task_id, events: real(self, task_id, events) or True)


@mutant
def starts_that_were_not_told_are_forgotten(m):
    m.setattr(projection.Projector, "not_in_log", lambda self, lease: ())
    m.setattr(projection.Projector, "tell_started", nothing)


@mutant
def nothing_is_redone(m):
    m.setattr(FileStore, "project", lambda self: 0)


@mutant
def ends_are_not_redone_in_the_file(m):
    real = projection.Projector.markdown

    def markdown_(self, lease, point, **more):
        return (None, True) if point == "project.md" else real(self, lease, point, **more)

    m.setattr(projection.Projector, "markdown", markdown_)


@mutant
def half_saved_files_are_given_up(m):
    real = projection.Projector.markdown
    m.setattr(projection.Projector, "markdown", lambda self, *a, **k: (real(self, *a, **k)[0], True))


@mutant
def ended_leases_are_not_retired(m):
    m.setattr(leasefiles.LeaseFiles, "retire", nothing)


@mutant
def ended_leases_are_deleted(m):
    def retire(self, task_id, token):
        os.unlink(self._layout.lease(task_id))

    m.setattr(leasefiles.LeaseFiles, "retire", retire)


@mutant
def ids_of_events_repeat(m):
    real = protocol.stamp
    m.setattr(protocol, "stamp", lambda record, drafts, clock: real(attrs.evolve(record, seq=0), drafts, clock))


# ---------------------------------------------------------------------- files and views


@mutant
def create_overwrites(m):
    m.setattr(
        markdown,
        "create_file",
        lambda path, data, *, point, sync: replace_file(path, data, point=point, sync=sync),
    )
    m.setattr("autopilot.store.filestore.os.path.lexists", lambda path: False)


@mutant
def refused_creations_stay(m):
    m.setattr(markdown.MarkdownFiles, "withdraw", nothing)


@mutant
def the_body_is_lost(m):
    real = protocol.edit
    m.setattr(protocol, "edit", lambda data, values: real(data, values).partition(b"mark ")[0])


@mutant
def leases_are_not_looked_at(m):
    m.setattr(protocol, "overlay", lambda task, lease, record=None: task)


@mutant
def the_scan_does_not_see_leases(m):
    real = eyes.Eyes._touch
    m.setattr(
        eyes.Eyes,
        "_touch",
        lambda self, folder, task_id: real(self, folder, task_id) if folder == self._layout.tasks else None,
    )


@mutant
def the_scan_does_not_see_files(m):
    m.setattr(eyes, "is_task_name", lambda name: False)


@mutant
def the_scan_does_not_see_removals(m):
    m.setattr(scan.Scanner, "_forget", nothing)


@mutant
def the_scan_forgets_the_view(m):
    m.setattr(summaries, "view", lambda status, attempt, not_before, lease, record: (status, attempt, not_before))


@mutant
def temporary_files_are_seen(m):
    m.setattr("autopilot.store.markdown.is_task_name", lambda name: name.endswith((".md", ".tmp")))


@mutant
def all_tasks_share_one_lease_file(m):
    m.setattr(Layout, "lease", lambda self, task_id: f"{self.leases}/all.json")


# ---------------------------------------------------------------------- the gate


def test_there_are_enough_mutants() -> None:
    assert len(MUTANTS) >= 25


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sample(MUTANTS, 6))
def test_the_machine_finds(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find(StoreMachine, name, MUTANTS[name], monkeypatch)
