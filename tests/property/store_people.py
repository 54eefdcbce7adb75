"""A root with its stores and its model, and what people do to task files: no store is asked."""

from __future__ import annotations

import os
import tempfile

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from autopilot.models import Status
from autopilot.store.filestore import FileStore
from autopilot.store.liveness import BeatWatch
from autopilot.testing.stores import FakeClock, text_of
from tests.campaign import FAST
from tests.property.store_model import FileLog, StoreModel, TaskModel

IDS = ["a", "b", "c"]
ids = st.sampled_from(IDS)
statuses = st.sampled_from(list(Status))


class People(RuleBasedStateMachine):
    """The world of one run of the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp(dir=FAST)
        self.world = f"{self.folder}/world"
        self.root = f"{self.world}/.autopilot"
        os.makedirs(f"{self.root}/tasks")
        self.clock = FakeClock()
        self.log = FileLog(f"{self.world}/events")
        self.model = StoreModel(self.log)
        self.store, self.other, self.follower = self.open(), self.open(), self.open()
        self.beats = BeatWatch()
        self.known: dict[str, object] = {}

    def open(self) -> FileStore:
        return FileStore(self.root, publish=self.log.publish, clock=self.clock, durability="process")

    @rule(task_id=ids, status=statuses)
    def person_sets_status(self, task_id: str, status: Status) -> None:
        if task := self.readable(task_id):
            self.put_line(task_id, b"status: " + status.encode())
            task.status = status

    @rule(task_id=ids)
    def person_upgrades_the_format(self, task_id: str) -> None:
        if task := self.readable(task_id):
            self.put_line(task_id, b"schema: 2")
            task.frozen = self.read(task_id)

    @rule(task_id=ids)
    def person_writes_a_line(self, task_id: str) -> None:
        if task := self.readable(task_id):
            with open(self.path(task_id), "ab") as file:
                file.write(f"mark {task.marks}\n".encode())
            task.marks += 1
            task.frozen = task.frozen and self.read(task_id)

    @rule(task_id=ids)
    def person_breaks_the_file(self, task_id: str) -> None:
        if task := self.readable(task_id):
            self.save(task_id, b"---\ntitle: [\n---\n")
            task.status = task.frozen = None

    @rule(task_id=ids)
    def mend(self, task_id: str) -> None:
        """The person puts the text right again, or brings the file back, as git would: as it was at first."""
        task = self.model.get(task_id)
        if task is not None and (not task.readable or task.frozen):
            marks = "".join(f"mark {number}\n" for number in range(task.marks)).encode()
            self.save(task_id, text_of(task_id, attempt=str(task.token)) + marks)
            task.status, task.written, task.missing, task.frozen = Status.PENDING, None, False, None

    @rule(task_id=ids)
    def person_deletes_the_file(self, task_id: str) -> None:
        task = self.model.get(task_id)
        if task is not None and not task.missing:
            os.unlink(self.path(task_id))
            task.missing, task.frozen = True, None
            self.model.forget_if_gone(task_id)

    def readable(self, task_id: str) -> TaskModel | None:
        task = self.model.get(task_id)
        return task if task is not None and task.readable else None

    def put_line(self, task_id: str, line: bytes) -> None:
        key = line[: line.index(b":") + 1]
        lines = [kept for kept in self.read(task_id).split(b"\n") if not kept.startswith(key)]
        self.save(task_id, b"\n".join([lines[0], line, *lines[1:]]))
        task = self.model[task_id]
        task.frozen = task.frozen and self.read(task_id)

    def path(self, task_id: str) -> str:
        return f"{self.root}/tasks/{task_id}.md"

    def read(self, task_id: str) -> bytes:
        with open(self.path(task_id), "rb") as file:
            return file.read()

    def save(self, task_id: str, data: bytes) -> None:
        with open(f"{self.folder}/save", "wb") as file:
            file.write(data)
        os.rename(f"{self.folder}/save", self.path(task_id))
