"""T12, the plugin zoo: whatever a plugin does, the others work and the list of plugins says what is wrong.

Each animal is a distribution as pip would install it (a module and its dist-info), found by the real discovery
in a process of its own, together with a plugin that behaves. The oracle is that process's standard output.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.campaign import record, sample

REPOSITORY = Path(__file__).resolve().parents[2]
BUDGET_S = 6.0
GOOD_ANSWER = {"plugin": "good", "value": "good", "fault": ""}

DRIVER = """
import json, sys
from autopilot.config.settings import PluginSettings
from autopilot.models import ExecutorInfo, Task
from autopilot.plugins.manager import PluginManager

faults = []
manager = PluginManager(
    PluginSettings(),
    load_budget_s=float(sys.argv[1]),
    call_deadline_s=2.0,
    on_fault=lambda *fault: faults.append(fault),
)
values = dict(task=Task(id="t", title="T"), executor=ExecutorInfo(name="echo"))
rounds = [
    [dict(plugin=a.plugin, value=a.value, fault=a.fault) for a in manager.call("autopilot_dispatch", **values)]
    for _ in range(4)
]
executors = sorted(manager.executors({}))
reports = [[str(field) for field in (r.name, r.status, r.reason, r.distribution)] for r in manager.reports()]
print(json.dumps({"rounds": rounds, "executors": executors, "reports": reports, "faults": faults}))
"""

EVERY_HOOK_DRIVER = """
import json
from autopilot.config.settings import PluginSettings
from autopilot.models import Event, ExecutorInfo, Task
from autopilot.plugins.manager import PluginManager

manager = PluginManager(PluginSettings(), call_deadline_s=0.5)
values = dict(task=Task(id="t", title="T"), executor=ExecutorInfo(name="echo"), history=None)
values["event"] = Event(id="evt-1", event_type="a.b", timestamp="")
answers = {
    hook: [sorted(a.plugin for a in manager.call(hook, **values) if not a.fault) for _ in range(4)]
    for hook in ("autopilot_score", "autopilot_dispatch", "autopilot_event")
}
print(json.dumps({"answers": answers, "reports": {r.name: r.status for r in manager.reports()}}))
"""

CLI = "import sys; from autopilot.cli.main import main; sys.exit(main())"

GOOD = """
from autopilot import Executor, hookimpl

class Good(Executor):
    name = "good"
    def run(self, context): ...

@hookimpl
def autopilot_dispatch(task, executor):
    return "good"

@hookimpl
def autopilot_executors(config):
    return [Good()]
"""

GATE = """
from autopilot import hookimpl

@hookimpl
def autopilot_dispatch(task):
    {}
