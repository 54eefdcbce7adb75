from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from autopilot.models import Ending, Lease, LeaseState, Status, TaskRecord
from autopilot.store.liveness import GRACE_S, TTL_LONGEST_S, BeatWatch, Liveness, verdict
from autopilot.system.processes import identify
from autopilot.testing.stores import FakeClock, gone_owner

ME = identify()
FAR = attrs.evolve(ME, host="another-machine")
OTHER_SPACE = attrs.evolve(ME, pid_space=ME.pid_space + 1)
OTHER_BOOT = attrs.evolve(ME, boot="another-boot")


@pytest.fixture
def clock():
    return FakeClock(tick_s=0)


def lease_of(owner, *, beat=1000.0, ttl_s=30.0, token=1):
    return Lease(
        record=TaskRecord(task_id="one", token=token),
        state=LeaseState.STARTED,
        executor="local",
        owner=owner,
        claimed_at=datetime(2026, 11, 22, tzinfo=UTC),
        beat=beat,
        ttl_s=ttl_s,
    )


def judge(lease, clock, watch=None):
    return verdict(lease, clock, watch or BeatWatch())


def after(seconds, lease, clock, watch):
    """What a watcher finds after so long, who looks often all the time."""
    until = clock.steady + seconds
    while clock.steady + 5.0 < until:
        clock.advance(5.0)
        judge(lease, clock, watch)
    clock.advance(until - clock.steady)
    return judge(lease, clock, watch)


def test_a_dead_owner_is_dead_at_once(clock):
    assert judge(lease_of(gone_owner()), clock) is Liveness.DEAD
    assert judge(lease_of(attrs.evolve(ME, pid=2**22 + 1)), clock) is Liveness.DEAD


def test_another_boot_of_this_machine_is_dead(clock):
    assert judge(lease_of(OTHER_BOOT), clock) is Liveness.DEAD


def test_an_ended_lease_is_held_by_nobody(clock):
    held = lease_of(ME)
    ended = attrs.evolve(held, state=LeaseState.ENDED, ending=Ending(status=Status.DONE, record=held.record))
    assert judge(ended, clock) is Liveness.DEAD


def test_a_live_owner_lives_until_its_time_runs_out(clock):
    lease = lease_of(ME, beat=clock.steady, ttl_s=30.0)
    assert judge(lease, clock) is Liveness.ALIVE
    clock.advance(30.0)
    assert judge(lease, clock) is Liveness.ALIVE
    clock.advance(0.1)
    assert judge(lease, clock) is Liveness.EXPIRED


@pytest.mark.parametrize("years", [-10, -1, 1, 10])
def test_a_jump_of_the_wall_clock_changes_nothing(clock, years):
    lease = lease_of(ME, beat=clock.steady)
    far = lease_of(FAR, beat=5.0)
    watch = BeatWatch()
    assert judge(far, clock, watch) is Liveness.UNKNOWN
    clock.wall += timedelta(days=365 * years)
    assert judge(lease, clock) is Liveness.ALIVE
    assert judge(far, clock, watch) is Liveness.UNKNOWN


@pytest.mark.parametrize("owner", [FAR, OTHER_SPACE])
def test_an_owner_out_of_sight_is_judged_by_its_changing_beat(clock, owner):
    watch = BeatWatch()
    lease = lease_of(owner, beat=77.0, ttl_s=30.0)
    assert judge(lease, clock, watch) is Liveness.UNKNOWN
    assert after(30.0 + GRACE_S, lease, clock, watch) is Liveness.UNKNOWN
    assert after(0.1, lease, clock, watch) is Liveness.EXPIRED
    assert judge(attrs.evolve(lease, beat=78.0), clock, watch) is Liveness.UNKNOWN
    assert after(30.0, attrs.evolve(lease, beat=78.0), clock, watch) is Liveness.UNKNOWN


def test_a_beat_of_another_machine_is_no_time_of_ours(clock):
    watch = BeatWatch()
    for beat in (-1e12, 1e12, 0.0):
        assert judge(lease_of(FAR, beat=beat), clock, watch) is Liveness.UNKNOWN


def test_a_beat_from_the_future_is_judged_by_its_change(clock):
    watch = BeatWatch()
    lease = lease_of(ME, beat=clock.steady + 1e9, ttl_s=30.0)
    assert judge(lease, clock, watch) is Liveness.ALIVE
    assert after(31.0, lease, clock, watch) is Liveness.EXPIRED
    assert judge(attrs.evolve(lease, beat=-5.0), clock, watch) is Liveness.ALIVE


def test_a_beat_a_moment_ahead_is_a_rounding(clock):
    assert judge(lease_of(ME, beat=clock.steady + 0.5), clock) is Liveness.ALIVE


@pytest.mark.parametrize("ttl_s", [1e9, float("inf")])
def test_a_time_without_end_is_clamped(clock, ttl_s):
    lease = lease_of(ME, beat=clock.steady, ttl_s=ttl_s)
    clock.advance(TTL_LONGEST_S + 1)
    assert judge(lease, clock) is Liveness.EXPIRED


@pytest.mark.parametrize("ttl_s", [0.0, -5.0])
def test_a_time_of_nothing_is_clamped(clock, ttl_s):
    lease = lease_of(ME, beat=clock.steady, ttl_s=ttl_s)
    clock.advance(0.9)
    assert judge(lease, clock) is Liveness.ALIVE
    clock.advance(0.2)
    assert judge(lease, clock) is Liveness.EXPIRED


