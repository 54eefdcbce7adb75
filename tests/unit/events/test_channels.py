from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from autopilot.errors import NotFoundError, StorageError, UsageError
from autopilot.events.channels import Channels, Cursors
from autopilot.events.encode import MAX_PAYLOAD
from autopilot.models import Event, EventDraft
from autopilot.system import failpoints
from autopilot.system.clock import parse_instant


@pytest.fixture
def channels(log, clock) -> Channels:
    return Channels(log, clock=clock)


def test_messages_reach_subscribers_of_their_channel(channels):
    event = channels.publish("builds", {"state": "green"})
    channels.publish("other", 1)
    channels.publish("builds", [1, "two", None])
    assert event.event_type == "message.published"
    assert event.payload == {"channel": "builds", "message": {"state": "green"}, "ttl_s": None}
    assert [message for _, message in channels.subscribe("builds")] == [{"state": "green"}, [1, "two", None]]
    assert list(channels.subscribe("nobody")) == []


def test_the_longest_message_is_whole_and_a_longer_one_is_refused(channels, log):
    room = MAX_PAYLOAD - len('{"channel":"c","message":"","ttl_s":null}')
    assert channels.publish("c", "x" * room).payload["message"] == "x" * room
    for message in ("x" * (room + 1), "ü" * (room // 6 + 1), {"deep": ["x" * room]}):
        with pytest.raises(UsageError) as refused:
            channels.publish("c", message)
        assert refused.value.code == "too_large"
    assert len(list(log.lines())) == 1


def test_a_cursor_goes_on_after_its_message(channels, log):
    for n in range(4):
        channels.publish("c", n)
    cursors = [cursor for cursor, _ in channels.subscribe("c")]
    assert [message for _, message in channels.subscribe("c", cursors[1])] == [2, 3]
    end = log.end()
    channels.publish("c", 4)
    assert [message for _, message in channels.subscribe("c", end)] == [4]


def test_the_time_to_live_is_the_readers_affair(channels, log, clock):
    event = channels.publish("c", "short", ttl_s=60)
    channels.publish("c", "long", ttl_s=3600)
    channels.publish("c", "for good")
    assert [m for _, m in channels.subscribe("c")] == ["short", "long", "for good"]
    later = clock.instant + timedelta(minutes=2)
    assert [m for _, m in channels.subscribe("c", now=later)] == ["long", "for good"]
    end = parse_instant(event.timestamp) + timedelta(seconds=60)
    assert [m for _, m in channels.subscribe("c", now=end)] == ["long", "for good"]
    assert len(list(channels.subscribe("c", now=end - timedelta(microseconds=1)))) == 3
    clock.instant += timedelta(days=1)
    assert [m for _, m in channels.subscribe("c")] == ["for good"]
    assert len(list(log.lines())) == 3


def test_strange_lifetimes_in_the_log_do_not_expire(channels, log):
    for ttl in ("soon", 1e300):
        payload = {"channel": "c", "message": ttl, "ttl_s": ttl}
        when = "2026-01-01T00:00:00Z"
        log.append([Event(id=f"evt-{ttl}", event_type="message.published", timestamp=when, payload=payload)])
    assert [m for _, m in channels.subscribe("c")] == ["soon", 1e300]


def test_followers_wait_for_more(channels):
    channels.publish("c", 0)
    steps = [lambda: channels.publish("d", 9), lambda: channels.publish("c", 1), lambda: channels.publish("c", 2)]
    got = channels.subscribe("c", follow=True, stop=lambda: not steps, wait=lambda seconds: steps.pop(0)())
    assert [message for _, message in got] == [0, 1, 2]


@pytest.mark.parametrize("name", ["", "Upper", "a b", "../x", ".x", "x" * 81, "ü", "a\n"])
def test_malformed_channels_are_refused(channels, name):
    with pytest.raises(UsageError, match="no channel name") as caught:
        channels.publish(name, 1)
    assert "begin with a letter" in caught.value.hint
    with pytest.raises(UsageError, match="no channel name"):
        list(channels.subscribe(name))


def test_a_lifetime_may_be_less_than_a_second(channels):
    assert channels.publish("c", 1, ttl_s=0.5).payload["ttl_s"] == 0.5


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf")])
def test_absurd_lifetimes_are_refused(channels, ttl):
    with pytest.raises(UsageError, match="TTL") as caught:
        channels.publish("c", 1, ttl_s=ttl)
    assert "seconds above 0" in caught.value.hint


def test_events_of_other_types_are_no_messages(channels, log):
    log.append([EventDraft(event_type="a.b", payload={"channel": "c", "message": 1, "ttl_s": None})])
    assert list(channels.subscribe("c")) == []


def test_a_message_that_is_no_json_is_refused(channels, log):
    with pytest.raises(UsageError, match="no JSON"):
        channels.publish("c", {(1, 2): 3})
    assert log.tail(1) == []


class TestCursors:
    @pytest.fixture
    def cursors(self, tmp_path) -> Cursors:
        return Cursors(str(tmp_path / "state" / "cursors"))

    def test_a_saved_cursor_is_there_again(self, cursors, tmp_path):
        assert cursors.load("me") is None
        cursors.save("me", "3:14")
        cursors.save("me", "3:15")
        assert Cursors(str(tmp_path / "state" / "cursors"), sync=False).load("me") == "3:15"
        assert os.listdir(tmp_path / "state" / "cursors") == ["me"]

    @pytest.mark.parametrize("step", ["write", "synced", "rename"])
    def test_a_refused_save_leaves_the_old_one(self, cursors, step):
        cursors.save("me", "3:14")
        failpoints.arm(f"cursor.save.{step}=ENOSPC")
        with pytest.raises(StorageError):
            cursors.save("me", "3:15")
        assert cursors.load("me") == "3:14"

    @pytest.mark.parametrize("options, times", [({}, 4), ({"sync": False}, 0)])
    def test_sync_covers_the_file_and_its_folders(self, tmp_path, monkeypatch, options, times):
        synced = []
        monkeypatch.setattr("os.fsync", synced.append)
        Cursors(str(tmp_path / "state" / "cursors"), **options).save("me", "3:14")
        assert len(synced) == times

    def test_a_cursor_can_be_forgotten(self, cursors):
        cursors.save("me", "3:14")
        cursors.remove("me")
        assert cursors.load("me") is None
        with pytest.raises(NotFoundError, match="'me'"):
            cursors.remove("me")

    @pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "x" * 81, "a\n"])
    def test_malformed_names_are_refused(self, cursors, name):
        for call in (cursors.load, cursors.remove, lambda name: cursors.save(name, "1:0")):
            with pytest.raises(UsageError, match="no cursor name") as caught:
                call(name)
            assert "letters, digits" in caught.value.hint

    def test_no_more_is_read_than_a_cursor_can_be_long(self, cursors, tmp_path):
        cursors.save("me", "1:2")
        Path(tmp_path, "state", "cursors", "me").write_text("x" * 1_000_000)
        with pytest.raises(UsageError) as caught:
            cursors.load("me")
        assert len(str(caught.value)) < 1000

    def test_nonsense_is_neither_saved_nor_loaded(self, cursors, tmp_path):
        with pytest.raises(UsageError, match="no cursor"):
            cursors.save("me", "nonsense")
        cursors.save("me", "1:2")
        Path(tmp_path, "state", "cursors", "me").write_bytes(b"\xff\xff")
        with pytest.raises(UsageError, match="no cursor"):
            cursors.load("me")
