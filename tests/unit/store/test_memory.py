from __future__ import annotations

import hashlib

import pytest

from autopilot.errors import NotFoundError, StorageError, TaskFormatError
from autopilot.models import Ending, EventDraft, InvalidTask, Priority, Status
from autopilot.store.contract import SlotLimits, TaskSummary
from autopilot.store.memory import MemoryRoot, MemoryStore
from autopilot.system.processes import identify
from autopilot.testing.stores import draft, text_of


@pytest.fixture
def memory():
    return MemoryRoot()


@pytest.fixture
def store(memory, log, clock):
    return MemoryStore(publish=log.publish, clock=clock, root=memory)


def claim(store):
    return store.claim("one", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30)


@pytest.mark.parametrize("text", [b"nothing", text_of("two")])
def test_a_text_that_is_no_task(store, memory, text):
    memory.texts["one"] = text
    assert isinstance(store.get("one"), InvalidTask)
    assert [type(task) for task in store.tasks()] == [InvalidTask]
    assert [entry.id for entry in store.changes().invalid] == ["one"]
    assert not store.changes()
    with pytest.raises(TaskFormatError) as refused:
        claim(store)
    fault, shown = refused.value, store.get("one")
    assert (fault.message, fault.hint, fault.path, fault.line, fault.column) == (
        shown.message,
        shown.hint,
        shown.path,
        shown.line,
        shown.column,
    )
    assert shown.path == "memory:one.md"
    memory.texts["one"] = text_of("one")
    assert [entry.id for entry in store.changes().tasks] == ["one"]


def test_what_is_told_of_a_text(store, memory):
    store.create(draft("one"))
    memory.texts["two"] = b"nothing"
    changes = store.changes()
    assert changes.tasks == (
        TaskSummary(
            id="one",
            status=Status.PENDING,
            priority=Priority.MEDIUM,
            created=0.0,
            digest=hashlib.sha256(memory.texts["one"]).hexdigest(),
        ),
    )
    assert changes.invalid == (store.get("two"),)
    claim(store)
    (held,) = store.changes().tasks
    assert (held.created, held.saved, held.written) == (0.0, 0.0, Status.CLAIMED)


def test_a_claim_is_told_once(store, log):
    store.create(draft("one"))
    events = (EventDraft(event_type="task.claimed"),)
    lease = store.claim("one", executor="x", owner=identify(), limits=SlotLimits(total=1), ttl_s=30, events=events)
    store.renew(lease)
    assert lease.outbox == ()
    assert len(log.events) == 1


def test_an_end_that_waits_is_not_asked_to_stop(store, log):
    store.create(draft("one"))
    lease = claim(store)
    store.request_cancel("one", by="me")
    log.fault = StorageError("full")
    ending = Ending(status=Status.CANCELLED, record=lease.record, events=(EventDraft(event_type="x.y"),))
    store.finish(store.lease("one"), ending)
    assert store.lease("one").cancel is None
    assert store.request_cancel("one", by="me") is False


def test_a_move_that_waits_is_who_moved_its(store, log):
    store.create(draft("one"))
    log.fault = StorageError("full")
    ending = Ending(status=Status.CANCELLED, record=store.record("one"), events=(EventDraft(event_type="x.y"),))
    store.move("one", ending, expected=Status.PENDING)
    assert (store.lease("one").owner, store.lease("one").executor) == (identify(), "")


def test_nothing_has_changed_since_the_start_or_the_last_look(store):
    assert store.wait(0) is False
    store.create(draft("one"))
    store.changes()
    assert store.wait(0) is False


def test_a_fresh_record_takes_the_texts_word(store):
    store.create(draft("one", status="done", attempt="3"))
    record = store.record("one")
    assert (record.token, record.projected) == (3, Status.DONE)


def test_an_edit_of_a_held_task_shows_the_leases_view(store):
    store.create(draft("one"))
    store.start(claim(store), owner=identify())
    edited = store.edit("one", {"priority": "low"})
    assert edited.status is Status.IN_PROGRESS
    assert edited == store.get("one")


def test_removed_texts_are_told(store, memory):
    store.create(draft("one"))
    store.changes()
    del memory.texts["one"]
    assert store.changes().removed == ("one",)


def test_an_unreadable_text_waits_for_its_status(store, memory):
    store.create(draft("one"))
    lease = claim(store)
    whole = memory.texts["one"]
    memory.texts["one"] = b"half"
    assert isinstance(store.finish(lease, Ending(status=Status.CANCELLED, record=lease.record)), InvalidTask)
    assert store.project() == 0
    memory.texts["one"] = whole
    assert store.project() == 1
    assert store.get("one").status is Status.CANCELLED


def test_a_deleted_text_ends_its_lease(store, memory):
    store.create(draft("one"))
    lease = claim(store)
    del memory.texts["one"]
    assert store.finish(lease, Ending(status=Status.CANCELLED, record=lease.record)) is None
    assert store.leases() == []
    with pytest.raises(NotFoundError):
        store.get("one")


def test_a_text_that_vanishes_while_all_are_listed(store, memory):
    for task_id in ("a", "b", "c"):
        store.create(draft(task_id))
    tasks = iter(store.tasks())
    assert next(tasks).id == "a"
    del memory.texts["b"]
    assert [task.id for task in tasks] == ["c"]


def test_created_again_after_it_was_deleted(store, memory, log):
    created = (EventDraft(event_type="task.created"),)
    store.create(draft("one"), created)
    lease = claim(store)
    store.finish(lease, Ending(status=Status.PENDING, record=lease.record))
    del memory.texts["one"]
    store.create(draft("one"), created)
    assert claim(store).token == 2
    assert len(log.distinct()) == len(log.events)


def test_a_start_whose_events_wait(store, log):
    store.create(draft("one"))
    lease = claim(store)
    log.fault = StorageError("full")
    begun = store.start(lease, owner=identify(), events=(EventDraft(event_type="attempt.started"),))
    assert begun.outbox
    log.fault = None
    store.finish(begun, Ending(status=Status.DONE, record=begun.record))
    assert log.types() == ["attempt.started"]