def test_a_second_look_at_the_same_instant_changes_nothing(clock):
    watch = BeatWatch()
    lease = lease_of(FAR, beat=5.0, ttl_s=30.0)
    judge(lease, clock, watch)
    after(30.1 + GRACE_S, lease, clock, watch)
    assert judge(lease, clock, watch) is judge(lease, clock, watch) is Liveness.EXPIRED


def test_each_token_and_owner_is_watched_for_itself(clock):
    watch = BeatWatch()
    old = lease_of(FAR, beat=5.0, token=1)
    judge(old, clock, watch)
    after(100.0, old, clock, watch)
    assert judge(lease_of(FAR, beat=5.0, token=2), clock, watch) is Liveness.UNKNOWN
    assert judge(old, clock, watch) is Liveness.EXPIRED


def test_leases_that_are_gone_are_forgotten(clock):
    watch = BeatWatch()
    lease = lease_of(FAR, beat=5.0)
    judge(lease, clock, watch)
    after(100.0, lease, clock, watch)
    watch.keep_only([lease], clock.steady)
    assert judge(lease, clock, watch) is Liveness.EXPIRED
    watch.keep_only([], clock.steady)
    assert judge(lease, clock, watch) is Liveness.UNKNOWN


def test_a_monotonic_clock_that_began_anew_starts_the_watch_again(clock):
    watch = BeatWatch()
    lease = lease_of(FAR, beat=5.0)
    judge(lease, clock, watch)
    clock.steady = 1.0
    assert judge(lease, clock, watch) is Liveness.UNKNOWN
    clock.advance(39.0)
    assert judge(lease, clock, watch) is Liveness.UNKNOWN


@pytest.mark.parametrize("away_s", [15.1, 35.0, 3600.0])
def test_who_was_away_itself_is_patient(clock, away_s):
    """A laptop's lid, `docker pause`: dispatcher and runner stood still together, and nobody is to blame."""
    watch = BeatWatch()
    lease = lease_of(ME, beat=clock.steady - 20.0, ttl_s=30.0)
    assert judge(lease, clock, watch) is Liveness.ALIVE
    clock.advance(away_s)
    assert judge(lease, clock, watch) is Liveness.ALIVE
    clock.advance(15.0)
    assert judge(lease, clock, watch) is Liveness.ALIVE
    awake = attrs.evolve(lease, beat=clock.steady - 1.0)
    clock.advance(0.1)
    assert judge(lease, clock, watch) is Liveness.EXPIRED
    assert judge(awake, clock, watch) is Liveness.ALIVE


def test_who_was_away_is_patient_with_a_beat_that_came_after_its_last_look(clock):
    watch = BeatWatch()
    lease = lease_of(ME, beat=clock.steady, ttl_s=30.0)
    judge(lease, clock, watch)
    beaten = attrs.evolve(lease, beat=clock.steady + 5.0)
    clock.advance(3600.0)
    assert judge(beaten, clock, watch) is Liveness.ALIVE
    clock.advance(15.1)
    assert judge(beaten, clock, watch) is Liveness.EXPIRED


def test_who_looks_often_is_not_patient(clock):
    watch = BeatWatch()
    lease = lease_of(ME, beat=clock.steady, ttl_s=30.0)
    answers = []
    for _ in range(4):
        answers.append(judge(lease, clock, watch))
        clock.advance(15.0)
    assert answers == [Liveness.ALIVE] * 3 + [Liveness.EXPIRED]


def test_half_a_leases_time_is_not_away(clock):
    watch = BeatWatch()
    lease = lease_of(ME, beat=clock.steady - 20.0, ttl_s=30.0)
    assert judge(lease, clock, watch) is Liveness.ALIVE
    clock.advance(15.0)
    assert judge(lease, clock, watch) is Liveness.EXPIRED


def test_who_was_away_is_patient_with_an_owner_out_of_sight(clock):
    watch = BeatWatch()
    lease = lease_of(FAR, beat=5.0, ttl_s=30.0)
    judge(lease, clock, watch)
    clock.advance(3600.0)
    assert judge(lease, clock, watch) is Liveness.UNKNOWN
    clock.advance(15.1)
    assert judge(lease, clock, watch) is Liveness.EXPIRED


def test_who_looks_seldom_is_patient_with_a_beat_once(clock):
    watch = BeatWatch()
    lease = lease_of(ME, beat=clock.steady, ttl_s=30.0)
    answers = []
    for _ in range(3):
        answers.append(judge(lease, clock, watch))
        clock.advance(100.0)
    assert answers == [Liveness.ALIVE, Liveness.ALIVE, Liveness.EXPIRED]


def test_who_looks_for_the_first_time_sees_the_age_at_once(clock):
    for beat in (0.0, clock.steady):
        lease = lease_of(ME, beat=beat, ttl_s=30.0)
        clock.advance(3600.0)
        assert judge(lease, clock, BeatWatch()) is Liveness.EXPIRED


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize("away_s", [15.0, 15.1, 3600.0])
def test_who_was_away_before_its_first_look_is_patient(clock, rounds, away_s):
    """All stood still between the start of a dispatcher, or its last round, and its first look at a lease."""
    watch = BeatWatch(clock.steady)
    for _ in range(rounds):
        clock.advance(100.0)
        watch.keep_only([], clock.steady)
    lease = lease_of(ME, beat=clock.steady - 20.0, ttl_s=30.0)
    clock.advance(away_s)
    watch.keep_only([lease], clock.steady)
    patient = Liveness.EXPIRED if away_s == 15.0 else Liveness.ALIVE
    assert judge(lease, clock, watch) is patient
    clock.advance(15.0)
    assert judge(lease, clock, watch) is patient
    clock.advance(0.1)
    assert judge(lease, clock, watch) is Liveness.EXPIRED
