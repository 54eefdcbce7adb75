"""OpenClaw: the contract, what goes over the wire, recorded answers of the real gateway, and hostile peers."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openclaw_zoo import Behaviour, Peer, answer, dribble, endless, hang, peer, raw, reset

from autopilot import AttemptContext, Limits, Outcome, OutcomeKind, Task
from autopilot.models.wire import dump
from autopilot.testing.executors import ExecutorContract, context_for
from autopilot.testing.strategies import output_lines
from autopilot_adapter_openclaw import OpenClawExecutor
from autopilot_adapter_openclaw.gateway import Answer
from autopilot_adapter_openclaw.judging import judge_hook, judge_response, reset_time

K = OutcomeKind
TRANSCRIPTS = Path(__file__).parent / "transcripts"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SECRETS = ("gateway-token-0123456789abcdef", "hook-token-0123456789abcdef")

RECORDED: dict[str, tuple[str, OutcomeKind]] = {
    "v1-responses-text": ("responses", K.SUCCEEDED),
    "v1-responses-write": ("responses", K.SUCCEEDED),
    "v1-responses-run": ("responses", K.SUCCEEDED),
    "v1-responses-rate-limit": ("responses", K.RATE_LIMITED),
    "v1-responses-bad-request": ("responses", K.CONFIG_ERROR),
    "v1-responses-no-model": ("responses", K.CONFIG_ERROR),
    "v1-responses-auth": ("responses", K.AUTH_ERROR),
    "v1-responses-forbidden": ("responses", K.AUTH_ERROR),
    "v1-responses-quota": ("responses", K.QUOTA_EXHAUSTED),
    "v1-responses-no-credit": ("responses", K.QUOTA_EXHAUSTED),
    "v1-responses-overloaded": ("responses", K.UNAVAILABLE),
    "v1-responses-unavailable": ("responses", K.UNAVAILABLE),
    "v1-responses-drop": ("responses", K.UNAVAILABLE),
    "v1-wrong-token": ("responses", K.AUTH_ERROR),
    "agent-wait-text": ("hook", K.SUCCEEDED),
    "agent-wait-write": ("hook", K.SUCCEEDED),
    "agent-wait-run": ("hook", K.SUCCEEDED),
    "agent-wait-auth": ("hook", K.FAILED),
    "agent-wait-timeout": ("hook", K.FAILED),
    "agent-bad-model": ("hook", K.FAILED),
    "agent-join-2-wait": ("hook", K.FAILED),
    "abort-7-join": ("hook", K.FAILED),
    "agent-bad-agent": ("hook", K.CONFIG_ERROR),
    "agent-no-message": ("hook", K.CONFIG_ERROR),
    "agent-query-token": ("hook", K.CONFIG_ERROR),
    "agent-wrong-token": ("hook", K.AUTH_ERROR),
    "agent-502-workspace": ("hook", K.UNAVAILABLE),
    "agent-async": ("hook", K.PROTOCOL_VIOLATION),
}
DONE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": "It is done."}]}],
    "usage": {"input_tokens": 1000, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 200}},
}
RAN = {"ok": True, "runId": "run-1", "completion": {"status": "ok", "replyDisposition": "visible"}}
EITHER = {**DONE, **RAN}
"""A good answer at both doors."""


def recorded(case: str) -> Answer:
    text = (TRANSCRIPTS / case / "response.http").read_text()
    head, _, body = text.partition("\n\n")
    status, *lines = head.splitlines()
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(status.split()[1]), headers, body.strip().encode())


def judge(door: str, given: Answer) -> Outcome:
    return (judge_response if door == "responses" else judge_hook)(given, token="THE_TOKEN", now=NOW)


class Bench:
    """An executor and a peer, and what became of attempts."""

    def __init__(self, folder: Path, tokens: dict[str, str]) -> None:
        self.folder = folder
        self.tokens = tokens
        self.progress: list[Any] = []

    def context(self, **more: Any) -> AttemptContext:
        task = more.pop("task", Task(id="fix-it", title="Fix it"))
        number = len(list(self.folder.iterdir()))
        limits = Limits(deadline_s=more.pop("deadline_s", 60))
        context: AttemptContext = context_for(
            self.folder / str(number), task, limits=limits, report=self.progress.append, **more
        )
        context.environment.update(self.tokens)  # type: ignore[attr-defined]
        return context

    def run(self, one: Peer, options: dict[str, Any] | None = None, **more: Any) -> Outcome:
        self.slept: list[float] = []
        rejoin_s = more.pop("rejoin_s", 300.0)
        executor = OpenClawExecutor(
            {"url": one.url, **(options or {})}, sleep=self.slept.append, rejoin_s=rejoin_s
        )
        self.last = self.context(**more)
        outcome = executor.run(self.last)
        told = json.dumps(dump(outcome))
        assert len(told) < 64 * 1024
        written = b"".join(path.read_bytes() for path in Path(self.last.run_dir).rglob("*") if path.is_file())
        assert not [secret for secret in SECRETS if secret in told or secret.encode() in written]
        return outcome

    def request(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((Path(self.last.run_dir) / "request.json").read_text())
        return found


@pytest.fixture
def bench(tmp_path: Path, tokens: dict[str, str]) -> Bench:
    return Bench(tmp_path, tokens)


class TestContract(ExecutorContract):
    def make(self, program: str) -> OpenClawExecutor:
        # Nothing listens on the discard port: that is a gateway that is not there.
        return OpenClawExecutor({"url": "http://127.0.0.1:9", "agent": Path(program).name})


# ---------------------------------------------------------------------- recorded answers


@pytest.mark.parametrize("case", sorted(RECORDED))
def test_a_recorded_answer_is_judged_rightly(case: str) -> None:
    door, kind = RECORDED[case]
    outcome = judge(door, recorded(case))
    assert outcome.kind is kind, outcome
    assert outcome.message


def test_every_recording_is_used() -> None:
    assert {path.name for path in TRANSCRIPTS.iterdir()} == {*RECORDED, "wake"}


def test_text_and_tokens_are_told() -> None:
    outcome = judge("responses", recorded("v1-responses-write"))
    assert outcome.message == "I created hello.txt."
    assert outcome.usage is not None
    usage = outcome.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == (2000, 100, 400)


def test_the_providers_wait_becomes_the_reset_time() -> None:
    assert judge("responses", recorded("v1-responses-rate-limit")).reset_at == NOW + timedelta(seconds=2)


def test_the_hints_tell_our_token_from_the_providers_key() -> None:
    assert "THE_TOKEN" in judge("responses", recorded("v1-wrong-token")).hint
    assert "THE_TOKEN" in judge("hook", recorded("agent-wrong-token")).hint
    theirs = judge("responses", recorded("v1-responses-auth"))
    assert "THE_TOKEN" not in theirs.hint
    assert "openclaw models" in theirs.hint


@pytest.mark.parametrize(
    ("status", "reply", "kind"),
    [
        ("ok", "visible", K.SUCCEEDED),
        ("ok", "silent", K.NO_CHANGE_NEEDED),
        ("ok", "empty", K.PROTOCOL_VIOLATION),
        ("error", "visible", K.FAILED),
        ("skipped", "empty", K.UNAVAILABLE),
        ("strange", "visible", K.PROTOCOL_VIOLATION),
    ],
)
def test_what_a_completion_means(status: str, reply: str, kind: OutcomeKind) -> None:
    told = {"ok": True, "runId": "r", "completion": {"status": status, "replyDisposition": reply}}
    assert judge("hook", Answer(200, {}, json.dumps(told).encode())).kind is kind


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"status": "incomplete"}, K.LIMIT_REACHED),
        ({"status": "in_progress"}, K.PROTOCOL_VIOLATION),
        ({"output": [], "usage": {"output_tokens": 0}}, K.PROTOCOL_VIOLATION),
        ({"output": []}, K.SUCCEEDED),
        ({"status": "failed", "error": {"code": "x", "message": "429 slow down"}}, K.RATE_LIMITED),
        ({"status": "failed", "error": {"code": "x", "message": "529 overloaded"}}, K.UNAVAILABLE),
        ({"status": "failed", "error": {"code": "rate_limit_error", "message": "slow down"}}, K.RATE_LIMITED),
        ({"status": "failed", "error": {"message": "You exceeded your current quota"}}, K.QUOTA_EXHAUSTED),
        ({"status": "failed", "error": {"message": "invalid api key"}}, K.AUTH_ERROR),
        ({"status": "failed", "error": {"message": "the sky fell"}}, K.FAILED),
        ({"status": "failed"}, K.FAILED),
        ({"object": "list"}, K.PROTOCOL_VIOLATION),
    ],
)
def test_what_a_response_means(change: dict[str, Any], kind: OutcomeKind) -> None:
    outcome = judge("responses", Answer(200, {}, json.dumps({**DONE, **change}).encode()))
    assert outcome.kind is kind
    assert outcome.message


# ---------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("2", 2),
        ("7.5", 7.5),
        ("0", 1),
        ("-20", 1),
        ("86400", 3600),
        ("1e300", 3600),
        ("Sun, 22 Nov 2026 12:05:00 GMT", 300),
        ("Sun, 22 Nov 2026 13:05:00 +0100", 300),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 1),
        ("Sun, 22 Nov 2099 11:00:00 GMT", 3600),
    ],
)
def test_retry_after_in_both_forms_is_kept_between_a_second_and_an_hour(told: str, seconds: float) -> None:
    assert reset_time(told, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("told", [None, "", "soon", "inf", "nan", "Sun, 99 Nov 2026 99:00:00 GMT", "1,5"])
def test_a_retry_after_that_is_none(told: str | None) -> None:
    assert reset_time(told, NOW) is None


@given(st.text(max_size=60) | st.integers().map(str) | st.floats().map(str))
@settings(deadline=None)
def test_any_retry_after_is_survived(told: str) -> None:
    at = reset_time(told, NOW)
    assert at is None or timedelta(seconds=1) <= at - NOW <= timedelta(hours=1)


# ---------------------------------------------------------------------- any answer at all

BODIES = output_lines(
    DONE, RAN, DONE["usage"], {**DONE, "status": "failed", "error": {"code": "a", "message": "b"}}
)


@given(
    st.sampled_from(["responses", "hook"]),
    st.integers(200, 599),
    BODIES.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=200),
    st.none() | st.text(max_size=30),
)
@settings(max_examples=300, deadline=None)
def test_any_answer_is_judged_and_only_a_good_one_is_a_success(
    door: str, status: int, body: bytes, retry_after: str | None
) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    outcome = judge(door, Answer(status, headers, body))
    json.dumps(dump(outcome), ensure_ascii=False).encode()
    if outcome.kind in (K.SUCCEEDED, K.NO_CHANGE_NEEDED):
        assert status == 200


# ---------------------------------------------------------------------- over the wire: /v1/responses


def test_responses_is_preferred_and_asked_as_it_wants(bench: Bench) -> None:
    with peer(answer(200, DONE)) as one:
        outcome = bench.run(one, {"agent": "coder", "model": "fake/model"})
    assert (outcome.kind, outcome.message, outcome.model) == (K.SUCCEEDED, "It is done.", "fake/model")
    (asked,) = one.asked
    assert (asked.method, asked.path) == ("POST", "/v1/responses")
    assert asked.headers["authorization"] == f"Bearer {SECRETS[0]}"
    assert asked.headers["x-openclaw-model"] == "fake/model"
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.body["model"] == "openclaw/coder"
    assert asked.body["input"].endswith(bench.last.prompt)
    assert bench.last.workdir in asked.body["input"]


def test_the_task_chooses_the_model(bench: Bench) -> None:
    with peer(answer(200, DONE)) as one:
        bench.run(one, {"model": "fake/model"}, task=Task(id="t", title="T", model="other/model"))
    assert one.asked[0].headers["x-openclaw-model"] == "other/model"


def test_a_retry_resumes_the_session_or_starts_afresh(bench: Bench) -> None:
    with peer(answer(200, DONE)) as one:
        first = bench.run(one)
        again = bench.run(one, session_id=first.session_id)
        afresh = bench.run(one, {"resume": False}, session_id=first.session_id)
    keys = [asked.headers["x-openclaw-session-key"] for asked in one.asked]
    assert keys[0] == keys[1] == first.session_id == again.session_id
    assert keys[2] == afresh.session_id != keys[0]
    assert bench.progress[0].session_id == keys[0], "a killed attempt must be resumable, too"


def test_the_folder_is_not_told_where_it_means_nothing(bench: Bench) -> None:
    with peer(answer(200, DONE)) as one:
        bench.run(one, {"tell_folder": False})
    assert one.asked[0].body["input"] == bench.last.prompt


def test_a_token_is_read_at_each_use(bench: Bench) -> None:
    with peer(answer(200, DONE)) as one:
        bench.run(one)
        bench.tokens["OPENCLAW_GATEWAY_TOKEN"] = "rotated-token-0123456789"
        bench.run(one)
    assert one.asked[1].headers["authorization"] == "Bearer rotated-token-0123456789"


def test_a_lost_response_is_not_sent_again(bench: Bench) -> None:
    """This door has no idempotency key: a second request would be a second run."""
    with peer(reset, answer(200, DONE)) as one:
        outcome = bench.run(one)
    assert (outcome.kind, len(one.asked)) == (K.UNAVAILABLE, 1)


def test_the_end_of_the_executor_closes_the_connection(bench: Bench) -> None:
    """Which is how the gateway learns that the run is cancelled."""
    with peer(hang) as one:
        outcome = bench.run(one, deadline_s=1)
        assert outcome.kind is K.TIMED_OUT
        assert one.gave_up.wait(10)


# ---------------------------------------------------------------------- over the wire: the webhook


def hook(bench: Bench, one: Peer, **more: Any) -> Outcome:
    return bench.run(one, {"door": "hook", **more.pop("options", {})}, **more)


def test_the_webhook_is_asked_as_it_wants(bench: Bench) -> None:
    with peer(answer(200, RAN)) as one:
        outcome = hook(bench, one, number=3, options={"model": "fake/model"})
    assert outcome.kind is K.SUCCEEDED
    (asked,) = one.asked
    assert (asked.path, asked.headers["idempotency-key"]) == ("/hooks/agent", "fix-it.3")
    assert asked.headers["authorization"] == f"Bearer {SECRETS[1]}"
    wanted = {"agentId": "main", "deliver": False, "waitForCompletion": True, "model": "fake/model"}
    assert wanted.items() <= asked.body.items()
    assert asked.body["timeoutSeconds"] == 60


def test_the_webhook_is_the_door_where_responses_is_off_or_has_no_token(bench: Bench) -> None:
    with peer(answer(200, RAN), open_paths=("/hooks/agent",)) as one:
        assert bench.run(one).evidence["run_id"] == "run-1"
    bench.tokens.pop("OPENCLAW_GATEWAY_TOKEN")
    with peer(answer(200, RAN)) as one:
        assert bench.run(one).evidence["run_id"] == "run-1"


def test_the_request_is_recorded_before_it_is_sent(bench: Bench) -> None:
    seen: list[dict[str, Any]] = []
    with peer(lambda connection: (seen.append(bench.request()), answer(200, RAN)(connection))[1]) as one:
        hook(bench, one, prompt="a secret plan")
    assert (seen[0]["door"], seen[0]["key"]) == ("hook", "fix-it.1")
    assert "a secret plan" not in json.dumps(seen)


@pytest.mark.parametrize(
    "breaks", [reset, raw(b""), raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"), raw(b"nonsense\r\n\r\n")]
)
def test_an_unknown_end_is_asked_for_again_with_the_same_key(bench: Bench, breaks: Behaviour) -> None:
    with peer(breaks, breaks, answer(200, RAN)) as one:
        outcome = hook(bench, one)
    assert outcome.kind is K.SUCCEEDED
    assert [asked.headers["idempotency-key"] for asked in one.asked] == ["fix-it.1"] * 3
    assert one.asked[0].body == one.asked[2].body
    assert bench.slept == [1.0, 2.0]


def test_a_post_that_waits_in_vain_joins_its_run(bench: Bench) -> None:
    with peer(hang, hang, answer(200, RAN)) as one:
        outcome = hook(bench, one, rejoin_s=0.3)
    assert (outcome.kind, len(one.asked), bench.slept) == (K.SUCCEEDED, 3, [0.0, 0.0])


def test_it_gives_up_and_says_that_the_run_may_go_on(bench: Bench) -> None:
    with peer(reset) as one:
        outcome = hook(bench, one)
    assert (outcome.kind, len(one.asked)) == (K.UNAVAILABLE, 6)
    assert "may still go on" in outcome.message


def test_a_run_that_never_ends_meets_the_deadline(bench: Bench) -> None:
    with peer(hang) as one:
        outcome = hook(bench, one, deadline_s=1.5, rejoin_s=0.4)
    assert outcome.kind is K.TIMED_OUT
    assert len(one.asked) > 1
    assert "may still go on" in outcome.message


def test_a_prompt_that_the_webhook_cannot_take_is_not_sent(bench: Bench) -> None:
    with peer(answer(200, RAN)) as one:
        outcome = hook(bench, one, prompt="x" * 300_000)
    assert (outcome.kind, one.asked) == (K.FAILED, [])
    assert outcome.hint


# ---------------------------------------------------------------------- an attempt that never came to its end


def runs(bench: Bench, number: int) -> dict[str, Any]:
    """What makes a context that of the task's attempt ``number``, in the same place as the others."""
    folder = bench.folder / "runs" / str(number)
    folder.mkdir(parents=True)
    return {"number": number, "run_dir": str(folder)}


