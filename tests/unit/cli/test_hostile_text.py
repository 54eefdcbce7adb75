"""Whatever tasks, agents, plugins and paths are called or say: no command hands a terminal anything but text."""

from __future__ import annotations

import itertools
import json
import os
import sys
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from autopilot.cli.main import cli as program
from autopilot.events.channels import Channels
from autopilot.events.log import EventLog
from autopilot.models import AttemptResult, EventDraft, Outcome, OutcomeKind, Verdict
from autopilot.models.wire import dump
from autopilot.system.clock import SystemClock
from tests.campaign import FULL

Cli = Callable[..., Any]

# ECMA-48 and what terminals made of it, seven bits wide and eight.
SEQUENCES = [
    *(chr(code) for code in range(0x20) if chr(code) not in "\t\n"),
    *(chr(code) for code in range(0x7F, 0xA0)),
    "\x1b[2J\x1b[31m\x1b[?1049h\x1b[6n\x1b[5;1H",  # CSI: erase, colour, another screen, report, move
    "\x9b2J\x9b31m",
    "\x1b]0;title\x07\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\",  # OSC: title, link
    "\x1b]52;c;ZXZpbA==\x07\x9d52;c;ZXZpbA==\x9c",  # OSC 52: the clipboard
    '\x1bP$q"p\x1b\\\x90+q544e\x9c',  # DCS: asks the terminal to type an answer
    "\x1b_G\x1b\\\x9fG\x9c",  # APC
    "\x1b^p\x1b\\\x9ep\x9c",  # PM
    "\x1bXs\x1b\\\x98s\x9c",  # SOS
    "\x1bc\x1b#8\x1b(0\x1bN\x8e\x84\x85\x88\x8d",  # reset, test pattern, character sets, index, next line
    "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c",  # who reads what in which order
    "\u200b\u200c\u200d\u2060\u2061\u2064\ufeff\u00ad\u180e\u206a\u206f",  # unseen
    "\u2028\u2029\ufff9\ufffb\U000e0041\U000e007f",
]
EVIL = "a" + "".join(SEQUENCES) + "z"
IN_NAMES = "".join(one for one in EVIL if one not in "\0/")
HIDDEN = set("\u00ad\u061c\u180e\ufeff") | {chr(code) for code in (*range(0x200B, 0x2010), *range(0x2060, 0x2070))}


def harmless(text: str) -> bool:
    """Whether a terminal shows this text as it is, in order, and does nothing else."""
    return not any(
        unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} or one in HIDDEN or "\u202a" <= one <= "\u202e"
        or "\ufff9" <= one <= "\ufffb" or (one >= "\U000e0000" and one <= "\U000e007f")
        for one in text if one not in "\t\n"
    )  # fmt: skip


BROKEN = "b\x1b[31m\x9b\u202e"
PLUGIN = f"""
from autopilot import Executor, ExecutorInfo, Health, hookimpl

EVIL = {EVIL!r}

class Evil(Executor):
    name = "evil"
    capabilities = frozenset({{"code"}})

    def describe(self):
        return ExecutorInfo(name=self.name, capabilities=self.capabilities, quota_pool=EVIL, model=EVIL)

    def accepts(self, task):
        return EVIL

    def probe(self):
        return Health(ok=False, reason=EVIL, hint=EVIL, version=EVIL, warning=EVIL)

    def run(self, context):
        raise RuntimeError(EVIL)


@hookimpl
def autopilot_executors(config):
    return [Evil()]


@hookimpl
def autopilot_score(task, executor, history):
    raise RuntimeError(EVIL)
"""


def install(folder: Path, name: str, point: str, code: str) -> None:
    """An installed distribution with one plugin."""
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text(code, encoding="utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    version = EVIL.replace("\n", "").replace("\r", "")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0{version}\n")
    (info / "entry_points.txt").write_text(f"[autopilot.plugins]\n{point} = {module}\n", encoding="utf-8")


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that says odd things, and one that breaks with odd words, under an odd name."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    install(folder, "hostile-plugin", "evil", PLUGIN)
    install(folder, "broken-plugin", BROKEN, f"raise RuntimeError({EVIL!r})")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield
    for name in ("hostile_plugin", "broken_plugin"):
        sys.modules.pop(name, None)


def quoted(text: str) -> str:
    """A YAML scalar that means exactly this."""
    return '"' + "".join(f"\\U{ord(one):08x}" for one in text if one != "\0") + '"'


FIELDS = ("title", "task_type", "executor", "command", "repo", "model", "review", "origin", "strange")
LISTS = ("tags", "verify", "touches", "acceptance_criteria")


def hostile_task(task_id: str, **more: str) -> str:
    values = {name: quoted(EVIL) for name in FIELDS} | {name: f"[{quoted(EVIL)}]" for name in LISTS} | more
    lines = [f"{name}: {value}" for name, value in values.items() if value]
    return f"---\nid: {task_id}\n" + "\n".join(lines) + f"\n---\n{EVIL.replace(chr(0), '')}\n"


