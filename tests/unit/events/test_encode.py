from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import PurePosixPath
from types import MappingProxyType

import pytest

from autopilot.errors import UsageError
from autopilot.events.encode import MAX_LINE, encode, seal


def lined(payload, **more):
    line, digest = seal(make(payload, **more), "0" * 64)
    assert digest == hashlib.sha256(line[:-1]).hexdigest()
    return json.loads(line)


def make(payload, **more):
    values = {
        "id": "evt-1",
        "event_type": "task.created",
        "timestamp": "2026-11-22T09:14:03.123456Z",
        "source": "autopilot",
        "trace_id": None,
        **more,
    }
    return encode(payload=payload, **values)


def test_the_line_has_one_form_only():
    line, _ = seal(make({"b": [1, 2.5, None], "a": "grüße"}, trace_id="t1"), "f" * 64)
    assert line == (
        b'{"id":"evt-1","event_type":"task.created","timestamp":"2026-11-22T09:14:03.123456Z","source":"autopilot",'
        b'"trace_id":"t1","payload":{"b":[1,2.5,null],"a":"gr\\u00fc\\u00dfe"},"prev":"' + b"f" * 64 + b'"}\n'
    )


def test_no_text_breaks_the_line():
    nasty = 'quote " back \\ newline \n \r \0 \u2028 \x85 \ud800 emoji \U0001f600'
    line, _ = seal(make({nasty: nasty}, id=nasty, source=nasty, trace_id=nasty), "0" * 64)
    assert line.count(b"\n") == 1
    assert line.isascii()
    read = json.loads(line)
    assert read["payload"] == {nasty: nasty}
    assert read["id"] == read["source"] == read["trace_id"] == nasty