def test_a_killed_attempts_run_is_joined_by_its_key(bench: Bench) -> None:
    with peer(reset) as one:
        hook(bench, one, **runs(bench, 1))
    with peer(answer(200, RAN)) as one:
        assert hook(bench, one, **runs(bench, 2)).kind is K.SUCCEEDED
    assert one.asked[0].headers["idempotency-key"] == "fix-it.1"
    with peer(answer(200, RAN)) as one:
        hook(bench, one, **runs(bench, 4))
    assert one.asked[0].headers["idempotency-key"] == "fix-it.1", "attempt 2 was killed, and 3 before it could ask"


@pytest.mark.parametrize(
    ("outcome", "key"),
    [
        ({"kind": "unavailable", "evidence": {"run_may_go_on": True}}, "fix-it.1"),
        ({"kind": "executor_broken", "evidence": {}}, "fix-it.1"),
        ({"kind": "unavailable", "evidence": {}}, "fix-it.2"),
        ({"kind": "failed", "evidence": {"run_may_go_on": "yes"}}, "fix-it.2"),
        ({"kind": "timed_out"}, "fix-it.2"),
        ({"kind": "cancelled"}, "fix-it.2"),
        ("nonsense", "fix-it.2"),
    ],
)
def test_a_run_whose_end_is_known_is_not_asked_for_again(bench: Bench, outcome: Any, key: str) -> None:
    with peer(reset) as one:
        assert hook(bench, one, **runs(bench, 1)).evidence == {"run_may_go_on": True}
    (bench.folder / "runs/1/result.json").write_text(json.dumps({"outcome": outcome}))
    with peer(answer(200, RAN)) as one:
        hook(bench, one, **runs(bench, 2))
    assert one.asked[0].headers["idempotency-key"] == key


