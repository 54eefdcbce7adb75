"""Sessions of Kimi on disk: where a retry finds its own, and what an attempt used, which Kimi never prints."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import attrs

from autopilot import Usage, json_line, usage_of

__all__ = ["Session", "Spent", "find", "newest", "offsets", "spent"]

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,127}")
_LOGS = ("wire.jsonl", "agents/*/wire.jsonl", "subagents/*/wire.jsonl")
_LONGEST_LINE = 64 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_LARGEST_STATE = 1024 * 1024
_CLOCKS_DIFFER_S = 2.0


@attrs.frozen
class Session:
    """A session: its id and its folder."""

    id: str
    folder: Path


@attrs.frozen(kw_only=True)
class Spent:
    """What an attempt used: tokens and calls of the model, and the model's name."""

    usage: Usage | None = None
    calls: int | None = None
    model: str | None = None


def find(home: Path, session_id: str, workdir: str) -> Session | None:
    """The session of this id that was made in ``workdir``: the program refuses to resume it anywhere else."""
    if not _ID.fullmatch(session_id):
        return None
    folders = home.glob(f"sessions/*/{session_id}")
    return next((Session(session_id, one) for one in folders if _made_in(one, workdir)), None)


def newest(home: Path, workdir: str, since: float) -> Session | None:
    """The one session that was begun in ``workdir`` after ``since`` (epoch seconds); None where two were."""
    found = [
        Session(one.name, one)
        for one in home.glob("sessions/*/*")
        if _ID.fullmatch(one.name) and _touched(one) >= since - _CLOCKS_DIFFER_S and _made_in(one, workdir)
    ]
    return found[0] if len(found) == 1 else None


def offsets(session: Session | None) -> dict[Path, int]:
    """How long the logs of a session are: what comes after is the next attempt's."""
    return {log: log.stat().st_size for log in _logs(session)} if session else {}


def spent(session: Session, since: Mapping[Path, int]) -> Spent:
    """What the records after ``since`` add up to. At most 64 MiB of each log are read, and no line is kept."""
    usages: list[Usage] = []
    model = None
    for log in _logs(session):
        for record in _records(log, since.get(log, 0)):
            used = _usage(record)
            if used is not None:
                usages.append(used)
            elif record.get("type") == "llm.request" and isinstance(record.get("model"), str):
                model = record["model"]
    if not usages:
        return Spent(model=model)
    total = Usage(
        input_tokens=sum(one.input_tokens for one in usages),
        output_tokens=sum(one.output_tokens for one in usages),
        cached_tokens=sum(one.cached_tokens for one in usages),
    )
    return Spent(usage=total, calls=len(usages), model=model)


def _usage(record: Mapping[str, Any]) -> Usage | None:
    """The tokens of one call of the model, as either program notes them."""
    if record.get("type") == "usage.record":
        cached = ("inputCacheRead", "inputCacheCreation")
        return usage_of(record.get("usage"), input="inputOther", output="output", cached=cached)
    message = record.get("message")
    if not isinstance(message, Mapping) or message.get("type") != "StatusUpdate":
        return None
    payload = message.get("payload")
    told = payload.get("token_usage") if isinstance(payload, Mapping) else None
    cached = ("input_cache_read", "input_cache_creation")
    return usage_of(told, input="input_other", output="output", cached=cached)


def _logs(session: Session) -> list[Path]:
    return sorted(path for pattern in _LOGS for path in session.folder.glob(pattern))


def _records(path: Path, start: int) -> Iterator[dict[str, Any]]:
    for line in _lines(path, start):
        if b"usage" in line or b"llm.request" in line:
            record = json_line(line.decode("utf-8", "replace"))
            if record is not None:
                yield record


def _lines(path: Path, start: int) -> Iterator[bytes]:
    """The lines from ``start``; of one that is longer than any record of interest the beginning."""
    file = _opened(path)
    if file is None:
        return
    with file:
        file.seek(start)
        left, at_start = _MOST_BYTES, True
        while left > 0 and (piece := file.readline(_LONGEST_LINE)):
            left -= len(piece)
            if at_start:
                yield piece
            at_start = piece.endswith(b"\n")


def _opened(path: Path) -> BinaryIO | None:
    """A regular file. Agents can write here: a link, a pipe or a device in the place of one is no session's."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return os.fdopen(fd, "rb")
    os.close(fd)
    return None


def _made_in(folder: Path, workdir: str) -> bool:
    """By the state file of the current program, or by the name that the older one gives the folder above."""
    cwd = _state(folder).get("cwd")
    if isinstance(cwd, str):
        return os.path.realpath(cwd) == os.path.realpath(workdir)
    names = {workdir, os.path.realpath(workdir)}
    digests = {hashlib.md5(name.encode("utf-8", "replace"), usedforsecurity=False).hexdigest() for name in names}
    return folder.parent.name.rpartition("_")[2] in digests


def _state(folder: Path) -> dict[str, Any]:
    file = _opened(folder / "state.json")
    if file is None:
        return {}
    with file:
        return json_line(file.read(_LARGEST_STATE).decode("utf-8", "replace")) or {}


def _touched(folder: Path) -> float:
    """When anything in it was last written, as far as the folder and its state tell."""
    return max((one.lstat().st_mtime for one in (folder, folder / "state.json") if one.exists()), default=0.0)
