"""The store suite, part one: tasks that are never lost or overwritten, and what is told of their changes."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest

from autopilot.errors import (
    AlreadyExistsError,
    BusyError,
    NotFoundError,
    StorageError,
    TaskFormatError,
)
from autopilot.models import (
    EventDraft,
    Priority,
    Status,
    TaskDraft,
)
from autopilot.store.contract import Store
from autopilot.testing.store_kit import (
    FakeClock,
    RecordingLog,
    StoreCase,
    draft,
    text_of,
)


class TaskTests(StoreCase):
    """Create, read, edit, watch."""

    # ------------------------------------------------------------------ tasks

    def test_an_empty_store_answers_everything(self, store: Store) -> None:
        assert store.ids() == []
        assert list(store.tasks()) == []
        assert store.leases() == []
        assert store.lease("nobody") is None
        assert store.project() == 0
        assert not store.changes()
        assert store.request_cancel("nobody", by="me") is False
        assert store.record("nobody").token == 0

    def test_a_created_task_reads_back(self, store: Store) -> None:
        made = store.create(draft("one", priority="high", depends_on="[zero]"))
        assert made == store.get("one")
        assert made.title == "Do one"
        assert made.status is Status.PENDING
        assert made.priority is Priority.HIGH
        assert made.depends_on == ("zero",)
        assert made.body.strip() == "The body of one."
        assert made.extra["x-team"] == "blue"
        assert made.digest

    def test_create_never_overwrites(self, store: Store) -> None:
        first = store.create(draft("one"))
        with pytest.raises(AlreadyExistsError):
            store.create(draft("one", priority="low"))
        assert store.get("one") == first

    def test_create_refuses_what_is_no_task(self, store: Store) -> None:
        with pytest.raises(TaskFormatError):
            store.create(TaskDraft(id="one", text=b"---\ntitle: [\n---\n"))
        with pytest.raises(TaskFormatError):
            store.create(TaskDraft(id="one", text=text_of("other")))
        assert store.ids() == []

    @pytest.mark.parametrize("bad", ["", "..", "../up", "a/b", "UPPER", ".hidden", "a\0b", "nul", "x" * 81, "-a"])
    def test_create_refuses_ids_that_could_leave_the_store(self, store: Store, bad: str) -> None:
        with pytest.raises(TaskFormatError):
            store.create(TaskDraft(id=bad, text=text_of("ok")))
        assert store.ids() == []

    def test_a_creation_is_told_once(self, store: Store, log: RecordingLog) -> None:
        store.create(draft("one"), [EventDraft(event_type="task.created", payload={"by": "me"})])
        (event,) = log.events
        assert event.id == "evt-one.0.1"
        assert event.trace_id == "one"
        assert event.payload == {"by": "me"}
        assert event.timestamp.startswith("2026-11-22T09:00:00.0")

    def test_a_creation_that_cannot_be_told_leaves_nothing(self, store: Store, log: RecordingLog) -> None:
        log.fault = StorageError("full")
        with pytest.raises(StorageError):
            store.create(draft("one"), [EventDraft(event_type="task.created")])
        assert store.ids() == []

    def test_get_of_a_missing_task(self, store: Store) -> None:
        for task_id in ("nobody", "", "../up", "a/b", ".x"):
            with pytest.raises(NotFoundError):
                store.get(task_id)

    def test_all_tasks_in_order(self, store: Store) -> None:
        for task_id in ("b", "c", "a", "a.1"):
            store.create(draft(task_id))
        assert store.ids() == ["a", "a.1", "b", "c"]
        assert [task.id for task in store.tasks()] == ["a", "a.1", "b", "c"]
        self.claim(store, "b")
        assert [getattr(task, "status", "") for task in store.tasks()] == [
            "pending",
            "pending",
            "claimed",
            "pending",
        ]

    def test_edit_sets_and_removes_keys(self, store: Store) -> None:
        made = store.create(draft("one", priority="low"))
        edited = store.edit("one", {"priority": "high", "x-team": None}, digest=made.digest)
        assert edited.priority is Priority.HIGH
        assert "x-team" not in edited.extra
        assert edited.body == made.body
        assert edited == store.get("one")

    def test_edit_refuses(self, store: Store) -> None:
        made = store.create(draft("one"))
        with pytest.raises(NotFoundError):
            store.edit("two", {"priority": "low"})
        with pytest.raises(TaskFormatError):
            store.edit("one", {"priority": "sometimes"})
        store.edit("one", {"priority": "low"})
        with pytest.raises(BusyError):
            store.edit("one", {"priority": "high"}, digest=made.digest)
        assert store.edit("one", {"title": "New"}).priority is Priority.LOW

    def test_replace_text(self, store: Store) -> None:
        made = store.create(draft("one"))
        with pytest.raises(TaskFormatError):
            store.replace_text("one", text_of("two"), digest=made.digest)
        new = store.replace_text("one", text_of("one", title="Else"), digest=made.digest)
        assert new.title == "Else"
        with pytest.raises(BusyError):
            store.replace_text("one", text_of("one"), digest=made.digest)
        with pytest.raises(NotFoundError):
            store.replace_text("two", text_of("two"), digest="")
        assert store.get("one") == new

    # ------------------------------------------------------------------ watching

    def test_changes_tell_everything_once_and_then_what_is_new(self, store: Store) -> None:
        store.create(draft("one", depends_on="[zero]"))
        store.create(draft("two"))
        first = store.changes()
        assert {summary.id for summary in first.tasks} == {"one", "two"}
        one = next(summary for summary in first.tasks if summary.id == "one")
        assert one.depends_on == ("zero",)
        assert one.status is Status.PENDING
        assert one.created > 0 or one.created == 0.0
        assert not store.changes()
        store.create(draft("three"))
        assert [summary.id for summary in store.changes().tasks] == ["three"]
        assert not store.changes()

    def test_changes_by_another_object(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        assert [summary.id for summary in second.changes().tasks] == ["one"]
        store.edit("one", {"priority": "low"})
        (summary,) = second.changes().tasks
        assert summary.priority is Priority.LOW
        assert summary.digest == getattr(store.get("one"), "digest", None)
        assert not second.changes()

    def test_changes_show_the_lease_view(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        second.changes()
        seen = []
        lease = self.claim(store, "one")
        seen += [(entry.status, entry.attempt) for entry in second.changes().tasks]
        lease = self.start(store, lease)
        seen += [(entry.status, entry.attempt) for entry in second.changes().tasks]
        store.finish(lease, self.ending(lease, Status.DONE))
        seen += [(entry.status, entry.attempt) for entry in second.changes().tasks]
        assert seen == [(Status.CLAIMED, 1), (Status.IN_PROGRESS, 1), (Status.DONE, 1)]
        assert not second.changes()

    def test_changes_show_when_a_parked_task_may_run(self, store: Store, second: Store, clock: FakeClock) -> None:
        store.create(draft("one"))
        second.changes()
        until = clock.now() + timedelta(hours=1)
        store.move("one", self.moving(store, "one", Status.PENDING, not_before=until), expected=Status.PENDING)
        (summary,) = second.changes().tasks
        assert summary.not_before == pytest.approx(until.timestamp(), abs=0.001)

    def test_wait_returns_when_something_changes(self, store: Store, second: Store) -> None:
        store.create(draft("one"))
        store.changes()
        while store.wait(0):
            pass
        assert store.wait(0.05) is False
        second.edit("one", {"priority": "low"})
        assert store.wait(20.0) is True

    def test_notify_wakes_a_waiting_object(self, store: Store, second: Store) -> None:
        store.changes()
        while store.wait(0):
            pass
        woken: list[bool] = []
        waiter = threading.Thread(target=lambda: woken.append(store.wait(30.0)))
        waiter.start()
        deadline = time.monotonic() + 30
        while waiter.is_alive() and time.monotonic() < deadline:
            second.notify()
            waiter.join(0.05)
        assert woken == [True]

    # ------------------------------------------------------------------ the rest

    def test_close_may_be_called_twice(self, store: Store) -> None:
        store.create(draft("one"))
        store.changes()
        store.close()
        store.close()

    def test_ids_of_events_never_repeat(self, store: Store, log: RecordingLog) -> None:
        created = [EventDraft(event_type="task.created", payload={"n": number}) for number in range(3)]
        store.create(draft("one"), created)
        store.move("one", self.moving(store, "one", Status.BLOCKED), expected=Status.PENDING)
        store.move("one", self.moving(store, "one", Status.PENDING), expected=Status.BLOCKED)
        for _ in range(3):
            self.run(store, "one", Status.PENDING)
        store.move("one", self.moving(store, "one", Status.CANCELLED), expected=Status.PENDING)
        assert len(log.distinct()) == len(log.events) == 3 + 2 + 9 + 1
        assert all(event.trace_id == "one" for event in log.events)