RESULT = json.dumps(
    dict.fromkeys(("executor", "outcome", "branch", "reason"), "a\x1b]52;c;x\x07\x9b2J\u202e\u2028")
)


@pytest.fixture
def root(project: Path, monkeypatch: pytest.MonkeyPatch, plugins: None, write_task: Any) -> Path:
    """A root in which all that can be hostile is, below a folder whose name is."""
    folder = project / f"p{IN_NAMES}"[:60]
    folder.mkdir()
    monkeypatch.chdir(folder)
    root = folder / ".autopilot"
    (root / "tasks").mkdir(parents=True)
    names = f"[evil, {quoted(BROKEN)}, local]"
    (root / "config.yaml").write_text(f"plugins: {{only: {names}}}\nlimits: {{grace_s: 0.2}}\n")
    (root / "config.yaml").open("a").write(f"executors: {{evil: {{odd: {quoted(EVIL)}}}}}\n")
    tasks = {
        "prose": hostile_task("prose", command="", origin="", repo="", executor="evil"),
        "shell": hostile_task("shell", repo=""),
        "ended": hostile_task("ended", status="done", result=RESULT),
        "stuck": hostile_task("stuck", status="blocked", result=RESULT, depends_on="[prose]"),
        "bad-yaml": f"---\n{EVIL}: [\n---\n",
        "bad-value": f"---\ntitle: x\npriority: {quoted(EVIL)}\nexecutor: [1]\n---\n",
        f"n{IN_NAMES}"[:80]: "---\ntitle: x\n---\n",
        "caf\udcff": "---\ntitle: x\n---\n",
    }
    for name, text in tasks.items():
        (root / "tasks" / f"{name}.md").write_text(text, encoding="utf-8", errors="surrogatepass")
    ran(root / "runs/ended/1")
    with contextless_log(root) as log:
        log.append([EventDraft(event_type="task.note", payload={"message": EVIL, EVIL: [EVIL]})], trace_id=EVIL)
        Channels(log, clock=SystemClock()).publish("c", EVIL, None)
        forge(log, root)
    return root


class contextless_log:
    """The root's log, for the time of a block."""

    def __init__(self, root: Path) -> None:
        self._log = EventLog(str(root / "events"), durability="process")

    def __enter__(self) -> EventLog:
        return self._log

    def __exit__(self, *_: object) -> None:
        self._log.close()


def forge(log: EventLog, root: Path) -> None:
    """Lines that somebody else wrote, with control characters as they are where JSON lets them."""
    fields: Mapping[str, str] = {
        name: "".join(one for one in EVIL if ord(one) >= 0x7F)
        for name in ("id", "event_type", "timestamp", "source", "trace_id", "prev")
    }
    with (root / "events" / "events.ndjson").open("a", encoding="utf-8") as file:
        file.write(json.dumps({**fields, "payload": {"message": EVIL}}, ensure_ascii=False) + "\n")
        file.write(f"no JSON{EVIL}\n".replace("\n", "") + "\n")


def ran(folder: Path) -> None:
    """An attempt that said odd things."""
    folder.mkdir(parents=True)
    for name in ("stdout.log", "stderr.log"):
        (folder / name).write_bytes(EVIL.encode() + b"\x9b2J\xff\xc3" + b"\r\n" + EVIL.encode())
    outcome = Outcome(kind=OutcomeKind.FAILED, message=EVIL, hint=EVIL, model=EVIL, session_id=EVIL)
    now = datetime(2026, 11, 22, 9, tzinfo=UTC)
    result = AttemptResult(
        task_id="ended", token=1, executor=EVIL, outcome=outcome, started_at=now, ended_at=now, duration_s=1.0,
        verdicts=(Verdict(name=EVIL, ok=False, detail=EVIL),), changed=(EVIL,), violations=(EVIL,),
    )  # fmt: skip
    (folder / "result.json").write_text(json.dumps(dump(result)))


SHOWING: Mapping[tuple[str, ...], tuple[tuple[str, ...], ...]] = {
    ("init",): ((),),
    ("doctor",): ((),),
    ("task", "list"): ((), ("--status", "invalid")),
    ("task", "show"): tuple(
        (name,) for name in ("prose", "shell", "ended", "stuck", "bad-yaml", "bad-value", EVIL)
    ),
    ("task", "status"): ((), ("ended",), (f"n{IN_NAMES}"[:80],)),
    ("task", "why"): tuple((name,) for name in ("prose", "shell", "ended", "stuck", "bad-yaml")),
    ("why",): (("prose",), (EVIL,)),
    ("task", "logs"): (("ended",), ("ended", "--stderr"), ("ended", "--attempt", "9"), ("prose",)),
    ("task", "wait"): (("ended",), ("prose", "--timeout", "0.1")),
    ("dispatch", "tick"): (("--dry-run",),),
    ("route", "explain"): (("prose",), ("shell",)),
    ("stats",): ((),),
    ("executors", "list"): ((),),
    ("executors", "probe"): ((), (EVIL,)),
    ("plugins", "list"): ((),),
    ("events", "tail"): ((), ("--task", EVIL), ("--type", EVIL)),
    ("events", "verify"): ((), ("--anchor", EVIL)),
    ("events", "subscribe"): (("c",),),
    ("config", "show"): ((), ("--origin",)),
    ("completion",): (("bash",), (EVIL,)),
}
DOING = {
    *(("task", name) for name in ("create", "edit", "cancel", "retry")),
    *(("dispatch", name) for name in ("run", "pause", "resume", "drain")),
    ("events", "gc"),
    ("events", "publish"),
    ("executors", "reset"),
    ("demo",),
}
"""Commands that show nothing but what they did; those of them that repeat a text of somebody's are below."""

