"""T7: whatever is done to the files of a log behind its back, ``verify`` tells.

Each tampering is judged three times: with the head file, with an anchor in its place, and with neither. The last
may miss what it cannot know: a change of the very last line, lines that are cut off the end, and a log that was
rewritten from some line to its end.
"""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from autopilot.events.head import Anchor, HeadFile, Tail
from autopilot.events.log import EventLog
from autopilot.events.verify import verify
from autopilot.models import EventDraft
from tests.campaign import FAST, FULL, record

HEAD = "events.head"
NEWEST = "events.ndjson"
FLIPS = 300


@attrs.frozen
class Sample:
    """A log in a folder, as it should be."""

    folder: str
    files: Mapping[str, bytes]
    anchor: Anchor

    @property
    def segments(self) -> list[str]:
        return [*sorted(name for name in self.files if name not in (HEAD, NEWEST)), NEWEST]

    @property
    def last_line(self) -> int:
        return self.files[NEWEST][:-1].rfind(b"\n") + 1


@attrs.frozen
class Tampering:
    """Files that are changed, None for removed; ``tail`` when only the end of the log is concerned."""

    name: str
    files: Mapping[str, bytes | None]
    tail: bool = False


def draft(kind: str, **payload) -> EventDraft:
    return EventDraft(event_type=kind, payload=payload)


@pytest.fixture(params=["whole", "pruned"])
def sample(request) -> Iterator[Sample]:
    """A log with a healed fragment in it, from its beginning on or from a later segment on."""
    with tempfile.TemporaryDirectory(dir=FAST) as place:
        log = EventLog(f"{place}/events", durability="process")
        folder = Path(log.folder)
        for n in range(5 if request.param == "pruned" else 3):
            log.append([draft("task.created", n=n, text="grüße"), draft("a.b")], trace_id="a")
            with (folder / NEWEST).open("ab") as file:
                file.write(b'{"id":"evt-torn')
            log.append([draft("task.done", ok=True)])
            log.rotate()
        if request.param == "pruned":
            log.gc(keep_bytes=sum(path.stat().st_size for path in sorted(folder.glob("*.ndjson"))[-3:]))
        log.append([draft("c.d"), draft("e.f")])
        anchor = log.anchor()
        log.close()
        files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".torn"}
        assert anchor and verify(log.folder, anchor).ok
        yield Sample(log.folder, files, anchor)


# ---------------------------------------------------------------------- what is done to it