@pytest.mark.parametrize(
    "given, read",
    [
        (float("nan"), None),
        ([1.0, float("inf")], [1.0, None]),
        ({"x": (float("-inf"), 2)}, {"x": [None, 2]}),
        (PurePosixPath("a/b"), "a/b"),
        ({"b", 3, "a"}, [3, "a", "b"]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
    ],
)
def test_values_beyond_json_do_not_lose_the_event(given, read):
    assert lined({"value": given})["payload"] == {"value": read}


def deep():
    value: list = []
    for _ in range(200_000):
        value = [value]
    return value


def test_a_payload_that_cannot_be_json_is_refused():
    loop: dict = {}
    loop["loop"] = loop
    for payload in ({(1, 2): 3}, loop, {"deep": deep()}):
        with pytest.raises(UsageError, match=r"task\.created is no JSON") as caught:
            make(payload)
        assert "text keys" in caught.value.hint


def test_a_malformed_type_or_time_is_refused():
    with pytest.raises(UsageError, match="no event type"):
        make({}, event_type="nonsense")
    with pytest.raises(UsageError, match="no instant") as caught:
        make({}, timestamp="yesterday")
    assert "ISO 8601" in caught.value.hint


def test_instants_are_brought_to_one_width():
    read = lined({}, timestamp="2026-11-22T11:14:03+02:00")
    assert read["timestamp"] == "2026-11-22T09:14:03.000000Z"


def test_what_is_nearly_an_instant_is_refused():
    text = "2026-11-22T09:14:03.123456Z"
    assert make({}, timestamp=text).fields["timestamp"] == text
    assert make({}, timestamp=text.replace("T", " ")).fields["timestamp"] == text
    for position in {*range(len(text))} - {10}:
        with pytest.raises(UsageError, match="no instant"):
            make({}, timestamp=f"{text[:position]}x{text[position + 1 :]}")


class TestCutting:
    def test_a_payload_that_fits_is_kept(self):
        text = "x" * (MAX_LINE - 5000)
        assert lined({"text": text})["payload"]["text"] == text

    @pytest.mark.parametrize("over", [0, 1])
    def test_the_longest_that_fits(self, over):
        """4 KiB of a line are for the other keys."""
        length = MAX_LINE - 4096 - len('{"text":""}') + over
        text = "x" * length
        assert lined({"text": text})["payload"]["text"] == ({"cut": length + 2} if over else text)

    @pytest.mark.parametrize("over", [0, 1])
    def test_the_most_small_values_that_fit(self, over):
        """What is cut down to is measured as well."""
        few = {f"{n:06}": "x" * 4000 for n in range((MAX_LINE - 4096) // 4012)}
        room = MAX_LINE - 4096 - len(json.dumps({**few, "big": {"cut": 5002}, "r": ""}, separators=(",", ":")))
        payload = {**few, "big": "y" * 5000, "r": "z" * (room + over)}
        read = lined(payload)["payload"]
        assert read.get("r") == (None if over else "z" * room)
        assert ("cut" in read) is bool(over)

    def test_long_values_give_way_to_their_length(self):
        encoded = make({"attempt": 3, "log": "x" * (3 << 20)})
        line, _ = seal(encoded, "0" * 64)
        assert len(line) < MAX_LINE
        assert json.loads(line)["payload"] == {"attempt": 3, "log": {"cut": (3 << 20) + 2}}
        assert encoded.fields["payload"] == {"attempt": 3, "log": {"cut": (3 << 20) + 2}}

    def test_values_of_four_kilobytes_are_short(self):
        payload = {"short": "x" * 4094, "long": "x" * 4095, "huge": "x" * (3 << 20)}
        assert lined(payload)["payload"] == {**payload, "long": {"cut": 4097}, "huge": {"cut": (3 << 20) + 2}}

    @pytest.mark.parametrize("size", [MAX_LINE - 4000, MAX_LINE, MAX_LINE + 4000])
    def test_a_value_a_little_too_long_is_cut_as_well(self, size):
        line, _ = seal(make({"text": "x" * size}), "0" * 64)
        assert json.loads(line)["payload"] == {"text": {"cut": size + 2}}

    def test_very_many_small_values_are_cut_as_a_whole(self):
        line, _ = seal(make({f"key{n}": "x" * 100 for n in range(50_000)}), "0" * 64)
        assert len(line) < MAX_LINE
        assert list(json.loads(line)["payload"]) == ["cut"]


class TestRedaction:
    @staticmethod
    def hide(text: str) -> str:
        return text.replace("hunter2", "[redacted]").replace('p"w', "[redacted]").replace("geheimß", "[redacted]")

    def test_secrets_go_and_the_event_agrees_with_the_line(self):
        encoded = make({"a": "say hunter2!", "hunter2": [{"b": "hunter2"}, 7, None]}, redact=self.hide)
        wanted = {"a": "say [redacted]!", "[redacted]": [{"b": "[redacted]"}, 7, None]}
        assert json.loads(seal(encoded, "")[0])["payload"] == wanted
        assert encoded.fields["payload"] == wanted

    @pytest.mark.parametrize("secret", ['p"w', "geheimß"])
    def test_secrets_that_json_escapes_are_found(self, secret):
        encoded = make({"a": f"it is {secret} indeed"}, redact=self.hide)
        assert encoded.fields["payload"] == {"a": "it is [redacted] indeed"}

    @pytest.mark.parametrize("text", ["plain", 'with "quotes"'])
    def test_a_payload_without_secrets_is_left_alone(self, text):
        payload = {"a": text, "n": 1}
        assert make(payload, redact=self.hide).fields["payload"] is payload

    def test_a_redactor_that_reaches_over_strings_takes_the_whole_payload(self):
        def greedy(text: str) -> str:
            head, found, _ = text.partition('cookie":')
            return head + "[redacted]" if found else text

        assert make({"cookie": "abc", "z": 1}, redact=greedy).fields["payload"] == {"redacted": True}


def test_an_interpreter_without_the_fast_encoder_writes_the_same(monkeypatch):
    from autopilot.events import encode as module

    payload = {"a": [1, 2.5, None, True], "b": {"c": "grüße \n"}}
    wanted = module._make_dumps()(payload)
    for other in (None, lambda *given: lambda value, level: ("something else",), lambda: None):
        monkeypatch.setattr("json.encoder.c_make_encoder", other)
        dumps = module._make_dumps()
        monkeypatch.undo()
        assert dumps(payload) == wanted