"""


@attrs.frozen(kw_only=True)
class Animal:
    """A plugin that misbehaves, and what is to be said of it.

    Attributes:
        answer: its own answer in the first round, None where it must not have one.
        last: the same in the last round.
    """

    source: str
    status: str
    reason: str = ""
    answer: Mapping[str, Any] | None = None
    last: Mapping[str, Any] | None = None


def gate(body: str) -> str:
    return GATE.format(body)


def fails(body: str, reason: str) -> Animal:
    fault = {"plugin": "bad", "value": None, "fault": reason}
    return Animal(source=gate(body), status="quarantined", reason=reason, answer=fault, last=fault)


def broken(source: str, reason: str) -> Animal:
    return Animal(source=source, status="broken", reason=reason)


def works(source: str, reason: str = "") -> Animal:
    answer = {"plugin": "bad", "value": "bad", "fault": ""}
    return Animal(source=source, status="loaded", reason=reason, answer=answer, last=answer)


ZOO = {
    "raises at import": broken("raise ValueError('boom')", "ValueError: boom"),
    "raises BaseException at import": broken("class X(BaseException): ...\nraise X('boom')", "X: boom"),
    "raises KeyboardInterrupt at import": broken("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "sys.exit at import": broken("import sys; sys.exit(0)", "it called sys.exit(0)"),
    "os._exit at import": broken("import os; os._exit(0)", "ended the whole process with exit code 0"),
    "crashes at import": broken("import os; os.kill(os.getpid(), 11)", "ended the whole process by signal 11"),
    "hangs at import": broken("import time; time.sleep(3600)", f"its import took more than {BUDGET_S:g} s"),
    "spins at import": broken("while True: pass", f"its import took more than {BUDGET_S:g} s"),
    "syntax error": broken("def f(:", "SyntaxError"),
    "needs what is not there": broken("import no_such_module_anywhere", "ModuleNotFoundError"),
    "reads stdin at import": broken("input()", "EOFError"),
    "slow import": works("import time; time.sleep(1)\n" + gate("return 'bad'")),
    "wrong signature": broken(gate("return 'bad'").replace("(task)", "(task, agent)"), "takes 'agent'"),
    "async hook": broken(gate("return 'bad'").replace("def ", "async def "), "is async"),
    "hook wrapper": broken(gate("yield").replace("@hookimpl", "@hookimpl(wrapper=True)"), "hook wrapper"),
    "no hooks": broken("x = 1", "it implements no hook"),
    "old API": broken(
        gate("return 'bad'").replace("autopilot_dispatch", "autopilot_dispach"),
        "autopilot_dispach is no hook of Autopilot; did you mean autopilot_dispatch?",
    ),
    "old and new API": works(
        gate("return 'bad'") + "\n@hookimpl\ndef autopilot_executor(config): ...\n",
        "autopilot_executor is no hook of Autopilot; did you mean autopilot_executors?",
    ),
    "monkey-patches json": broken(
        "import json\njson.dumps = json.loads = lambda *a, **k: 'patched'\n" + gate("return 'bad'"),
        "its import replaces json.dumps, json.loads",
    ),
    "monkey-patches open": broken(
        "import builtins\nbuiltins.open = None\n" + gate("return 'bad'"), "its import replaces builtins.open"
    ),
    "prints": works(
        "import os, sys\nprint('noise')\nos.write(1, b'noise')\nsys.__stdout__.write('noise')\n"
        + gate("print('noise'); os.system('echo noise'); return 'bad'")
    ),
    "closes our stdout": works("import os\nos.close(1)\n" + gate("os.close(1); return 'bad'")),
    "forks at import": works("import os\nos.fork()\n" + gate("return 'bad'")),
    "forks in a hook": works("import os\n" + gate("os.fork(); return 'bad'")),
    "leaves a thread": works(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n"
        + gate("return 'bad'")
    ),
    "hook raises": fails("raise ValueError('boom')", "ValueError: boom"),
    "hook raises BaseException": fails("raise BaseException('boom')", "BaseException: boom"),
    "hook calls sys.exit": fails("import sys; sys.exit(3)", "it called sys.exit(3)"),
    "hook calls os._exit": fails("import os; os._exit(0)", "it called os._exit(0)"),
    "hook returns nonsense": fails("return object()", "it returned object and not str or Reason"),
    "hook hangs": Animal(
        source="import time\n" + gate("time.sleep(3600)"), status="quarantined", reason="autopilot_dispatch hung"
    ),
    "hook spins": Animal(
        source=gate("\n    while True: pass"), status="quarantined", reason="autopilot_dispatch hung"
    ),
    "executors raise": Animal(
        source=gate("return 'bad'") + "\n@hookimpl\ndef autopilot_executors(config): raise SystemExit(3)\n",
        status="disabled",
        reason="it called sys.exit(3)",
        answer=works("").answer,
        last=works("").answer,
    ),
    "executors call os._exit": Animal(
        source="from os import _exit\n"
        + gate("return 'bad'")
        + "\n@hookimpl\ndef autopilot_executors(config): _exit(0)\n",
        status="disabled",
        reason="it called os._exit(0)",
        answer=works("").answer,
        last=works("").answer,
    ),
    "executors are nonsense": Animal(
        source=gate("return 'bad'") + "\n@hookimpl\ndef autopilot_executors(config): return ['echo', 7]\n",
        status="disabled",
        reason="the executor's name None is not made of",
        answer=works("").answer,
        last=works("").answer,
    ),
    "odd object": works(
        gate("return 'bad'")
        .replace("def autopilot_dispatch(task)", "def autopilot_dispatch(self, task)")
        .replace(
            "@hookimpl", "class Odd:\n  __hash__ = None\n  def __eq__(self, other): raise ValueError\n  @hookimpl"
        )
        .replace("def autopilot", "  def autopilot")
        .replace("\n  @hookimpl\n  def", "\n  @hookimpl\n  def")
        + "\nimport sys\nsys.modules[__name__] = Odd()\n"
    ),
}


class Site:
    """A folder of installed distributions, and a process that uses them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / "site"
        self.path.mkdir()

    def install(self, name: str, source: str, *, distribution: str = "", version: str = "1.0") -> None:
        distribution = distribution or f"zoo-{name}"
        stem = distribution.replace("-", "_")
        for old in self.path.glob(f"{stem}-*.dist-info"):
            shutil.rmtree(old)
        info = self.path / f"{stem}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[autopilot.plugins]\n{name} = {stem}_module\n")
        (self.path / f"{stem}_module.py").write_text(textwrap.dedent(source))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(self.path)]),
            "XDG_CACHE_HOME": str(self._folder / "cache"),
        }
        return subprocess.run(
            [sys.executable, *arguments],
            input="ours",
            capture_output=True,
            text=True,
            env=environ,
            timeout=240,
            check=False,
        )

    def drive(self) -> dict[str, Any]:
        done = self.run("-c", DRIVER, str(BUDGET_S))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 1, done.stdout
        told: dict[str, Any] = json.loads(done.stdout)
        return told


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.install("good", GOOD)
    return made