def flips(sample: Sample) -> Iterator[Tampering]:
    """Every bit of every file, or some of them and all of the last bytes."""
    bits = [(name, n) for name, whole in sample.files.items() for n in range(8 * len(whole))]
    chosen = bits if FULL else random.Random(4711).sample(bits, FLIPS)
    chosen += [(name, 8 * len(whole) - 1 - n) for name, whole in sample.files.items() for n in range(16)]
    for name, bit in chosen:
        changed = bytearray(sample.files[name])
        changed[bit // 8] ^= 1 << bit % 8
        tail = name == HEAD or (name == NEWEST and bit // 8 >= sample.last_line)
        yield Tampering(f"bit {bit} of {name}", {name: bytes(changed)}, tail)


def moved_lines(sample: Sample) -> Iterator[Tampering]:
    """Lines dropped, doubled, swapped with the next, or put in from elsewhere."""
    for name in sample.segments:
        lines = sample.files[name].splitlines(keepends=True)
        for n in range(len(lines)):
            last = name == NEWEST and n == len(lines) - 1
            yield Tampering(f"drop {n}", {name: b"".join(lines[:n] + lines[n + 1 :])}, last)
            yield Tampering(f"double {n}", {name: b"".join([*lines[: n + 1], *lines[n:]])})
            yield Tampering(f"blank {n}", {name: b"".join([*lines[:n], b"\n", *lines[n:]])})
            if not last and n + 1 < len(lines):
                swapped = [*lines[:n], lines[n + 1], lines[n], *lines[n + 2 :]]
                yield Tampering(f"swap {n}", {name: b"".join(swapped)})


def cuts(sample: Sample) -> Iterator[Tampering]:
    """Lines off the front of the log, and off its end."""
    for name in sample.segments:
        lines = sample.files[name].splitlines(keepends=True)
        for n in range(1, len(lines)):
            front, back = b"".join(lines[n:]), b"".join(lines[:-n])
            yield Tampering(f"front {n} of {name}", {name: front})
            yield Tampering(f"back {n} of {name}", {name: back}, name == NEWEST)


def exchanged_segments(sample: Sample) -> Iterator[Tampering]:
    """Segments emptied, removed, or replaced by another."""
    for name in sample.segments:
        yield Tampering(f"{name} emptied", {name: b""}, name == NEWEST)
        yield Tampering(f"{name} removed", {name: None}, name == NEWEST)
        for other in sample.segments:
            if other != name:
                yield Tampering(f"{other} over {name}", {name: sample.files[other]})
                both = {name: sample.files[other], other: sample.files[name]}
                yield Tampering(f"{name} and {other} exchanged", both)


def rewritten_ends(sample: Sample) -> Iterator[Tampering]:
    """A line is changed, and all those after it are chained anew, as somebody would who knows how."""
    lines = sample.files[NEWEST].splitlines()
    for first in range(len(lines)):
        forged = lines[:first]
        for line in lines[first:]:
            value = json.loads(line)
            value["source"] = "user"
            if len(forged) > first:
                value["prev"] = hashlib.sha256(forged[-1]).hexdigest()
            forged.append(json.dumps(value, separators=(",", ":")).encode())
        yield Tampering(f"rewritten from {first}", {NEWEST: b"\n".join([*forged, b""])}, tail=True)


def edited_heads(sample: Sample) -> Iterator[Tampering]:
    """Records with a good checksum that say something else."""
    true = HeadFile(sample.folder).read()
    assert true
    for lie in (
        attrs.evolve(true, number=true.number + 1),
        attrs.evolve(true, size=true.size - 1),
        attrs.evolve(true, size=true.size + 1),
        attrs.evolve(true, events=true.events + 1),
        attrs.evolve(true, digest="0" * 64),
        attrs.evolve(true, latest="1999-01-01T00:00:00.000000Z"),
    ):
        yield Tampering(f"head {lie}", {HEAD: packed(lie)}, tail=True)
    yield Tampering("head junk", {HEAD: b"junk"}, tail=True)


def packed(tail: Tail) -> bytes:
    with tempfile.TemporaryDirectory(dir=FAST) as folder:
        file = HeadFile(folder)
        file.write(tail)
        file.close()
        return Path(folder, HEAD).read_bytes()


# ---------------------------------------------------------------------- whether it is told


def put(folder: str, files: Mapping[str, bytes | None]) -> None:
    for name, content in files.items():
        path = Path(folder, name)
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(content)


def found(sample: Sample, tampering: Tampering) -> dict[str, bool]:
    put(sample.folder, tampering.files)
    told = {"head": not verify(sample.folder).ok}
    put(sample.folder, {HEAD: None})
    if set(tampering.files) != {HEAD}:
        told["anchor"] = not verify(sample.folder, sample.anchor).ok
        told["neither"] = not verify(sample.folder).ok or tampering.tail
    put(sample.folder, {name: sample.files.get(name) for name in [HEAD, *tampering.files]})
    return told


@pytest.mark.timeout(0 if FULL else 300)
@pytest.mark.parametrize("kind", [flips, moved_lines, cuts, exchanged_segments, rewritten_ends, edited_heads])
def test_every_tampering_is_found(sample, kind):
    tried = tails = 0
    for tampering in kind(sample):
        told = found(sample, tampering)
        assert all(told.values()), (tampering.name, told)
        tried += 1
        tails += tampering.tail
    assert tried
    assert verify(sample.folder, sample.anchor).ok
    record(
        "T7",
        f"tampering: {kind.__name__}",
        log=f"{len(sample.segments)} segments, {sum(map(len, sample.files.values()))} bytes",
        tried=tried,
        missed=0,
        of_the_end_only=tails,
    )