@pytest.mark.parametrize(
    "forged",
    [
        b"",
        b"[" * 100_000,
        b'{"key": "fix-it.1"}',
        b'{"key": "other.1", "words": WORDS}',
        b'{"key": "fix-it.1\\r\\nX: y", "words": WORDS}',
        b'{"key": ["fix-it.1"], "words": WORDS}',
    ],
)
def test_a_record_that_is_not_ours_is_not_believed(bench: Bench, forged: bytes) -> None:
    """An agent can write there."""
    with peer(reset) as one:
        hook(bench, one, **runs(bench, 1))
    place = bench.folder / "runs/1/request.json"
    words = json.dumps(json.loads(place.read_bytes())["words"]).encode()
    place.write_bytes(forged.replace(b"WORDS", words))
    with peer(answer(200, RAN)) as one:
        hook(bench, one, **runs(bench, 2))
    assert one.asked[0].headers["idempotency-key"] == "fix-it.2"


def test_a_record_behind_a_link_is_not_read_and_not_written(bench: Bench, tmp_path: Path) -> None:
    with peer(reset) as one:
        hook(bench, one, **runs(bench, 1))
    here, elsewhere = bench.folder / "runs/1/request.json", tmp_path / "elsewhere.json"
    here.rename(elsewhere)
    before = elsewhere.read_bytes()
    here.symlink_to(elsewhere)
    again = runs(bench, 2)
    (Path(again["run_dir"]) / "request.json").symlink_to(elsewhere)
    with peer(answer(200, RAN)) as one:
        hook(bench, one, **again)
    assert one.asked[0].headers["idempotency-key"] == "fix-it.2"
    assert elsewhere.read_bytes() == before


