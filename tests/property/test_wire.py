"""Whatever a value holds, it comes back from JSON as it went: nothing on the way may depend on its content."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Ending,
    Event,
    EventDraft,
    Lease,
    LeaseState,
    Limits,
    Outcome,
    OutcomeKind,
    PluginRef,
    Reason,
    Status,
    TaskRecord,
    Usage,
    Verdict,
)
from autopilot.models.wire import dump, load
from autopilot.system.processes import ProcessIdentity
from tests.campaign import size

TEXT = st.text(max_size=20)
COUNT = st.integers(0, 2**53)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
INSTANT = st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9000, 1, 1), timezones=st.just(UTC))
TEXTS = st.lists(TEXT, max_size=3).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | COUNT | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=3)


def maybe(strategy):
    return st.none() | strategy


USAGES = st.builds(Usage, input_tokens=COUNT, output_tokens=COUNT, cached_tokens=COUNT)
OUTCOMES = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeKind),
    message=TEXT,
    hint=TEXT,
    reset_at=maybe(INSTANT),
    usage=maybe(USAGES),
    cost_usd=maybe(NUMBER),
    turns=maybe(COUNT),
    model=maybe(TEXT),
    session_id=maybe(TEXT),
    exit_code=maybe(st.integers(-64, 255)),
    evidence=OBJECT,
)
VERDICTS = st.builds(Verdict, name=TEXT, ok=st.booleans(), detail=TEXT, exit_code=maybe(COUNT), duration_s=NUMBER)
RESULTS = st.builds(
    AttemptResult,
    task_id=TEXT,
    token=COUNT,
    executor=TEXT,
    outcome=OUTCOMES,
    started_at=INSTANT,
    ended_at=INSTANT,
    duration_s=NUMBER,
    verified=maybe(st.booleans()),
    verdicts=st.lists(VERDICTS, max_size=3).map(tuple),
    changed=TEXTS,
    violations=TEXTS,
    killed=COUNT,
)
REASONS = st.builds(Reason, code=TEXT, message=TEXT, hint=TEXT)
RECORDS = st.builds(
    TaskRecord,
    task_id=TEXT,
    token=COUNT,
    seq=COUNT,
    failed_on=TEXTS,
    sessions=st.dictionaries(TEXT, TEXT, max_size=2),
    spent_usd=NUMBER,
    not_before=maybe(INSTANT),
    reason=maybe(REASONS),
    projected=st.sampled_from(Status),
)
PROCESSES = st.builds(ProcessIdentity, host=TEXT, boot=TEXT, pid_space=COUNT, pid=COUNT, start_time=TEXT)
DRAFTS = st.builds(EventDraft, event_type=TEXT, payload=OBJECT)
EVENTS = st.builds(Event, id=TEXT, event_type=TEXT, timestamp=TEXT, trace_id=maybe(TEXT), payload=OBJECT)
ENDINGS = st.builds(
    Ending,
    status=st.sampled_from(Status),
    record=RECORDS,
    result=maybe(OBJECT),
    events=st.lists(DRAFTS, max_size=2).map(tuple),
)
LEASES = st.builds(
    Lease,
    record=RECORDS,
    state=st.sampled_from(LeaseState),
    executor=TEXT,
    owner=PROCESSES,
    guardian=maybe(PROCESSES),
    claimed_at=INSTANT,
    beat=NUMBER,
    ttl_s=NUMBER,
    cancel=maybe(TEXT),
    ending=maybe(ENDINGS),
    outbox=st.lists(EVENTS, max_size=2).map(tuple),
)
REFS = st.builds(PluginRef, name=TEXT, value=TEXT, distribution=TEXT, version=TEXT)
SPECS = st.builds(
    AttemptSpec,
    root=TEXT,
    store_url=TEXT,
    task_id=TEXT,
    token=COUNT,
    task_text=TEXT,
    executor=TEXT,
    executor_plugin=REFS,
    workdir=TEXT,
    run_dir=TEXT,
    limits=st.builds(Limits, deadline_s=NUMBER, output_bytes=COUNT),
    verify=TEXTS,
    prompt_plugins=st.lists(REFS, max_size=2).map(tuple),
    executor_options=OBJECT,
    environment_values=st.dictionaries(TEXT, TEXT, max_size=2),
    session_id=maybe(TEXT),
    store_plugin=maybe(REFS),
)


@settings(deadline=None, max_examples=size(60, 3000))
@given(st.one_of(RESULTS, LEASES, SPECS))
def test_every_value_comes_back(value):
    assert load(type(value), json.loads(json.dumps(dump(value)))) == value


@settings(deadline=None, max_examples=size(60, 3000))
@given(st.sampled_from([AttemptResult, Lease, AttemptSpec, Outcome]), JSON)
def test_any_other_json_is_a_value_error_at_worst(cls, data):
    try:
        assert isinstance(load(cls, data), cls)
    except ValueError as fault:
        assert cls.__name__ in str(fault)
