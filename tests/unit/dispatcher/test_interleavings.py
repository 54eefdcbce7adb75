"""What another dispatcher or a person does between a dispatcher's look and its deed is not undone by the deed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from autopilot.config.settings import DispatcherSettings
from autopilot.dispatcher.control import Control
from autopilot.dispatcher.tick import Dispatcher
from autopilot.errors import BusyError, SetupError, StorageError
from autopilot.models import Ending, OutcomeKind, Status
from autopilot.store.contract import SlotLimits
from autopilot.system.processes import identify
from tests.puppets import control_of


@pytest.fixture
def other(arena: Any) -> Iterator[Control]:
    """The control plane of another process on the same root."""
    arena.executor("coder")
    made = control_of(
        arena.root,
        clock=arena.clock,
        settings=arena._settings,
        executors=arena._executors,
        launcher=arena.stage,
    )
    yield made
    made.close()


@pytest.fixture
def before(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Does something in the instant before a function of an object is called for the first time."""

    def between(thing: Any, name: str, deed: Callable[[], object]) -> None:
        real = getattr(thing, name)

        def call(*args: Any, **more: Any) -> Any:
            monkeypatch.setattr(thing, name, real)
            deed()
            return real(*args, **more)

        monkeypatch.setattr(thing, name, call)

    return between


def written(arena: Any, name: str, old: str, new: str) -> None:
    file = arena.file(name)
    data = file.read_bytes()
    assert old.encode() in data
    file.write_bytes(data.replace(old.encode(), new.encode()))


def ticks_until(arena: Any, done: Callable[[], object]) -> None:
    for _ in range(10):
        arena.clock.pass_by(10)
        arena.tick()
        if done():
            return
    raise AssertionError("it never comes to that")


# ---------------------------------------------------------------------- a cancel that was answered with yes


@pytest.mark.parametrize(("kind", "status"), [("failed", "cancelled"), ("succeeded", "done")])
def test_a_cancel_between_the_look_at_a_result_and_its_end_counts(
    arena: Any, other: Control, before: Any, kind: str, status: str
) -> None:
    said: list[str] = []
    arena.task("one", max_attempts=3)
    arena.tick()
    arena.end("one", kind)
    before(arena.control.store, "finish", lambda: said.append(other.cancel("one", by="ada")))
    arena.tick()
    arena.tick()
    assert said == ["requested"]
    assert arena.status("one") == status
    assert len(arena.stage.started) == 1


def test_a_cancel_of_a_claim_whose_runner_never_begins_counts(arena: Any, other: Control) -> None:
    arena.stage.unable = True
    arena.task("one")
    arena.tick()
    assert other.cancel("one", by="ada") == "requested"
    arena.tick(start=False)
    assert arena.status("one") == "cancelled"


def test_a_cancel_while_the_launcher_refuses_counts(arena: Any, other: Control, monkeypatch: Any) -> None:
    said: list[str] = []

    def refuse(*_: Any) -> None:
        said.append(other.cancel("one", by="ada"))
        raise SetupError("cannot fork")

    monkeypatch.setattr(arena.stage, "start", refuse)
    arena.task("one")
    arena.tick()
    arena.tick(start=False)
    assert said == ["requested"]
    assert arena.status("one") == "cancelled"


# ---------------------------------------------------------------------- one that hangs


def test_a_runner_that_does_not_come_to_its_start_loses_the_claim(arena: Any, monkeypatch: Any) -> None:
    """Stopped, or in the import of a plugin: it lives, so that only the time of the lease can tell."""
    arena.executor("coder")
    arena.settings(dispatcher=DispatcherSettings(max_active=1))
    arena.stage.unable = True
    arena.task("one")
    arena.tick()
    monkeypatch.setattr(arena.stage, "has", lambda task_id, token: token == 1)
    arena.clock.pass_by(29)
    arena.tick(start=False)
    assert arena.status("one") == "claimed"
    arena.clock.pass_by(2)
    (ended,) = arena.tick(start=False).adopted
    assert (ended.outcome, str(ended.status)) == ("released", "pending")
    assert ended.reason.message.endswith("its runner did not begin within 30 s, and may not any more")
    arena.stage.unable = False
    ticks_until(arena, lambda: arena.status("one") == "in_progress")


