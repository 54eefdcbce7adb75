from __future__ import annotations

import json
from datetime import UTC, datetime

import attrs
import pytest

from autopilot.models import Ending, Event, Lease, LeaseState, Reason, Status, TaskRecord
from autopilot.store.codec import decode_lease, decode_record, encode_lease, encode_record
from autopilot.system.processes import ProcessIdentity

OWNER = ProcessIdentity(host="h", boot="b", pid_space=7, pid=8, start_time="9")
NOW = datetime(2026, 11, 22, 9, 14, 3, 123456, tzinfo=UTC)
FULL = TaskRecord(
    task_id="one",
    token=3,
    seq=9,
    used=2,
    lost=1,
    unavailable=1,
    failed_on=("a", "b"),
    sessions={"a": "s-1"},
    result={"verified": False},
    earlier_failure="it broke: “so”",
    spent_usd=1.25,
    not_before=NOW,
    reason=Reason(code="c", message="m", hint="h"),
    projected=Status.CLAIMED,
)
LEASE = Lease(
    record=FULL,
    state=LeaseState.STARTED,
    executor="local",
    owner=OWNER,
    guardian=attrs.evolve(OWNER, pid=1),
    claimed_at=NOW,
    beat=12.5,
    ttl_s=30.0,
    outbox=(
        Event(
            id="evt-one.3.9",
            event_type="x.y",
            timestamp="t",
            source="s",
            trace_id="one",
            payload={"a": [1, None]},
        ),
    ),
)
ENDED = attrs.evolve(
    LEASE, state=LeaseState.ENDED, ending=Ending(status=Status.DONE, record=FULL, result={"cost_usd": 1.5}, at=NOW)
)
BARE = Lease(
    record=TaskRecord(task_id="one"),
    state=LeaseState.CLAIMED,
    executor="",
    owner=OWNER,
    claimed_at=NOW,
    beat=0.0,
    ttl_s=0.0,
)


TIMELESS = attrs.evolve(ENDED, ending=attrs.evolve(ENDED.ending, at=None))


@pytest.mark.parametrize("lease", [LEASE, ENDED, TIMELESS, BARE])
def test_leases_read_back_equal(lease):
    assert decode_lease(encode_lease(lease)) == lease


@pytest.mark.parametrize("record", [FULL, TaskRecord(task_id="one")])
def test_records_read_back_equal(record):
    assert decode_record(encode_record(record)) == record


def test_the_text_says_of_which_version_it_is():
    assert json.loads(encode_lease(LEASE))["version"] == 1
    assert json.loads(encode_record(FULL))["version"] == 1


def test_an_ended_lease_is_a_record():
    assert decode_record(encode_lease(ENDED)) == FULL


def test_the_text_is_ascii_and_one_line():
    text = encode_lease(LEASE)
    assert text.isascii()
    assert text.count(b"\n") == 1


def test_unknown_keys_are_left_out_of_account():
    data = json.loads(encode_lease(ENDED))
    for place in (
        data,
        data["record"],
        data["owner"],
        data["ending"],
        data["outbox"][0],
        data["record"]["reason"],
    ):
        place["from_the_future"] = {"x": 1}
    assert decode_lease(json.dumps(data).encode()) == ENDED


def test_missing_optional_keys_take_their_defaults():
    data = json.loads(encode_record(TaskRecord(task_id="one", token=1, seq=2)))
    data["record"] = {"task_id": "one", "token": 1, "seq": 2}
    assert decode_record(json.dumps(data).encode()) == TaskRecord(task_id="one", token=1, seq=2)
    data["record"]["reason"] = {"code": "c", "message": "m"}
    assert decode_record(json.dumps(data).encode()).reason == Reason(code="c", message="m")
    lease = json.loads(encode_lease(LEASE))
    lease["outbox"] = [{"id": "i", "event_type": "x.y", "timestamp": "t"}]
    assert decode_lease(json.dumps(lease).encode()).outbox == (Event(id="i", event_type="x.y", timestamp="t"),)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"3",
        b"{}",
        b'{"record": []}',
        b'{"record": {"task_id": "x"}}',
        b"\xff\xfe",
        b"[" * 10**5,
    ],
)
def test_damage_is_a_value_error(data):
    with pytest.raises(ValueError):
        decode_lease(data)
    with pytest.raises(ValueError):
        decode_record(data)


@pytest.mark.parametrize("key", ["state", "executor", "owner", "claimed_at", "beat", "ttl_s", "record"])
def test_every_required_key_is_missed(key):
    data = json.loads(encode_lease(LEASE))
    del data[key]
    with pytest.raises(ValueError):
        decode_lease(json.dumps(data).encode())
    data[key] = "nonsense" if key != "executor" else None
    if key != "executor":
        with pytest.raises(ValueError):
            decode_lease(json.dumps(data).encode())


def test_damage_is_named():
    with pytest.raises(ValueError, match="no lease: KeyError: 'record'"):
        decode_lease(b"{}")
    with pytest.raises(ValueError, match="no record: KeyError: 'record'"):
        decode_record(b"{}")


def test_state_and_ending_belong_together():
    data = json.loads(encode_lease(ENDED))
    del data["ending"]
    with pytest.raises(ValueError, match="exactly when it has ended"):
        decode_lease(json.dumps(data).encode())
    data = json.loads(encode_lease(LEASE)) | {"ending": {"status": "done"}}
    with pytest.raises(ValueError, match="exactly when it has ended"):
        decode_lease(json.dumps(data).encode())


def test_every_truncation_is_noticed():
    text = encode_lease(ENDED)
    for length in range(len(text) - 2):
        with pytest.raises(ValueError):
            decode_lease(text[:length])
