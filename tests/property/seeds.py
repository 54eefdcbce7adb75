"""Seed files for the task-file campaign: more than 500 in more than 30 classes of what people, editors, merges,
crashes and other tools leave in a folder.

``expect`` says what must happen: ``ok`` (it is a task), ``bad`` (it is refused, with a hint), or None (either, but
never a crash).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

BOM = b"\xef\xbb\xbf"


class Seed(NamedTuple):
    kind: str
    expect: str | None
    data: bytes


_MAKERS: list[tuple[str, str | None, Callable[[], Iterable[bytes]]]] = []


def _seeds(expect: str | None) -> Callable[[Callable[[], Iterable[bytes]]], Callable[[], Iterable[bytes]]]:
    def register(make: Callable[[], Iterable[bytes]]) -> Callable[[], Iterable[bytes]]:
        _MAKERS.append((make.__name__, expect, make))
        return make

    return register


def all_seeds() -> list[Seed]:
    """Every seed, always the same ones."""
    return [Seed(kind, expect, data) for kind, expect, make in _MAKERS for data in make()]


def task(*lines: str, body: str = "Do it.\n", first: str = "id: seed") -> bytes:
    head = "\n".join(line for line in (first, *lines) if line)
    return f"---\n{head}\n---\n\n{body}".encode()


TITLE = "title: A seed"
WORDS = (
    "no",
    "yes",
    "on",
    "off",
    "y",
    "n",
    "true",
    "false",
    "True",
    "FALSE",
    "No",
    "NO",
    "Yes",
    "On",
    "OFF",
    "N",
    "Y",
    "TRUE",
)


@_seeds("ok")
def plain() -> Iterator[bytes]:
    for n, priority in enumerate(("critical", "high", "medium", "low")):
        yield task(TITLE, f"priority: {priority}")
        yield task(TITLE, f"timeout_minutes: {n + 1}.5", "tags: [a, b]", "verify:\n  - make test\n  - make lint")
        yield task(TITLE, "depends_on:\n- one\n- two", "command: [echo, hi]", "requires: shell")
        yield task(
            TITLE, "status: done", "result:\n  executor: local\n  verified: true\n  cost_usd: 0.25\n  reason: null"
        )
        yield task(TITLE, "created_at: 2026-11-22T09:14:03.123456Z", "updated_at: 2026-11-22", f"attempt: {n}")


@_seeds("bad")
def duplicate_keys() -> Iterator[bytes]:
    for key, value in (("status", "done"), ("title", "x"), ("priority", "low"), ("tags", "[a]"), ("unknown", "1")):
        yield task(TITLE, f"{key}: {value}", f"{key}: {value}")
        yield task(TITLE, f"{key}: {value}", "model: m", f'"{key}": {value}')
        yield task(TITLE, f"result:\n  {key}: a\n  {key}: b")
        yield task(TITLE, f"result: {{{key}: a, {key}: b}}")


@_seeds("bad")
def tags() -> Iterator[bytes]:
    for tag in (
        "!!str",
        "!!int",
        "!",
        "!foo",
        "!!python/object/apply:os.system",
        "!<tag:yaml.org,2002:str>",
        "!!binary",
    ):
        yield task(f"title: {tag} text")
        yield task(TITLE, f"tags: [{tag} a]")
        yield task(TITLE, f"result: {tag} {{a: b}}")


@_seeds("bad")
def aliases() -> Iterator[bytes]:
    yield task(TITLE, "a: &a [x]", *(f"b{n}: &b{n} [*a, *a]" for n in range(60)))
    yield task(TITLE, "a: &a {k: v}", "b:\n  <<: *a")
    yield task(TITLE, "<<: {a: b}")
    yield task(TITLE, "result: {<<: x}")
    for sign in "&*":
        for value in ("x", "x y", " x", "", "src/**", "note", "1"):
            yield task(f"title: {sign}{value}")
            yield task(TITLE, f"touches:\n  - {sign}{value or 'z'}")


@_seeds("ok")
def crlf() -> Iterator[bytes]:
    for data in [*plain()][:17]:
        yield data.replace(b"\n", b"\r\n")


@_seeds("ok")
def byte_order_mark() -> Iterator[bytes]:
    for n, data in enumerate([*plain()][:17]):
        yield BOM + (data.replace(b"\n", b"\r\n") if n % 2 else data)


@_seeds("bad")
def wide_encodings() -> Iterator[bytes]:
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        for data in (task(TITLE), task("title: é ☃"), task(TITLE).replace(b"\n", b"\r\n")):
            yield data.decode().encode(encoding)


@_seeds("bad")
def lone_surrogates() -> Iterator[bytes]:
    for code in ("d800", "dbff", "dc00", "dfff", "dabc"):
        yield task(f'title: "\\u{code}"')
        yield task(TITLE, f'tags: ["\\u{code}"]')
        raw = b"\xed" + bytes([0x80 | (int(code, 16) >> 6 & 0x3F), 0x80 | (int(code, 16) & 0x3F)])
        yield task("title: @@").replace(b"@@", raw)
        yield task(TITLE, body="@@").replace(b"@@", raw)


@_seeds("bad")
def nul() -> Iterator[bytes]:
    data = task(TITLE, "tags: [a]")
    for n in range(0, len(data), 4):
        yield data[:n] + b"\0" + data[n:]
    yield task('title: "a\\0b"')
    yield task('title: "a\\x00b"')
    yield task(TITLE, 'command: [echo, "\\0"]')
    yield b"\0" * 4096


@_seeds("bad")
def line_separators() -> Iterator[bytes]:
    for char in "\u2028\u2029\x85":
        yield task(f"title: a{char}b")
        yield task(f"title: {char}b")
        yield task(f'title: "a{char}b"')
        yield task(f"title: a{char}status: done")
        yield task(TITLE, f"tags:{char}  - a")
        yield task(TITLE, f"# a comment{char}priority: high")


@_seeds("ok")
def line_separators_where_allowed() -> Iterator[bytes]:
    for char, escape in (
        ("\u2028", "\\u2028"),
        ("\u2029", "\\P"),
        ("\x85", "\\N"),
        ("\x0c", "\\f"),
        ("\x1b", "\\e"),
    ):
        yield task(TITLE, body=f"a{char}b\n{char}")
        yield task(f'title: "a{escape}b"')
        yield task(TITLE, f'acceptance_criteria: ["{escape}x"]', body=char * 3)


@_seeds("bad")
def huge() -> Iterator[bytes]:
    mebi = 1024 * 1024
    yield task(TITLE, body="x" * mebi)
    yield task(TITLE, body="x\n" * (5 * mebi))
    yield task(TITLE, body="---\n" * mebi)
    yield b"---\n" * 100_000 + b"x" * (10 * mebi)
    yield b"---x\n" * 200_000
    yield b"---\n" + b"\n---x" * 200_000
    yield b"-" * mebi
    yield b"\n" * mebi
    yield b" " * mebi
    for filler in ("x", "[", "{", '"', "'", "- ", "a: b\n", "# c\n", "? ", "&a ", "!", "\t", "é"):
        yield task(TITLE, f"note: {filler * 70_000}")


@_seeds("ok")
def large_but_allowed() -> Iterator[bytes]:
    yield task(TITLE, body="x" * (1024 * 1024 - 100))
    yield task(TITLE, body="é" * (512 * 1024 - 100))
    yield task(f'title: "{"x" * 60_000}"')
    yield task(TITLE, "#" + "x" * 60_000)
    yield task(TITLE, *(["# comment"] * 5_000))
    yield task(TITLE, *([""] * 5_000), "priority: high")
    yield task(TITLE, "note: |", *(["  line"] * 5_000))
    yield task(TITLE, "note: " + "x " * 30_000)
    yield task("", body=" " * 500_000 + "x" + " " * 500_000, first="id: seed")
    yield task("", body="# a" + " #" * 250_000, first="id: seed")
    yield task("", body="```\n" * 100_000 + "x", first="id: seed")


@_seeds("bad")
def depth() -> Iterator[bytes]:
    for n in (21, 30, 100, 1_000, 5_000, 30_000):
        yield task(TITLE, f"note: {'[' * n}")
        yield task(TITLE, f"note: {'[' * n}{']' * n}")
        yield task(TITLE, f"note: {'{a: ' * min(n, 8_000)}{'}' * min(n, 8_000)}")
    for n in (21, 60, 300):
        yield task(TITLE, "note:\n" + "".join(f"{' ' * (k + 1)}k:\n" for k in range(n)))
        yield task(TITLE, "note:\n  " + "- " * n + "x")


@_seeds("bad")
def many_nodes() -> Iterator[bytes]:
    for n in (500, 600, 1_000, 3_000, 5_000):
        yield task(TITLE, *(f"k{k}: v" for k in range(n)))
        yield task(TITLE, "tags:", *["  - a"] * (n * 2))
        yield task(TITLE, f"tags: [{'a,' * (n * 2)}]")
        yield task(TITLE, f"result: {{{''.join(f'k{k}: v,' for k in range(n))}}}")


@_seeds("ok")
def norway() -> Iterator[bytes]:
    for word in WORDS:
        yield task(f"title: {word}", f"tags: [{word}]", f"model: {word}")


@_seeds("ok")
def numbers_that_are_text() -> Iterator[bytes]:
    for text in (
        "1:30",
        "190:20:30",
        "00123",
        "0o17",
        "0x1F",
        "1.10",
        "1_000",
        "1e3",
        "-1",
        "+1",
        ".5",
        "2026-11-22",
    ):
        yield task(f"title: {text}", f"tags: [{text}]")
    for text in ("1:30", "00123", "1.10", "3.0", ".inf", "0b1", "12e03", "685_230.15", "2026-11-22 09:14:03 -5"):
        yield task(TITLE, f"x-{text[0].replace('.', 'd')}: {text}", f"repo: {text}")


@_seeds("bad")
def colon_in_title() -> Iterator[bytes]:
    for text in (
        "Fix: x",
        "feat(core): x",
        "a: b: c",
        "x:",
        "Re: Fwd: y",
        "http: //x",
        "12: 30",
        "C: drive",
        "é: è",
    ):
        yield task(f"title: {text}")
        yield task(f"title: {text} and `code`", "tags: [a]")


@_seeds("bad")
def conflict_markers() -> Iterator[bytes]:
    ours, theirs = "status: pending", "status: done"
    for tail in ("HEAD", "Updated upstream", "ours"):
        marked = [f"<<<<<<< {tail}", ours, "=======", theirs, ">>>>>>> other"]
        yield task(TITLE, *marked)
        yield task(*marked, TITLE)
        yield task(TITLE, marked[0], ours, "||||||| base", "status: blocked", *marked[2:])
        yield task(TITLE, *marked[:3])
        yield task(TITLE, *marked[2:])
        yield ("\n".join(marked) + "\n").encode() + task(TITLE)
        yield b"<<<<<<< HEAD\n" + task(TITLE) + b"=======\n" + task("title: B") + b">>>>>>> x\n"


@_seeds(None)
def half_saves() -> Iterator[bytes]:
    data = task(TITLE, "tags: [a, b]", "verify:\n  - make test", 'model: "x"', "result: {executor: local}")
    for n in range(0, len(data), 5):
        yield data[:n]
    for n in range(4, len(data), 25):
        yield data[:n] + data[: len(data) - n]
        yield data[:n] + b"\0" * (len(data) - n)


@_seeds("bad")
def formats_of_other_tools() -> Iterator[bytes]:
    yield b"+++\ntitle = 'x'\n+++\n"
    yield b'{"id": "seed", "title": "x"}\n'
    yield b'---\n{"id": "seed", "title": "x"}\n---\n'
    yield b"---\n- id: seed\n- title: x\n---\n"
    yield b";;;\nid: seed\n;;;\n"
    yield b"id: seed\ntitle: x\n\nbody\n"
    yield b"# Title\n\n- [ ] one\n- [x] two\n"
    yield b"* TODO Title\n:PROPERTIES:\n:ID: seed\n:END:\n"
    yield b"Title\n=====\n\n:id: seed\n"
    yield b"<!--\nid: seed\n-->\n# x\n"
    yield b"%YAML 1.2\n---\nid: seed\ntitle: x\n---\n"
    yield b"---\n%YAML 1.1\nid: seed\n---\n"
    yield b"/* ---\nid: seed\n--- */\n"
    yield b"<?xml version='1.0'?><task id='seed'/>\n"
    yield b"---\ntask-001:\n  title: x\n  status: open\n---\n"
    yield b"---\nid: TASK-1 - Fix\ntitle: x\nassignee: []\n---\n"
    yield b"---\nid: task-1\ntitle: x\nstatus: To Do\nordinal: 1000\n---\n"
    yield b"---\nid: seed\ntitle: x\nstatus: backlog\n---\n"
    yield b"---\nlayout: post\ntitle: x\npriority: 1\n---\n"
    yield b"From: a@b\nSubject: x\n\nbody\n"
    yield b"\x89PNG\r\n\x1a\n"
    yield b"PK\x03\x04" + b"\xff" * 50
    yield b"\x1f\x8b\x08" + b"\xfe" * 50


@_seeds("bad")
def wrong_types() -> Iterator[bytes]:
    for key in ("title", "executor", "task_type", "repo", "model", "status", "priority", "review", "origin"):
        yield task("" if key == "title" else TITLE, f"{key}: [a]")
        yield task("" if key == "title" else TITLE, f"{key}: {{a: b}}")
        yield task("" if key == "title" else TITLE, f"{key}: ''")
    for key in ("tags", "verify", "depends_on", "requires", "touches", "acceptance_criteria", "command"):
        yield task(TITLE, f"{key}: {{a: b}}")
        yield task(TITLE, f"{key}:\n  - a: b")
        yield task(TITLE, f"{key}: [[a]]")
        yield task(TITLE, f"{key}: [null]")
        yield task(TITLE, f"{key}: ['']")
    for value in ("text", "[a]", "''", "1", "true"):
        yield task(TITLE, f"result: {value}")


@_seeds("bad")
def unknown_words() -> Iterator[bytes]:
    for word in ("todo", "In Progress", "DONE", "open", "completed", "wip", "x" * 5_000, "\u202edone", "dоne"):
        yield task(TITLE, f"status: {word}")
        yield task(TITLE, f"priority: {word}")
    for word in ("Worktree", "docker", "none of these", "0", "true"):
        yield task(TITLE, f"workspace: {word}")
        yield task(TITLE, f"on_unavailable: {word}")


@_seeds("bad")
def broken_quotes() -> Iterator[bytes]:
    for value in (
        '"abc',
        "'abc",
        '"a" b',
        "'a' b",
        '"C:\\Users"',
        '"\\q"',
        '"\\x1"',
        '"\\u12"',
        '"\\UFFFFFFFF"',
        '"a"b"',
    ):
        yield task(f"title: {value}")
        yield task(TITLE, f"tags:\n  - {value}")
    for value in ("[a", "[a, b", "{a: b", "[a]]", "]", "}", ", a", "[a b: c: d]"):
        yield task(TITLE, f"tags: {value}")


@_seeds("bad")
def tabs() -> Iterator[bytes]:
    for value in (
        "\ttitle: x",
        "tags:\n\t- a",
        "tags:\n  - a\n\t- b",
        "result:\n\ta: b",
        "\t",
        "\t\t# c",
        "result:\n  a: b\n\tc: d",
    ):
        yield task(TITLE, value)
        yield task(value, TITLE)
        yield task(TITLE, "priority: high", value, "model: x")


@_seeds("bad")
def indents() -> Iterator[bytes]:
    for lines in (
        "  model: x",
        "tags:\n  - a\n - b",
        "tags:\n  - a\n b: c",
        "model: x\n  review: y",
        "tags: x\n  - y: z",
        "verify:\n- a\n- b\n c: d",
        "result:\n    a: b\n  c: d",
        "text without a colon",
        "model:x",
        "- item",
        "tags:\n  a\n  - b: c",
        "? complex\n: key",
        "? [a, b]\n: key",
        "note: >2-\n x\ny",
        "model: x\n...",
        "model: x\n--- y",
        "model: x\n--- # c\nid: z",
    ):
        yield task(TITLE, lines)
        yield task(TITLE, "priority: low", lines, "review: x")


@_seeds("ok")
def block_scalars() -> Iterator[bytes]:
    for sign in ("|", ">", "|-", ">-", "|+", ">+", "|2", ">1-"):
        pad = "   " if "1" not in sign else " "
        yield task(f"title: {sign}\n{pad}two\n{pad}lines")
        yield task(TITLE, f"note: {sign}\n{pad}---\n{pad}x: y\n\n\n", "priority: low")
        yield task(TITLE, f"command: {sign}  # c\n{pad}make\n\n# comment\n\n")


@_seeds("ok")
def flow_style() -> Iterator[bytes]:
    for value in (
        "[]",
        "[ ]",
        "[a]",
        "[a, b]",
        "[ a , b ]",
        "[a,b,]",
        "['a, b', \"c\"]",
        "[a,\n  b]",
        "[\n  a\n  ]",
        "[no, 1.10]",
    ):
        yield task(TITLE, f"tags: {value}")
        yield task(TITLE, f"tags: {value}  # note", f"x: {value}")
    yield task(TITLE, "result: {}")
    yield task(TITLE, "result: {a: 1, 'b': [x, {c: d}], \"e\":\n  f}")


@_seeds("bad")
def cut_by_a_hash() -> Iterator[bytes]:
    for text in ("Fix #12", "#12", "a  #b", "see #1 and #2", "x #!", "a #é", "C #\u00a0x"):
        yield task(f"title: {text}")
        yield task(TITLE, f"verify:\n  - {text}")
        yield task(TITLE, f"command: {text}")


@_seeds("ok")
def comments() -> Iterator[bytes]:
    for text in ("C#", "a#b", "x # comment", "x   #", "x #  c", "'#12'", '"a #b" # c', "a\\#b", "x # : y"):
        yield task(
            f"title: {text}", "# a line", "  # indented", "#no space", "tags:  # here\n  # and here\n  - a # b"
        )
        yield task(TITLE, f"model: {text}")


@_seeds("bad")
def ids() -> Iterator[bytes]:
    for text in (
        "../x",
        "A",
        "a/b",
        "a..b",
        "a.",
        "a.lock",
        "con",
        "nul.txt",
        "com1",
        "-a",
        ".a",
        "_a",
        "a b",
        "é",
        "１",
        "a" * 81,
        "a\\b",
    ):
        yield task(TITLE, first=f"id: '{text}'")
        yield task(TITLE, f"depends_on: ['{text}']")


@_seeds("bad")
def other_encodings() -> Iterator[bytes]:
    for encoding in ("latin-1", "cp1252", "cp437", "mac-roman"):
        yield task("title: é").decode().encode(encoding)
        yield task(TITLE, body="prix: é\n").decode().encode(encoding)
    for text, encoding in (("日本", "shift-jis"), ("日本", "euc-jp"), ("привет", "koi8-r"), ("中文", "gb18030")):
        yield task(f"title: {text}").decode().encode(encoding)
    for raw in (b"\xc0\x80", b"\xff", b"\xfe", b"\xf8\x88\x80\x80\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"\x80"):
        yield task("title: @@").replace(b"@@", raw)
        yield task(TITLE, body="@@").replace(b"@@", raw)


@_seeds("bad")
def control_characters() -> Iterator[bytes]:
    for code in (1, 7, 8, 11, 12, 13, 14, 27, 31, 0x7F, 0x80, 0x9B, 0x9F, 0xFEFF, 0xFFFE, 0xFFFF):
        yield task(f"title: a{chr(code)}b")
        yield task(TITLE, f"# {chr(code)} ")


@_seeds("bad")
def nothing() -> Iterator[bytes]:
    for text in (
        "",
        "\n",
        "\n\n\n",
        "---",
        "---\n",
        "---\n---",
        "---\n---\n",
        "---\n\n---\n",
        "---\n# c\n---\n",
        "---\n---\n\n \n",
    ):
        yield text.encode()
        yield BOM + text.replace("\n", "\r\n").encode()


@_seeds("bad")
def numbers_out_of_bounds() -> Iterator[bytes]:
    for value in (
        "0",
        "-1",
        "nan",
        ".nan",
        "inf",
        ".inf",
        "-.inf",
        "1e999",
        "1_0",
        "0x10",
        "ten",
        "1,5",
        "1e400",
        "9" * 40,
        "١",
    ):
        yield task(TITLE, f"timeout_minutes: {value}")
        yield task(TITLE, f"max_attempts: {value}")
    for value in ("101", "1.5", "1e1", "3 times"):
        yield task(TITLE, f"max_attempts: {value}")
    for value in ("-1", "1.0", "one", "9" * 30):
        yield task(TITLE, f"attempt: {value}")
    for value in ("0", "-0.01", "$5", "5 USD", "1e1000"):
        yield task(TITLE, f"budget_usd: {value}")


@_seeds("bad")
def instants() -> Iterator[bytes]:
    for value in (
        "tomorrow",
        "2026-13-01",
        "2026-02-30",
        "22.11.2026",
        "11/22/2026",
        "1763802843",
        "2026-11-22T25:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "2026-11-22T09:14:03 -5",
        "[2026-11-22]",
        "''",
        "T",
        "2026-11-22T09:14:03.123456ZZ",
        "24:00",
        "2026",
        "P1D",
    ):
        yield task(TITLE, f"not_before: {value}")
        yield task(TITLE, f"created_at: {value}")


@_seeds(None)
def newer_formats() -> Iterator[bytes]:
    for number in ("2", "3", "99", "1000000", "1000001", "0", "-1", "x", "1.5", "''", "[2]"):
        yield task(TITLE, f"schema: {number}")
        yield task(TITLE, f"schema: {number}", "priority: sky-high", "tags: {a: b}", "timeout_minutes: soon")
        yield task(TITLE, f"schema: {number}", "status: dreaming")


@_seeds(None)
def delimiters() -> Iterator[bytes]:
    for first in (
        "---",
        "--- ",
        "---\t",
        " ---",
        "----",
        "--",
        "---x",
        "--- x",
        "...",
        "***",
        "\n---",
        "—--",
        "---\r",
    ):
        for last in ("---", "--- ", "----", "...", "---x", " ---"):
            yield f"{first}\nid: seed\ntitle: x\n{last}\nbody\n".encode()


@_seeds("ok")
def scripts_of_the_world() -> Iterator[bytes]:
    for text in (
        "日本語",
        "العربية",
        "עברית",
        "हिन्दी",
        "ไทย",
        "🚀 ship",
        "e\u0301",
        "\u00a0x",
        "ß",
        "İ",
        "ﬁ",
        "\u200bx",
        "👩‍👩‍👧",
        "\ufffd",
    ):
        yield task(f"title: {text}", body=text)
        yield task(f'title: "{text}"', f"tags: [{text}]", f"{text}: x")


@_seeds(None)
def noise() -> Iterator[bytes]:
    rng = random.Random(20261122)
    for n in range(40):
        yield rng.randbytes(n * 7)
        yield b"---\n" + bytes(rng.choices(b"abc:-[]{}#&*!|>'\"%@` \n\t,?0~\\", k=40 + n)) + b"\n---\n"