def test_who_holds_the_lock_of_a_task_that_a_person_cancels_stops_no_other(
    arena: Any, other: Control, monkeypatch: Any
) -> None:
    def busy(task_id: str, **_: Any) -> bool:
        raise BusyError(f"{task_id} is locked")

    arena.task("one")
    arena.tick()
    arena.task("two")
    written(arena, "one", "status: claimed", "status: cancelled")
    monkeypatch.setattr(arena.control.store, "request_cancel", busy)
    report = arena.tick()
    assert [one.task_id for one in report.started] == ["two"]
    assert report.notes == ("one is locked",)
    assert arena.tick().notes == ()
    monkeypatch.undo()
    arena.tick()
    lease = other.store.lease("one")
    assert lease is not None and lease.cancel == "the task's file"


# ---------------------------------------------------------------------- wake-ups


def test_who_found_no_slot_does_not_wait_for_an_end_that_it_may_not_see(
    arena: Any, other: Control, monkeypatch: Any
) -> None:
    arena.settings(dispatcher=DispatcherSettings(max_active=1))
    for name in ("one", "two"):
        arena.task(name)
    store, claim = arena.control.store, arena.control.store.claim

    def too_late(task_id: str, **more: Any) -> Any:
        monkeypatch.setattr(store, "claim", claim)
        held = other.store.claim("two", executor="coder", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)
        try:
            return claim(task_id, **more)
        finally:
            other.store.finish(held, Ending(status=Status.CANCELLED, record=held.record))

    monkeypatch.setattr(store, "claim", too_late)
    assert arena.tick().started == ()
    ticks_until(arena, lambda: arena.status("one") == "in_progress")


def test_a_task_that_was_claimed_for_an_instant_only_is_looked_at_again(
    arena: Any, other: Control, monkeypatch: Any
) -> None:
    seen: list[Any] = []
    store = arena.control.store

    def refuse(events: Any) -> None:
        seen.append(get("one"))
        raise StorageError("disk full")

    def get_while_it_is_claimed(task_id: str) -> Any:
        monkeypatch.setattr(store, "get", get)
        with pytest.raises(StorageError):
            other.store.claim("one", executor="coder", owner=identify(), limits=SlotLimits(total=4), ttl_s=30)
        return seen[0]

    arena.task("one")
    get = store.get
    monkeypatch.setattr(other.store, "_publish", refuse)
    monkeypatch.setattr(store, "get", get_while_it_is_claimed)
    assert arena.tick().started == ()
    assert seen[0].status is Status.CLAIMED
    ticks_until(arena, lambda: arena.status("one") == "in_progress")


def test_a_blocked_task_whose_lock_is_held_when_it_may_go_on_is_tried_again(arena: Any, monkeypatch: Any) -> None:
    def busy(*_: Any, **__: Any) -> None:
        raise BusyError("one is locked")

    arena.executor("coder")
    arena.task("dep")
    arena.task("one", depends_on=["dep"])
    arena.control.cancel("dep")
    arena.tick()
    assert arena.status("one") == "blocked"
    arena.control.retry("dep", force=True)
    arena.tick()
    arena.end("dep")
    monkeypatch.setattr(arena.control.store, "move", busy)
    assert arena.tick().notes == ("one is locked",)
    monkeypatch.undo()
    ticks_until(arena, lambda: arena.status("one") == "in_progress")


# ---------------------------------------------------------------------- an old look