def judge(told: Mapping[str, Any], name: str, animal: Animal) -> None:
    for number, expected in ((0, animal.answer), (-1, animal.last)):
        answers = {answer["plugin"]: answer for answer in told["rounds"][number]}
        assert answers["good"] == GOOD_ANSWER
        assert answers.get(name) == (expected and {**expected, "plugin": name, "value": expected["value"]})
    assert "good" in told["executors"]
    reports = {report[0]: report for report in told["reports"]}
    assert reports["good"][1:3] == ["loaded", ""]
    assert reports[name][1] == animal.status
    assert animal.reason in reports[name][2]
    assert bool(reports[name][2]) == bool(animal.reason)
    quarantined = [fault[0] for fault in told["faults"]].count(name)
    assert quarantined == (animal.status == "quarantined")


@pytest.mark.parametrize("shape", sample(ZOO, 14))
def test_one_animal_beside_one_that_behaves(shape: str, site: Site) -> None:
    """Each for itself; all of them together are in the whole zoo."""
    site.install("bad", ZOO[shape].source)
    judge(site.drive(), "bad", ZOO[shape])


def test_a_second_start_says_the_same(site: Site) -> None:
    """The first start tries plugins in children; the second one relies on what it found."""
    for number, shape in enumerate(("prints", "raises at import", "os._exit at import", "hook raises", "old API")):
        site.install(f"bad-{number}", ZOO[shape].source)
    assert site.drive() == site.drive()


def test_two_of_one_name_are_both_named_and_not_used(site: Site) -> None:
    site.install("twin", gate("return 'twin'"), distribution="zoo-one")
    site.install("twin", gate("return 'twin'"), distribution="zoo-two")
    told = site.drive()
    assert told["rounds"] == [[GOOD_ANSWER]] * 4
    twins = [report for report in told["reports"] if report[0] == "twin"]
    assert [report[3] for report in twins] == ["zoo-one", "zoo-two"]
    for report in twins:
        assert report[1] == "conflict"
        assert "zoo-one 1.0, zoo-two 1.0" in report[2]


FAULTS = {
    "raises": "raise ValueError('boom')",
    "raises-base": "raise BaseException('boom')",
    "exits": "import sys; sys.exit(0)",
    "os-exits": "import os; os._exit(0)",
    "forks": "import os; os.fork(); return None",
    "nonsense": "return object()",
    "hangs": "import time; time.sleep(3600)",
}
EVERY_HOOK = """
from autopilot import Term, hookimpl

@hookimpl
def autopilot_score(task):
    {score}

@hookimpl
def autopilot_dispatch(task):
    {gate}

@hookimpl
def autopilot_event(event):
    {sink}
"""


def test_every_hook_of_the_dispatcher_bears_every_fault(site: Site) -> None:
    """In the dispatcher's own process: scores, gates and sinks of all others are heard all the same."""
    term = "return Term(name='fine', value=1.0, detail='')"
    site.install("fine", EVERY_HOOK.format(score=term, gate="return 'fine'", sink="return 'heard'"))
    for name, body in FAULTS.items():
        site.install(name, EVERY_HOOK.format(score=body, gate=body, sink=body))
    done = site.run("-c", EVERY_HOOK_DRIVER)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    good = {"autopilot_score": ["fine"], "autopilot_dispatch": ["fine", "good"], "autopilot_event": ["fine"]}
    assert told["answers"] == {hook: [names] * 4 for hook, names in good.items()}
    assert {name for name, status in told["reports"].items() if status == "quarantined"} == FAULTS.keys() - {
        "forks"
    }
    assert told["reports"]["fine"] == told["reports"]["good"] == told["reports"]["forks"] == "loaded"
    record("T12", "hooks", plugins=len(FAULTS), hooks=len(good), cells=len(FAULTS) * len(good))


@pytest.mark.slow
def test_the_whole_zoo_at_once(site: Site) -> None:
    names = {f"animal-{number:02}": animal for number, animal in enumerate(ZOO.values())}
    for name, animal in names.items():
        site.install(name, animal.source)
    told = site.drive()
    for name, animal in names.items():
        judge(told, name, animal)
    statuses = Counter(animal.status for animal in ZOO.values())
    record("T12", "zoo", animals=len(ZOO), **statuses)


