"""Leases and records as JSON, written by hand: they are read on every tick and by ``task list``, where the
import of a general converter would cost more than all the reading.

Unknown keys are left out of account and missing ones take their defaults, so that versions can be mixed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autopilot.models import Ending, Event, Lease, LeaseState, Reason, Status, TaskRecord
from autopilot.system.clock import format_instant, parse_instant
from autopilot.system.processes import ProcessIdentity

__all__ = ["decode_lease", "decode_record", "encode_lease", "encode_record"]

_VERSION = 1
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def encode_lease(lease: Lease) -> bytes:
    """The text of a lease file. Beat and cancel requests have files of their own and are not in it."""
    data: dict[str, Any] = {
        "version": _VERSION,
        "state": lease.state.value,
        "executor": lease.executor,
        "owner": _owner(lease.owner),
        "claimed_at": format_instant(lease.claimed_at),
        "beat": lease.beat,
        "ttl_s": lease.ttl_s,
        "record": _record(lease.record),
    }
    if lease.guardian is not None:
        data["guardian"] = _owner(lease.guardian)
    if lease.ending is not None:
        data["ending"] = _ending(lease.ending)
    if lease.outbox:
        data["outbox"] = [_event(event) for event in lease.outbox]
    return _text(data)


def encode_record(record: TaskRecord) -> bytes:
    """The text of a record file that no lease preceded."""
    return _text({"version": _VERSION, "record": _record(record)})


def decode_lease(data: bytes) -> Lease:
    """Read what ``encode_lease`` wrote.

    Raises:
        ValueError: it is no lease.
    """
    try:
        return _lease(json.loads(data))
    except (KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise ValueError(f"no lease: {type(fault).__name__}: {fault}") from fault


def decode_record(data: bytes) -> TaskRecord:
    """Read a record file: a lease that ended, or what ``encode_record`` wrote.

    Raises:
        ValueError: it is no record.
    """
    try:
        return _read_record(json.loads(data)["record"])
    except (KeyError, TypeError, AttributeError, RecursionError) as fault:
        raise ValueError(f"no record: {type(fault).__name__}: {fault}") from fault


def _text(data: Mapping[str, Any]) -> bytes:
    return _encode(data).encode("ascii") + b"\n"


def _owner(owner: ProcessIdentity) -> dict[str, Any]:
    return {
        "host": owner.host,
        "boot": owner.boot,
        "pid_space": owner.pid_space,
        "pid": owner.pid,
        "start_time": owner.start_time,
    }


def _ending(ending: Ending) -> dict[str, Any]:
    data: dict[str, Any] = {"status": ending.status.value, "result": ending.result}
    if ending.at is not None:
        data["at"] = format_instant(ending.at)
    return data


def _record(record: TaskRecord) -> dict[str, Any]:
    data: dict[str, Any] = {
        "task_id": record.task_id,
        "token": record.token,
        "seq": record.seq,
        "used": record.used,
        "lost": record.lost,
        "unavailable": record.unavailable,
        "projected": record.projected.value,
        "spent_usd": record.spent_usd,
    }
    if record.failed_on:
        data["failed_on"] = list(record.failed_on)
    if record.sessions:
        data["sessions"] = dict(record.sessions)
    if record.earlier_failure:
        data["earlier_failure"] = record.earlier_failure
    if record.not_before is not None:
        data["not_before"] = format_instant(record.not_before)
    if record.reason is not None:
        reason = record.reason
        data["reason"] = {"code": reason.code, "message": reason.message, "hint": reason.hint}
    if record.result is not None:
        data["result"] = dict(record.result)
    return data


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "event_type": event.event_type,
        "timestamp": event.timestamp,
        "source": event.source,
        "trace_id": event.trace_id,
        "payload": dict(event.payload),
    }


def _lease(data: Mapping[str, Any]) -> Lease:
    record = _read_record(data["record"])
    state = LeaseState(data["state"])
    guardian, ending = data.get("guardian"), data.get("ending")
    if (state is LeaseState.ENDED) != (ending is not None):
        raise ValueError("a lease has an ending exactly when it has ended")
    return Lease(
        record=record,
        state=state,
        executor=str(data["executor"]),
        owner=_read_owner(data["owner"]),
        guardian=None if guardian is None else _read_owner(guardian),
        claimed_at=parse_instant(data["claimed_at"]),
        beat=float(data["beat"]),
        ttl_s=float(data["ttl_s"]),
        ending=None if ending is None else _read_ending(ending, record),
        outbox=tuple(_read_event(event) for event in data.get("outbox", ())),
    )


def _read_owner(data: Mapping[str, Any]) -> ProcessIdentity:
    return ProcessIdentity(
        host=str(data["host"]),
        boot=str(data["boot"]),
        pid_space=int(data["pid_space"]),
        pid=int(data["pid"]),
        start_time=str(data["start_time"]),
    )


def _read_record(data: Mapping[str, Any]) -> TaskRecord:
    not_before, reason = data.get("not_before"), data.get("reason")
    return TaskRecord(
        task_id=str(data["task_id"]),
        token=int(data["token"]),
        seq=int(data["seq"]),
        used=int(data.get("used", 0)),
        lost=int(data.get("lost", 0)),
        unavailable=int(data.get("unavailable", 0)),
        failed_on=tuple(map(str, data.get("failed_on", ()))),
        sessions=dict(data.get("sessions", {})),
        earlier_failure=str(data.get("earlier_failure", "")),
        spent_usd=float(data.get("spent_usd", 0.0)),
        not_before=None if not_before is None else parse_instant(not_before),
        reason=None if reason is None else _read_reason(reason),
        projected=Status(data.get("projected", Status.PENDING)),
        result=data.get("result"),
    )


def _read_reason(data: Mapping[str, Any]) -> Reason:
    return Reason(code=str(data["code"]), message=str(data["message"]), hint=str(data.get("hint", "")))


def _read_ending(data: Mapping[str, Any], record: TaskRecord) -> Ending:
    at = data.get("at")
    return Ending(
        status=Status(data["status"]),
        record=record,
        result=data.get("result"),
        at=None if at is None else parse_instant(at),
    )


def _read_event(data: Mapping[str, Any]) -> Event:
    return Event(
        id=str(data["id"]),
        event_type=str(data["event_type"]),
        timestamp=str(data["timestamp"]),
        source=str(data.get("source", "autopilot")),
        trace_id=data.get("trace_id"),
        payload=dict(data.get("payload", {})),
    )