def test_a_cancel_in_the_file_of_an_attempt_does_not_reach_the_next_one(
    arena: Any, other: Control, before: Any
) -> None:
    def ended_and_begun_anew() -> None:
        second = Dispatcher(other)
        second.tick(start=False)
        arena.end("one", OutcomeKind.CANCELLED)
        second.tick(start=False)
        assert other.retry("one", force=True)
        second.tick()

    arena.task("one")
    arena.tick()
    written(arena, "one", "status: claimed", "status: cancelled")
    before(arena.control.store, "leases", ended_and_begun_anew)
    arena.tick()
    lease = arena.control.store.lease("one")
    assert (lease.token, lease.cancel) == (2, None)
    assert [event["payload"]["digest"] for event in arena.events("task.edited")].count(arena.digest("one")) == 0
    assert len(arena.events("task.edited")) == 1


def test_a_repair_of_an_old_text_leaves_what_a_person_asked_for_since(
    arena: Any, other: Control, before: Any
) -> None:
    def healed_and_sent_round() -> None:
        Dispatcher(other).tick(start=False)
        assert other.read_task("one").status is Status.DONE
        other.retry("one", force=True)

    arena.task("one")
    arena.tick()
    running = arena.file("one").read_bytes()
    arena.end("one")
    arena.tick()
    arena.file("one").write_bytes(running)
    before(arena.control.store, "edit", healed_and_sent_round)
    arena.tick(start=False)
    ticks_until(arena, lambda: len(arena.stage.started) == 2)


def test_a_block_that_comes_after_another_attempt_leaves_its_counts(
    arena: Any, other: Control, before: Any
) -> None:
    def an_attempt() -> None:
        limits = SlotLimits(total=9)
        lease = other.store.claim("one", executor="coder", owner=identify(), limits=limits, ttl_s=30)
        begun = other.store.start(lease, owner=identify())
        spent = attrs.evolve(begun.record, used=1, spent_usd=5.0)
        other.store.finish(begun, Ending(status=Status.PENDING, record=spent))

    arena.task("dep")
    arena.task("one", depends_on=["dep"], max_attempts=2)
    arena.control.cancel("dep")
    before(arena.control.store, "move", an_attempt)
    arena.tick()
    record = arena.control.store.record("one")
    assert (record.token, record.used, record.spent_usd) == (1, 1, 5.0)


# ---------------------------------------------------------------------- a lease that was deleted


def test_what_may_run_without_a_lease_is_ended_before_the_next_attempt(arena: Any, monkeypatch: Any) -> None:
    """``git clean``, or a hand in ``state/``: the attempt is at work, and nothing says so."""
    answers: list[str | None] = ["not dead after SIGKILL", "not dead after SIGKILL", None]
    asked: list[tuple[str, int]] = []

    def bury(task_id: str, token: int) -> str | None:
        asked.append((task_id, token))
        return answers.pop(0)

    arena.executor("coder")
    monkeypatch.setattr(arena.control, "bury", bury)
    arena.task("one")
    arena.tick()
    arena.tick()
    arena.control.store._leases.retire("one", 1)
    assert arena.tick().notes == ("one: not dead after SIGKILL",)
    assert arena.tick().notes == ()
    assert arena.status("one") == "claimed"
    ticks_until(arena, lambda: arena.status("one") == "in_progress")
    assert asked == [("one", 1)] * 3
    assert [spec.token for spec in arena.stage.started] == [1, 2]


def test_an_attempt_that_began_since_the_file_was_read_is_not_taken_for_one_without_a_lease(
    arena: Any, other: Control, before: Any, monkeypatch: Any
) -> None:
    buried: list[tuple[str, int]] = []
    monkeypatch.setattr(arena.control, "bury", lambda task_id, token: buried.append((task_id, token)))
    arena.task("one")
    written(arena, "one", "title: one\n", "title: one\nstatus: claimed\n")

    def healed_and_begun() -> None:
        second = Dispatcher(other)
        second.tick()
        second.tick()

    before(arena.control.store, "record", healed_and_begun)
    arena.tick()
    assert buried == []
    lease = arena.control.store.lease("one")
    assert lease is not None and lease.token == 1
