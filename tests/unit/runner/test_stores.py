"""The store that a runner opens: the file store, or one that a plugin supplies."""

from __future__ import annotations

import os
import sys
import types
from datetime import UTC, datetime

import pytest

from autopilot.errors import BusyError, SetupError, StorageError
from autopilot.events.log import EventLog
from autopilot.hookspecs import hookimpl
from autopilot.models import AttemptSpec, Event, EventDraft, PluginRef, TaskDraft
from autopilot.runner import stores
from autopilot.runner.stores import Publisher, open_store
from autopilot.store.filestore import FileStore
from autopilot.system.clock import SystemClock
from autopilot.system.locks import FileLock
from autopilot.system.redact import Redactor


def spec(root, **changes) -> AttemptSpec:
    return AttemptSpec(
        **{
            "root": str(root),
            "store_url": "file:",
            "task_id": "t",
            "token": 1,
            "task_text": "",
            "executor": "x",
            "executor_plugin": PluginRef(name="x", value="x"),
            "workdir": "",
            "run_dir": "",
            "durability": "process",
            **changes,
        }
    )


@pytest.fixture
def plugin(monkeypatch):
    """A plugin that opens what the test says."""
    module = types.ModuleType("a_store_plugin")
    monkeypatch.setitem(sys.modules, "a_store_plugin", module)

    def make(function):
        module.autopilot_store = hookimpl(function)
        return PluginRef(name="a-store", value="a_store_plugin")

    yield make


def test_a_fact_goes_into_the_log_with_its_secrets_hidden_and_stops_nothing(tmp_path):
    tell = Publisher(spec(tmp_path), Redactor({"KEY": "hunter2hunter2"}), SystemClock()).tell
    tell(EventDraft(event_type="lease.stale", payload={"attempt": 1, "current": 2, "what": "hunter2hunter2"}))
    (record,) = EventLog(str(tmp_path / "events")).tail(5)
    assert (record.event.event_type, record.event.trace_id) == ("lease.stale", "t")
    assert "hunter2" not in str(record.event.payload)
    (tmp_path / "events").rename(tmp_path / "before")
    (tmp_path / "events").write_text("in the way")
    tell(EventDraft(event_type="lease.stale"))


@pytest.mark.parametrize("fault", [StorageError("full"), OSError(28, "full")])
def test_a_log_that_refuses_a_fact_stops_nothing(tmp_path, monkeypatch, fault):
    def refuse(*_, **__):
        raise fault

    monkeypatch.setattr(EventLog, "append", refuse)
    Publisher(spec(tmp_path), Redactor(), SystemClock()).tell(EventDraft(event_type="lease.stale"))


def test_who_holds_the_log_does_not_keep_a_runner_from_its_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "_LOG_PATIENCE_S", 0.05)
    publisher = Publisher(spec(tmp_path), Redactor({}), SystemClock())
    event = EventDraft(event_type="lease.stale", payload={"attempt": 1, "current": 2, "what": "beat"})
    with FileLock(str(tmp_path / "state" / "locks" / "events"))():
        with pytest.raises(BusyError):
            publisher([event])
        publisher.tell(event)
    publisher([event])
    assert len(EventLog(str(tmp_path / "events")).tail(5)) == 1


@pytest.mark.parametrize("url", ["file:", "", "file:a:b"])
def test_the_file_store_is_built_in(tmp_path, url):
    assert isinstance(open_store(spec(tmp_path, store_url=url), Redactor(), SystemClock()), FileStore)


class Stopped(SystemClock):
    """A clock that stands still."""

    def now(self):
        return datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize("durability", ["process", "full"])
def test_store_and_log_go_by_the_attempts_clock_and_durability(tmp_path, monkeypatch, durability):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    monkeypatch.setattr(os, "fdatasync", synced.append)
    redactor, attempt = Redactor({"KEY": "hunter2hunter2"}), spec(tmp_path, durability=durability)
    draft = EventDraft(event_type="task.created", payload={"by": "hunter2hunter2"})
    store = open_store(attempt, redactor, Stopped())
    store.create(TaskDraft(id="t", text=b"---\nid: t\ntitle: t\n---\n"), events=[draft])
    assert bool(synced) == (durability == "full")
    synced.clear()
    Publisher(attempt, redactor, Stopped()).tell(EventDraft(event_type="lease.stale"))
    assert bool(synced) == (durability == "full")
    events = [record.event for record in EventLog(str(tmp_path / "events")).tail(5)]
    assert [event.event_type for event in events] == ["task.created", "lease.stale"]
    assert {event.timestamp for event in events} == {"2026-06-01T00:00:00.000000Z"}
    assert "hunter2" not in str(events)


def test_a_plugin_opens_other_urls_and_gets_a_way_to_the_log(tmp_path, plugin):
    given = {}

    def autopilot_store(url, config):
        given.update(config, url=url)
        return FileStore(config["root"], publish=config["publish"], durability="process")

    store = open_store(
        spec(tmp_path, store_url="odd://x", store_plugin=plugin(autopilot_store)), Redactor(), SystemClock()
    )
    assert isinstance(store, FileStore)
    assert (given["url"], given["root"], given["durability"]) == ("odd://x", str(tmp_path), "process")
    given["publish"]([Event(id="evt-1", event_type="task.created", timestamp="2026-01-01T00:00:00.000000Z")])
    assert [record.event.id for record in EventLog(str(tmp_path / "events")).tail(5)] == ["evt-1"]


@pytest.mark.parametrize("answer", [None, "a store"])
def test_an_answer_that_is_no_store_is_a_set_up_error(tmp_path, plugin, answer):
    ref = plugin(lambda url: answer)
    with pytest.raises(SetupError, match="no plugin opens the store odd://x") as caught:
        open_store(spec(tmp_path, store_url="odd://x", store_plugin=ref), Redactor(), SystemClock())
    assert caught.value.hint == "install the package that supplies this store"


@pytest.mark.parametrize("ref", [None, PluginRef(name="json", value="json")])
def test_nobody_to_open_it_is_a_set_up_error(tmp_path, ref):
    with pytest.raises(SetupError, match="no plugin opens"):
        open_store(spec(tmp_path, store_url="odd://x", store_plugin=ref), Redactor(), SystemClock())