def test_the_list_of_plugins_tells_it_on_the_command_line(site: Site, tmp_path: Path) -> None:
    for number, shape in enumerate(("os._exit at import", "prints", "old API", "monkey-patches json")):
        site.install(f"bad-{number}", ZOO[shape].source)
    done = site.run("-c", CLI, "--root", str(tmp_path / ".autopilot"), "plugins", "list", "-o", "json")
    assert done.returncode == 0, done.stderr
    told = {row["name"]: row for row in json.loads(done.stdout)}
    assert {
        name: row["status"] for name, row in told.items() if name in ("good", *(f"bad-{n}" for n in range(4)))
    } == {
        "good": "loaded",
        "bad-0": "broken",
        "bad-1": "loaded",
        "bad-2": "broken",
        "bad-3": "broken",
    }
    assert told["good"]["hooks"] == ["autopilot_dispatch", "autopilot_executors"]
    assert (told["bad-0"]["distribution"], told["bad-0"]["version"]) == ("zoo-bad-0", "1.0")
    assert "exit code 0" in told["bad-0"]["reason"]


CHECKER = """
from autopilot import Verdict, hookimpl

given = {}

def configure(options):
    given.update(options)

@hookimpl
def autopilot_verify(task, attempt):
    print("noise")
    return Verdict(name="checker", ok=given.get("word") == "from the config", detail=repr(given))
"""
SCORER = """
from autopilot import hookimpl

@hookimpl
def autopilot_score(task):
    raise SystemExit("no score")

@hookimpl
def autopilot_event(event):
    raise RuntimeError("no sink")
"""


def test_a_tick_goes_on_beside_the_zoo(tmp_path: Path) -> None:
    pytest.importorskip("autopilot_adapter_local")
    site, root = Site(tmp_path), tmp_path / ".autopilot"
    site.install("checker", CHECKER)
    site.install("scorer", SCORER)
    site.install("hanging-gate", ZOO["hook hangs"].source)
    for number, shape in enumerate(
        ("os._exit at import", "prints", "old API", "executors raise", "sys.exit at import")
    ):
        site.install(f"bad-{number}", ZOO[shape].source.replace("return 'bad'", "return None"))
    root.mkdir(mode=0o700)
    (root / "config.yaml").write_text("durability: process\nplugins:\n  checker: {word: from the config}\n")

    (decision,) = do(site, root, "one")
    assert (decision["task_id"], decision["executor"], decision["outcome"]) == ("one", "local", "succeeded")
    task = autopilotctl(site, root, "task", "show", "one")
    assert (task["status"], task["result"]["verified"]) == ("done", True)
    named = payloads(site, root, "plugin.quarantined")
    assert {payload["plugin"] for payload in named} == {"hanging-gate", "scorer"}


def test_another_version_of_a_plugin_is_an_event_before_the_next_attempt(tmp_path: Path) -> None:
    pytest.importorskip("autopilot_adapter_local")
    site, root = Site(tmp_path), tmp_path / ".autopilot"
    for name in ("gate", "other"):
        site.install(name, gate("return None"))
    do(site, root, "one")
    assert payloads(site, root, "plugin.changed") == []
    site.install("gate", gate("return None"), version="2.0")
    do(site, root, "two")
    do(site, root, "three")
    changed = {"plugin": "gate", "distribution": "zoo-gate", "was": "1.0", "version": "2.0"}
    assert payloads(site, root, "plugin.changed") == [changed]
    lines = events(site, root)
    types = [line["event_type"] for line in lines]
    claims = [
        line["trace_id"] for line in lines[types.index("plugin.changed") :] if line["event_type"] == "task.claimed"
    ]
    assert claims == ["two", "three"]


def autopilotctl(site: Site, root: Path, *arguments: str) -> Any:
    done = site.run("-c", CLI, "--root", str(root), *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def do(site: Site, root: Path, task_id: str) -> Any:
    """Have a task done by a tick."""
    autopilotctl(site, root, "task", "create", "--id", task_id, "--title", task_id, "--command", "true")
    return autopilotctl(site, root, "dispatch", "tick")


def events(site: Site, root: Path) -> list[dict[str, Any]]:
    told = site.run("-c", CLI, "--root", str(root), "events", "tail", "-n", "100", "-o", "ndjson").stdout
    return [json.loads(line) for line in told.splitlines()]


def payloads(site: Site, root: Path, event_type: str) -> list[dict[str, Any]]:
    return [line["payload"] for line in events(site, root) if line["event_type"] == event_type]