def test_a_changed_task_is_another_run(bench: Bench) -> None:
    with peer(reset) as one:
        hook(bench, one, **runs(bench, 1))
    with peer(answer(200, RAN)) as one:
        hook(bench, one, task=Task(id="fix-it", title="Fix it well"), **runs(bench, 2))
    assert one.asked[0].headers["idempotency-key"] == "fix-it.2"


# ---------------------------------------------------------------------- hostile peers

GZIPPED = gzip.compress(b"0" * 50_000_000)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
DATE = "Sun, 22 Nov 2099 11:00:00 GMT"
GOOD = json.dumps(EITHER).encode()
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

ZOO: dict[str, tuple[Behaviour, OutcomeKind]] = {
    "429, seconds": (answer(429, {"error": "slow down"}, Retry_After="30"), K.RATE_LIMITED),
    "429, date": (answer(429, {"error": "slow down"}, Retry_After=DATE), K.RATE_LIMITED),
    "503, seconds": (answer(503, {"error": "busy"}, Retry_After="30"), K.UNAVAILABLE),
    "503, date": (answer(503, {"error": "busy"}, Retry_After=DATE), K.UNAVAILABLE),
    "500": (answer(500, b"<html>oops</html>"), K.UNAVAILABLE),
    "401": (answer(401, {"error": {"message": "Unauthorized"}}), K.AUTH_ERROR),
    "404": (answer(404, b"Not Found"), K.CONFIG_ERROR),
    "413": (answer(413, b"Too Large"), K.FAILED),
    "204": (raw(b"HTTP/1.1 204 No Content\r\n\r\n"), K.PROTOCOL_VIOLATION),
    "wrong JSON": (answer(200, b'{"status": "completed"'), K.PROTOCOL_VIOLATION),
    "a JSON list": (answer(200, [DONE]), K.PROTOCOL_VIOLATION),
    "another JSON object": (answer(200, {"hello": "world"}), K.PROTOCOL_VIOLATION),
    "no bytes": (answer(200, b""), K.PROTOCOL_VIOLATION),
    "deep JSON": (answer(200, b"[" * 100_000), K.PROTOCOL_VIOLATION),
    "a web page": (answer(200, b"<!doctype html><html>"), K.PROTOCOL_VIOLATION),
    "a gzip bomb": (answer(200, GZIPPED, Content_Encoding="gzip"), K.PROTOCOL_VIOLATION),
    "a gigabyte": (endless(HEAD + b"Content-Length: 1000000000\r\n\r\n", b"0" * 65536), K.PROTOCOL_VIOLATION),
    "endless chunks": (
        endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"0" * 65536 + b"\r\n"),
        K.PROTOCOL_VIOLATION,
    ),
    "endless without a length": (endless(HEAD + b"\r\n", b"0" * 65536), K.PROTOCOL_VIOLATION),
    "HTTP/1.0": (raw(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD), K.SUCCEEDED),
    "no length": (raw(HEAD + b"Content-Length: -5\r\n\r\n" + GOOD), K.SUCCEEDED),
    "chunked": (raw(CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)), K.SUCCEEDED),
    "two answers": (
        raw(HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD + b"HTTP/1.1 500 Oops\r\n\r\n"),
        K.SUCCEEDED,
    ),
    "a bad end of chunks": (raw(CHUNKED + b"%x\r\n%s\r\nzz\r\n\r\n" % (len(GOOD), GOOD)), K.UNAVAILABLE),
    "a broken chunk": (raw(CHUNKED + b"zz\r\n{}"), K.UNAVAILABLE),
    "a chunk of many exabytes": (raw(CHUNKED + b"f" * 15 + b"\r\n{}"), K.UNAVAILABLE),
    "a chunk of less than nothing": (raw(CHUNKED + b"-5\r\n{}"), K.UNAVAILABLE),
    "an endless size of a chunk": (endless(CHUNKED + b"5;", b"x" * 65536), K.UNAVAILABLE),
    "a list of codings": (answer(200, EITHER, Content_Encoding="deflate, br"), K.PROTOCOL_VIOLATION),
    "no UTF-8": (answer(200, b"\xff\xfe\x00"), K.PROTOCOL_VIOLATION),
    "a status of none": (raw(b"HTTP/1.1 -200 OK\r\n\r\n" + GOOD), K.UNAVAILABLE),
    "a status nobody knows": (answer(999, EITHER), K.UNAVAILABLE),
    "another protocol": (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"), K.PROTOCOL_VIOLATION),
    "endless headers": (endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: " + b"z" * 5000 + b"\r\n"), K.UNAVAILABLE),
    "cut": (raw(HEAD + b"Content-Length: 1000\r\n\r\n{"), K.UNAVAILABLE),
    "reset": (reset, K.UNAVAILABLE),
    "no HTTP": (raw(b"220 mail.example ESMTP\r\n"), K.UNAVAILABLE),
}  # fmt: skip


@pytest.mark.parametrize("door", ["responses", "hook"])
@pytest.mark.parametrize("name", ZOO)
def test_a_peer_of_the_zoo(bench: Bench, name: str, door: str) -> None:
    """Each has its kind of outcome, starts one run at most, gets its door's token only, and fills no memory."""
    behaviour, kind = ZOO[name]
    with peer(behaviour) as one, bounded_memory():
        outcome = bench.run(one, {"door": door})
    assert outcome.kind is kind, outcome
    assert outcome.message
    if door == "responses":
        assert len(one.asked) == 1, "it has no key: every request is a run"
    assert {asked.headers.get("idempotency-key") for asked in one.asked} <= {"fix-it.1", None}
    assert {asked.headers["authorization"] for asked in one.asked} == {f"Bearer {SECRETS[door == 'hook']}"}
    if "seconds" in name:
        assert outcome.reset_at is not None
        assert timedelta(0) < outcome.reset_at - datetime.now(UTC) <= timedelta(seconds=30)
    if "date" in name:
        assert outcome.reset_at is not None
        assert timedelta(minutes=50) < outcome.reset_at - datetime.now(UTC) <= timedelta(hours=1)


@contextlib.contextmanager
def bounded_memory() -> Iterator[None]:
    """Within, the resident memory of this process, at its highest, may grow by a few buffers."""
    before = _high_water(reset=True)
    yield
    grown = _high_water() - before
    assert grown < 16 * 1024, f"it grew by {grown} KiB"


def _high_water(*, reset: bool = False) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(found.group(1)) if found else 0


def test_the_memory_is_really_looked_at() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("no /proc here: memory is not measured")
    with pytest.raises(AssertionError, match="it grew by"), bounded_memory():
        bytes(range(256)) * (32 * 4096)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("door", ["responses", "hook"])
def test_a_redirect_never_gets_the_token(bench: Bench, status: int, door: str) -> None:
    with peer(answer(200, DONE)) as thief, peer(answer(status, b"", Location=thief.url + "/steal")) as one:
        outcome = bench.run(one, {"door": door})
    assert outcome.kind is K.CONFIG_ERROR
    assert (thief.asked, thief.gets, len(one.asked)) == ([], 0, 1)


@pytest.mark.parametrize("door", ["responses", "hook"])
@pytest.mark.parametrize(
    "behaviour",
    [
        hang,
        dribble(HEAD + b"X: " + b"y" * 1000, 0.1),
        dribble(HEAD + b"Content-Length: 1000\r\n\r\n" + b" " * 1000, 0.1),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        endless(CHUNKED + b"0\r\n", b"X-More: of it\r\n" * 1000),
    ],
    ids=["never", "headers by the byte", "body by the byte", "endless interim answers", "endless trailers"],
)
def test_a_peer_that_dribbles_cannot_stretch_the_deadline(bench: Bench, behaviour: Behaviour, door: str) -> None:
    started = time.monotonic()
    with peer(behaviour) as one, bounded_memory():
        outcome = bench.run(one, {"door": door}, deadline_s=0.5)
    assert outcome.kind is K.TIMED_OUT
    assert time.monotonic() - started < 50, "every byte brought a new deadline"


def test_a_late_answer_is_taken(bench: Bench) -> None:
    def late(connection: Any) -> None:
        time.sleep(1)
        answer(200, DONE)(connection)

    with peer(late) as one:
        assert bench.run(one).kind is K.SUCCEEDED


def test_an_answer_after_the_deadline_is_not_taken(bench: Bench) -> None:
    gone = threading.Event()

    def late(connection: Any) -> None:
        gone.wait(30)
        answer(200, DONE)(connection)

    with peer(late) as one:
        outcome = bench.run(one, deadline_s=0.5)
        gone.set()
    assert outcome.kind is K.TIMED_OUT


def test_an_answer_before_the_request_is_read_is_heard(bench: Bench) -> None:
    """A gateway that finds a prompt too long says so and hangs up; that is no broken connection."""
    with peer(answer(413, b"Too Large"), heedless=True) as one:
        outcome = bench.run(one, {"door": "responses"}, prompt="word " * 4_000_000)
    assert (outcome.kind, len(one.asked)) == (K.FAILED, 1), outcome


def test_an_answer_that_tells_our_token_back_is_not_believed_with_it(bench: Bench) -> None:
    with peer(answer(400, {"error": f"your token {SECRETS[0]} is odd"})) as one:
        assert "[redacted]" in bench.run(one).message


def test_nobody_there_is_unavailable_and_sends_nothing(bench: Bench) -> None:
    with peer(answer(200, DONE)) as one:
        pass
    outcome = bench.run(one)
    assert (outcome.kind, bool(outcome.hint)) == (K.UNAVAILABLE, True)


def test_no_token_is_an_auth_error_that_names_the_variable(bench: Bench) -> None:
    bench.tokens.clear()
    with peer(answer(200, DONE)) as one:
        outcome = bench.run(one)
    assert outcome.kind is K.AUTH_ERROR
    assert "OPENCLAW_GATEWAY_TOKEN" in outcome.message + outcome.hint
    assert one.asked == []


def test_doors_that_are_shut_are_a_config_error(bench: Bench) -> None:
    with peer(answer(200, DONE), open_paths=()) as one:
        outcome = bench.run(one)
    assert outcome.kind is K.CONFIG_ERROR
    assert "gateway.http.endpoints.responses" in outcome.hint


@pytest.mark.parametrize(
    "options",
    [
        {"door": "window"},
        {"model": "a\r\nX-Evil: 1"},
        {"agent": "a b"},
        {"url": "ftp://127.0.0.1"},
        {"url": "http://gateway.example:18789"},
        {"url": "http://user:password@127.0.0.1"},
        {"url": "http://127.0.0.1/?token=abc"},
        {"url": "http://127.0.0.1:99999"},
        {"url": "http://127.0.0.1.evil.example"},
        {"token": SECRETS[0]},
        {"gateway_token_env": SECRETS[0]},
        {"hooks_path": "hooks?x=1"},
        {"url": "https://127.0.0.1:9", "ca_file": "/nowhere/ca.pem"},
    ],
)
def test_wrong_options_are_told_and_nothing_is_sent(bench: Bench, options: dict[str, Any]) -> None:
    with peer(answer(200, DONE)) as one:
        executor = OpenClawExecutor({"url": one.url, **options})
        outcome = executor.run(bench.context())
        health = executor.probe() if "model" not in options and "agent" not in options else None
    assert outcome.kind in (K.CONFIG_ERROR, K.UNAVAILABLE), outcome
    assert health is None or not health.ok
    assert one.asked == []
    assert not any(secret in json.dumps(dump(outcome)) for secret in (*SECRETS, "password"))


def test_a_token_that_cannot_stand_in_a_header_is_not_shown(bench: Bench) -> None:
    bench.tokens["OPENCLAW_GATEWAY_TOKEN"] = "two words-0123"
    with peer(answer(200, DONE)) as one:
        outcome = bench.run(one)
    assert outcome.kind is K.CONFIG_ERROR
    assert "two words" not in json.dumps(dump(outcome))


def test_plain_http_elsewhere_can_be_allowed() -> None:
    options = {"url": "http://gateway.invalid:18789", "allow_plain_http": True}
    assert "gateway.invalid" in OpenClawExecutor(options).probe().reason


# ---------------------------------------------------------------------- TLS


def certificate(folder: Path, name: str, *, expired: bool = False) -> tuple[ssl.SSLContext, str]:
    """A self-signed certificate, as a server's context and as the file to trust it by."""
    key, csr, crt = (folder / f"{kind}.pem" for kind in ("key", "csr", "crt"))
    words = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=gateway"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(csr)], check=True, capture_output=True)
    (folder / "names").write_text(f"subjectAltName={name}\n")
    words = ["openssl", "x509", "-req", "-in", str(csr), "-signkey", str(key), "-out", str(crt)]
    words += ["-extfile", str(folder / "names"), "-days", "-1" if expired else "1"]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    return context, str(crt)


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the program openssl to make certificates")
@pytest.mark.parametrize(
    ("name", "trusted", "expired", "kind"),
    [
        ("IP:127.0.0.1", True, False, K.SUCCEEDED),
        ("IP:127.0.0.1", False, False, K.CONFIG_ERROR),
        ("IP:127.0.0.1", True, True, K.CONFIG_ERROR),
        ("DNS:elsewhere.example", True, False, K.CONFIG_ERROR),
    ],
    ids=["trusted", "self-signed", "expired", "wrong host"],
)
def test_only_a_certificate_that_proves_the_gateway_gets_the_token(
    bench: Bench,
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    *,
    trusted: bool,
    expired: bool,
    kind: OutcomeKind,
) -> None:
    context, ca_file = certificate(tmp_path_factory.mktemp("tls"), name, expired=expired)
    with peer(answer(200, DONE), tls=context) as one:
        outcome = bench.run(one, {"ca_file": ca_file} if trusted else {})
    assert outcome.kind is kind, outcome
    assert len(one.asked) == (1 if kind is K.SUCCEEDED else 0)
    assert kind is K.SUCCEEDED or "ca_file" in outcome.hint


# ---------------------------------------------------------------------- health


def test_a_probe_names_the_door_and_starts_nothing(bench: Bench) -> None:
    with peer(answer(200, DONE)) as one:
        health = OpenClawExecutor({"url": one.url}).probe()
        assert (health.ok, health.dialect, health.warning) == (True, "responses", "")
        health = OpenClawExecutor({"url": one.url, "door": "hook", "colour": "red"}).probe()
        assert (health.ok, health.dialect) == (True, "hook")
        assert "untrusted" in health.warning
        assert "colour" in health.warning
        assert one.asked == []


def test_a_probe_without_tokens_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENCLAW_GATEWAY_TOKEN", "OPENCLAW_HOOKS_TOKEN"):
        monkeypatch.delenv(name)
    with peer(answer(200, DONE)) as one:
        health = OpenClawExecutor({"url": one.url, "gateway_token_env": "MY_TOKEN"}).probe()
    assert not health.ok
    assert "MY_TOKEN" in health.reason
    assert "OPENCLAW_HOOKS_TOKEN" in health.hint


def test_it_asks_for_its_own_two_variables_only() -> None:
    executor = OpenClawExecutor({"hook_token_env": "MY_TOKEN"})
    assert executor.environment == ("OPENCLAW_GATEWAY_TOKEN", "MY_TOKEN")


def test_no_thread_is_left_behind(bench: Bench) -> None:
    before = threading.active_count()
    with peer(answer(200, DONE)) as one:
        bench.run(one)
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before
