"""Mutations of the seed files: what an editor, a merge, a bad disk or a program may make of a task file."""

from __future__ import annotations

import random

from tests.property.seeds import all_seeds

__all__ = ["mutated"]

_SEEDS = all_seeds()
SMALL = [seed.data for seed in _SEEDS if len(seed.data) < 2_000]
VALID = [seed.data for seed in _SEEDS if len(seed.data) < 2_000 and seed.expect == "ok"]
TOKENS = [
    *(
        b"---\n",
        b"\n---\n",
        b": ",
        b" #",
        b"- ",
        b"\n  - ",
        b"\t",
        b"\r\n",
        b"\r",
        b"\0",
        b"\xef\xbb\xbf",
        b'"',
        b"'",
        b"\\",
    ),
    *(
        b"&a ",
        b"*a",
        b"!!str ",
        b"<<: ",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b"|\n",
        b">\n",
        b"? ",
        b"%",
        b"@",
        b"`",
        b"~",
        b"null",
    ),
    *(
        b"\xe2\x80\xa8",
        b"\xc2\x85",
        b"\xff",
        b"\xed\xa0\x80",
        b"\x1b",
        b"=======\n",
        b"status: done\n",
        b"id: x\n",
        b"schema: 2\n",
    ),
    *(b"title: ", b"result:\n  a: b\n", b"\n\n", b"  ", b"0", b"\xf0\x9f\x9a\x80"),
]


def mutated(rng: random.Random) -> bytes:
    """A seed after one to four mutations; mostly of one that is a task."""
    data = rng.choice(SMALL if rng.random() < 0.3 else VALID)
    for _ in range(rng.randint(1, 4)):
        data = rng.choice(OPERATORS)(rng, data)
    return data


def splice(rng: random.Random, data: bytes) -> bytes:
    other = rng.choice(SMALL)
    return data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :]


def insert_token(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice(TOKENS) + data[at:]


def drop(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + data[at + rng.randint(1, 12) :]


def flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data or b"-")
    changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def move_lines(rng: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = rng.randrange(len(lines))
    lines.insert(rng.randint(0, len(lines)), lines[at])
    if rng.random() < 0.5:
        del lines[at]
    return b"".join(lines)


def indent_line(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = b" " * rng.randint(1, 4) + lines[at] if rng.random() < 0.7 else lines[at].lstrip()
    return b"\n".join(lines)


OPERATORS = (splice, insert_token, insert_token, drop, flip, move_lines, indent_line)
