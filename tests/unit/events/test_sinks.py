from __future__ import annotations

import logging

from autopilot.models import EventDraft


def test_sinks_get_what_is_in_the_log_after_it_is_there(make_log):
    seen = []

    def sink(events):
        seen.append(([event.payload["n"] for event in events], len(list(log.read()))))

    log = make_log(on_appended=sink)
    log.append([EventDraft(event_type="a.b", payload={"n": n}) for n in range(3)])
    log.append([EventDraft(event_type="a.b", payload={"n": 3})])
    assert seen == [([0, 1, 2], 3), ([3], 4)]


def test_a_sink_is_not_told_of_nothing(make_log, caplog):
    seen = []
    make_log(on_appended=seen.append).rotate()
    make_log().append([EventDraft(event_type="a.b")])
    assert seen == []
    assert caplog.text == ""


def test_a_sink_may_append_itself(make_log):
    def sink(events):
        if events[0].event_type == "a.b":
            log.append([EventDraft(event_type="c.d")])

    log = make_log(on_appended=sink)
    log.append([EventDraft(event_type="a.b")])
    assert [record.event.event_type for record in log.read()] == ["a.b", "c.d"]


def test_a_broken_sink_hurts_nobody_and_is_noted(make_log, caplog):
    def sink(events):
        raise RuntimeError("out of order")

    log = make_log(on_appended=sink)
    with caplog.at_level(logging.ERROR):
        assert len(log.append([EventDraft(event_type="a.b")])) == 1
    assert "a sink failed on 1 events" in caplog.text
    assert "out of order" in caplog.text