TOLD = {
    *((command, ()) for command in (("task", "list"), ("executors", "list"), ("executors", "probe"))),
    *((command, ()) for command in (("plugins", "list"), ("events", "tail"), ("config", "show"), ("doctor",))),
    (("events", "subscribe"), ("c",)),
    *((("task", "show"), (name,)) for name in ("prose", "shell", "ended", "stuck", "bad-value")),
}
"""Calls whose answer cannot do without something hostile."""

FORMLESS = {("task", "logs"), ("completion",)}
FORMS = ("table", "json", "ndjson", "name") if FULL else ("table", "json")
RAW = {("events", "tail", "ndjson"), ("completion",)}
"""The log's lines as they are (to a pipe), and a shell's script."""


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        yield path
        return
    ctx = click.Context(command)
    for name in command.list_commands(ctx):
        inner = command.get_command(ctx, name)
        assert inner is not None
        yield from leaves(inner, (*path, name))


def test_no_command_is_forgotten() -> None:
    assert set(leaves(program)) == set(SHOWING) | DOING


DOINGS: tuple[tuple[str, ...], ...] = (
    ("task", "create", "--id", EVIL, "--title", "x"),
    ("task", "create", "--title", EVIL, "--command", "true"),
    ("task", "create", "-F", "-"),
    ("task", "edit", "prose", "--set", f"priority={EVIL}"),
    ("task", "edit", EVIL, "--set", "priority=high"),
    ("task", "cancel", EVIL),
    ("task", "retry", "ended"),
    ("task", "cancel", "shell"),
    ("events", "publish", EVIL, EVIL),
    ("events", "publish", "c", EVIL, "-o", "json"),
    ("events", "gc", "--older-than", EVIL),
    ("executors", "reset", EVIL),
    ("dispatch", "tick"),
    ("no-such-command", EVIL),
    (EVIL,),
    ("task", "list", f"--{EVIL}"),
    ("task", "list", "-o", EVIL),
    ("--root", EVIL, "task", "list"),
)


@pytest.mark.usefixtures("root")
def test_every_command_hands_out_text_only(cli: Cli) -> None:
    """One test, because making the root takes longer than all of the commands."""
    for command, calls in SHOWING.items():
        forms = [("-o", form) for form in FORMS] if command not in FORMLESS else [()]
        for arguments, form in itertools.product(calls, forms):
            _show(cli, command, arguments, form)
    for doing in DOINGS:
        said = cli(*plain(doing), stdin=f"---\ntitle: x\nstatus: {EVIL}\n---\n".encode())
        assert harmless(said.out), (doing, said.out)
        assert harmless(said.err), (doing, said.err)


def _show(cli: Cli, command: tuple[str, ...], arguments: tuple[str, ...], form: tuple[str, ...]) -> None:
    said = cli(*command, *plain(arguments), *form)
    place = (command, arguments, form, said)
    assert said.code in (0, 1, 2, 3, 4, 5, 124), place
    assert harmless(said.err), place
    assert (*command, *form[1:]) in RAW or harmless(said.out), place
    repeated = any(escape in said.out + said.err for escape in ("\\x1b", "\\u001b"))
    asked = (command, arguments) not in TOLD or form[1:] == ("name",)
    assert repeated or asked, place
    if form[1:] == ("json",) and said.out:
        json.loads(said.out)
    if form[1:] == ("ndjson",):
        assert all(json.loads(line) is not None for line in said.out.split("\n") if line), place


def plain(words: tuple[str, ...]) -> list[str]:
    """As an argument can be: without NUL."""
    return [word.replace("\0", "") for word in words]


@pytest.mark.usefixtures("root")
def test_the_test_would_see_it(cli: Cli, root: Path) -> None:
    assert not harmless(EVIL)
    assert not any(harmless(one) for one in SEQUENCES)
    (root / "runs/ended/1/stdout.log").write_text(EVIL)
    assert not harmless(cli("task", "logs", "ended", "--raw").out)
    shown = cli("task", "show", "ended").out
    assert "\\x1b]52;c" in shown
    assert "\\u202e" in shown


def test_the_environments_root_is_shown_as_text(cli: Cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOPILOT_ROOT", str(project / IN_NAMES[:80]))
    for command in (("doctor",), ("task", "list"), ("init",), ("config", "show", "--origin")):
        said = cli(*command)
        assert harmless(said.out + said.err), said
    assert os.path.isdir(project / IN_NAMES[:80])
