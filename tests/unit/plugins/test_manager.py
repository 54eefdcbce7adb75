"""Plugins are loaded when they are needed and asked one by one; a bad one harms itself only."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from autopilot import hookimpl
from autopilot.config.settings import ExecutorSettings, PluginSettings
from autopilot.errors import PluginError, SetupError
from autopilot.models import ExecutorInfo, Task, Term
from autopilot.plugins.answers import Answer
from autopilot.plugins.loading import Loader
from autopilot.plugins.manager import PluginManager, PluginReport, PluginStatus
from autopilot.plugins.trial import Trial, Trials

TASK = Task(id="t", title="T")
INFO = ExecutorInfo(name="echo")
EXECUTOR = """
from autopilot import Executor, ExecutorInfo, Health
class Made(Executor):
    name = "made"
    capabilities = frozenset({"code"})
    def run(self, context): ...
"""

MakeManager = Callable[..., PluginManager]


@pytest.fixture
def faults() -> list[tuple[str, str, str]]:
    return []


@pytest.fixture
def manage(cache_folder: str, faults: list[tuple[str, str, str]]) -> Iterator[MakeManager]:
    made = []

    def make(*refs: Any, settings: PluginSettings | None = None, **options: Any) -> PluginManager:
        options = {"trials": False, "call_deadline_s": 60.0, "load_budget_s": 60.0, **options}
        manager = PluginManager(
            settings or PluginSettings(),
            found=refs,
            on_fault=lambda *fault: faults.append(fault),
            cache_folder=cache_folder,
            **options,
        )
        made.append(manager)
        return manager

    yield make
    for manager in made:
        manager.close()


def report_of(manager: PluginManager, name: str = "plugin") -> PluginReport:
    (report,) = [one for one in manager.reports() if one.name == name]
    return report


def gate(answer: str, options: str = "") -> str:
    return f"@hookimpl({options})\ndef autopilot_dispatch(task): return {answer}\n"


def ask_gate(manager: PluginManager) -> list[Answer]:
    return manager.call("autopilot_dispatch", task=TASK, executor=INFO)


# ---------------------------------------------------------------------- asking


def test_answers_come_in_a_fixed_order_with_the_cores_own_last(make_plugin: Any, manage: MakeManager) -> None:
    own = ModuleType("own")
    vars(own)["autopilot_dispatch"] = hookimpl(_own_gate)
    manager = manage(
        make_plugin(gate("'z'"), name="z"),
        make_plugin(gate("'late'", "trylast=True"), name="a-late"),
        make_plugin(gate("'a'"), name="a"),
        make_plugin(gate("'first'", "tryfirst=True"), name="y-first"),
        builtins=[("a-own", own)],
    )
    assert [answer.plugin for answer in ask_gate(manager)] == ["y-first", "a", "z", "a-own", "a-late"]
    assert [ref.name for ref in manager.refs("autopilot_dispatch")] == ["y-first", "a", "z", "a-late"]


def _own_gate(task: Any) -> str:
    return "own"


def test_none_is_no_answer_and_parameters_may_be_left_out(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(
        make_plugin("@hookimpl\ndef autopilot_dispatch(): return None", name="none"),
        make_plugin(
            "@hookimpl\ndef autopilot_dispatch(executor, task): return executor.name + task.id", name="both"
        ),
    )
    assert ask_gate(manager) == [Answer(plugin="both", value="echot")]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("raise SystemExit(3)", "it called sys.exit(3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise BaseException('x')", "BaseException: x"),
        ("return 7", "it returned int and not str or Reason"),
        ("return True", "it returned bool and not str or Reason"),
        ("return ''", "it refused without a reason"),
    ],
)
def test_a_fault_is_told_and_the_others_answer(
    body: str, fault: str, make_plugin: Any, manage: MakeManager
) -> None:
    manager = manage(
        make_plugin(f"@hookimpl\ndef autopilot_dispatch(): {body}", name="bad"),
        make_plugin(gate("'good'"), name="good"),
    )
    bad, good = ask_gate(manager)
    assert (bad.plugin, bad.value, bad.fault) == ("bad", None, fault)
    assert good == Answer(plugin="good", value="good")


def test_a_hang_abstains_is_quarantined_and_named(
    make_plugin: Any, manage: MakeManager, faults: list[tuple[str, str, str]]
) -> None:
    manager = manage(
        make_plugin(f"import time\n{gate('time.sleep(600)')}", name="hangs"),
        make_plugin(gate("'good'"), name="good"),
    )
    answers = manager.call("autopilot_dispatch", deadline_s=0.3, task=TASK, executor=INFO)
    assert [answer.plugin for answer in answers] == ["good"]
    assert faults == [("hangs", "autopilot_dispatch", "autopilot_dispatch hung: it took more than 0.3 s")]
    assert report_of(manager, "hangs").status is PluginStatus.QUARANTINED
    assert [answer.plugin for answer in ask_gate(manager)] == ["good"]
    assert report_of(manager, "good").status is PluginStatus.LOADED


SCORER = """
from autopilot import Term
calls = []
@hookimpl
def autopilot_score(task):
    calls.append(1)
    return Term(name="x", value=1.0) if task == "good" else 1 / 0
@hookimpl
def autopilot_dispatch(task): return "gate"
"""


def score(manager: PluginManager, task: str) -> list[Answer]:
    return manager.call("autopilot_score", task=task, executor=INFO, history={})


def test_three_faults_in_a_row_quarantine(
    make_plugin: Any, manage: MakeManager, faults: list[tuple[str, str, str]]
) -> None:
    ref = make_plugin(SCORER)
    manager = manage(ref)
    for task in ("bad", "bad", "good", "bad", "bad"):
        assert len(score(manager, task)) == 1
    assert not faults
    assert score(manager, "bad")[0].fault == "ZeroDivisionError: division by zero"
    assert [fault[:2] for fault in faults] == [("plugin", "autopilot_score")]
    assert score(manager, "good") == []
    assert len(sys.modules[ref.value].calls) == 6
    report = report_of(manager)
    assert report.status is PluginStatus.QUARANTINED
    assert "autopilot_score failed 3 times in a row: ZeroDivisionError" in report.reason
    assert report.hooks == ("autopilot_dispatch", "autopilot_score")


def test_a_gate_that_fails_does_not_become_a_gate_that_is_open(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(make_plugin(gate("1 / 0")))
    for _ in range(5):
        (answer,) = ask_gate(manager)
        assert answer.fault
    assert report_of(manager).status is PluginStatus.QUARANTINED


def test_a_quarantined_scorer_goes_on_as_a_gate(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(make_plugin(SCORER))
    for _ in range(3):
        score(manager, "bad")
    assert score(manager, "bad") == []
    assert ask_gate(manager) == [Answer(plugin="plugin", value="gate")]


def test_a_listener_may_ask_hooks_itself(make_plugin: Any, cache_folder: str) -> None:
    sink = make_plugin("@hookimpl\ndef autopilot_event(event): raise ValueError(event)")
    seen: list[str] = []

    def listener(name: str, hook: str, reason: str) -> None:
        seen.append(name)
        manager.call("autopilot_event", event="plugin.quarantined")

    manager = PluginManager(
        PluginSettings(), found=[sink], on_fault=listener, trials=False, cache_folder=cache_folder
    )
    for _ in range(5):
        manager.call("autopilot_event", event="x")
    assert seen == ["plugin"]
    manager.close()


def test_a_check_of_the_callers_own(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(make_plugin("@hookimpl\ndef autopilot_store(url): return url"))
    check = "it is no store".replace
    answers = manager.call("autopilot_store", check=lambda value: check("x", "x"), url="u", config={})
    assert answers == [Answer(plugin="plugin", fault="it is no store")]


def test_the_first_answer_wins_and_no_other_is_asked(make_plugin: Any, manage: MakeManager) -> None:
    late = make_plugin("calls = []\n@hookimpl\ndef autopilot_store(url): calls.append(url)", name="c")
    manager = manage(
        make_plugin("@hookimpl\ndef autopilot_store(url): return None", name="a"),
        make_plugin("@hookimpl\ndef autopilot_store(url): return [url]", name="b"),
        late,
    )
    assert manager.first("autopilot_store", url="u", config={}) == Answer(plugin="b", value=["u"])
    assert sys.modules[late.value].calls == []
    assert manager.first("autopilot_prompt", task=TASK, attempt={}) is None


def test_a_failure_of_the_first_is_an_error(make_plugin: Any, manage: MakeManager) -> None:
    source = (
        "@hookimpl\ndef autopilot_store(url):\n    from autopilot import SetupError\n    raise SetupError('down')"
    )
    with pytest.raises(SetupError, match="down"):
        manage(make_plugin(source)).first("autopilot_store", url="u", config={})
    with pytest.raises(PluginError, match="plugin plugin failed in autopilot_store: ZeroDivisionError"):
        manage(make_plugin("@hookimpl\ndef autopilot_store(url): 1/0")).first(
            "autopilot_store", url="u", config={}
        )


def test_stores_are_made_in_the_callers_thread(make_plugin: Any, manage: MakeManager) -> None:
    source = "import threading\n@hookimpl\ndef {}: return threading.get_ident()"
    store = manage(make_plugin(source.format("autopilot_store(url)")))
    answer = store.first("autopilot_store", url="u", config={})
    assert answer is not None and answer.value == threading.get_ident()
    event = manage(make_plugin(source.format("autopilot_event(event)")))
    (told,) = event.call("autopilot_event", event=1)
    assert told.value != threading.get_ident()


def test_what_plugins_print_is_not_on_stdout(
    make_plugin: Any, manage: MakeManager, capfd: pytest.CaptureFixture[str]
) -> None:
    manager = manage(make_plugin("print('at import')\n" + gate("print('in a hook')")))
    ask_gate(manager)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.splitlines() == ["at import", "in a hook"]


def test_ctrl_c_is_not_swallowed_for_a_builtin(manage: MakeManager) -> None:
    own = ModuleType("own")

    @hookimpl
    def autopilot_dispatch(task: Any) -> None:
        raise KeyboardInterrupt

    vars(own)["autopilot_dispatch"] = autopilot_dispatch
    with pytest.raises(KeyboardInterrupt):
        ask_gate(manage(builtins=[("own", own)]))


# ---------------------------------------------------------------------- loading


def test_nothing_is_imported_before_a_hook_is_needed(make_plugin: Any, manage: MakeManager) -> None:
    ref = make_plugin(gate("'x'"))
    manager = manage(ref)
    assert ref.value not in sys.modules
    ask_gate(manager)
    assert ref.value in sys.modules


def test_a_trial_that_knows_the_hooks_saves_the_import(
    make_plugin: Any, manage: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = make_plugin(
        SCORER.replace("autopilot_dispatch", "helper").replace("@hookimpl\ndef helper", "def helper")
    )
    monkeypatch.setattr(
        Trials, "judge", lambda self, refs: {ref: Trial(hooks=frozenset({"autopilot_score"})) for ref in refs}
    )
    manager = manage(scorer, trials=True)
    manager.call("autopilot_event", event=1)
    assert scorer.value not in sys.modules
    assert len(score(manager, "good")) == 1
    assert scorer.value in sys.modules


def test_for_a_gate_every_plugin_is_loaded_whatever_the_trial_found(
    make_plugin: Any, manage: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = make_plugin(gate("'closed'"))
    monkeypatch.setattr(Trials, "judge", lambda self, refs: {ref: Trial(hooks=frozenset()) for ref in refs})
    assert ask_gate(manage(ref, trials=True)) == [Answer(plugin="plugin", value="closed")]


def test_what_a_trial_refuses_is_not_imported(
    make_plugin: Any, manage: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = make_plugin(gate("'x'"))
    monkeypatch.setattr(Trials, "judge", lambda self, refs: {ref: Trial(fault="it crashed") for ref in refs})
    manager = manage(ref, trials=True)
    assert ask_gate(manager) == []
    assert (report_of(manager).status, report_of(manager).reason) == (PluginStatus.BROKEN, "it crashed")
    assert ref.value not in sys.modules


def test_a_real_trial_and_its_cache(make_plugin: Any, manage: MakeManager) -> None:
    ref = make_plugin(gate("'x'"))
    for _ in range(2):
        assert ask_gate(manage(ref, trials=True)) == [Answer(plugin="plugin", value="x")]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "it called sys.exit(3)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("import json\njson.dumps = None\n" + gate("None"), "its import replaces json.dumps"),
        ("def helper(): ...", "it implements no hook of Autopilot"),
        ("@hookimpl\ndef autopilot_dispatch(wrong): ...", "its autopilot_dispatch takes 'wrong'"),
    ],
)
def test_one_that_cannot_be_loaded_is_broken_and_the_others_work(
    source: str, reason: str, make_plugin: Any, manage: MakeManager
) -> None:
    import json

    manager = manage(make_plugin(source, name="bad"), make_plugin(gate("'good'"), name="good"))
    assert ask_gate(manager) == [Answer(plugin="good", value="good")]
    report = report_of(manager, "bad")
    assert report.status is PluginStatus.BROKEN
    assert reason in report.reason
    assert json.dumps([1]) == "[1]"


def test_an_import_that_hangs_here_is_broken(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(
        make_plugin("import time; time.sleep(600)", name="bad"),
        make_plugin(gate("'good'"), name="good"),
        load_budget_s=1.0,
    )
    assert ask_gate(manager) == [Answer(plugin="good", value="good")]
    assert report_of(manager, "bad").reason == "its import took more than 1 s"


def test_a_misspelt_hook_is_told_of_a_plugin_that_works(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(make_plugin(gate("'x'") + "@hookimpl\ndef autopilot_scores(task): ..."))
    assert len(ask_gate(manager)) == 1
    report = report_of(manager)
    assert report.status is PluginStatus.LOADED
    assert report.reason == "autopilot_scores is no hook of Autopilot; did you mean autopilot_score?"


def test_two_of_one_name_are_both_left_out_and_both_named(make_plugin: Any, manage: MakeManager) -> None:
    one = make_plugin("1/0", name="same", distribution="dist-one")
    two = make_plugin("1/0", name="same", distribution="dist-two")
    manager = manage(one, two, make_plugin(gate("'good'"), name="good"))
    assert [answer.plugin for answer in ask_gate(manager)] == ["good"]
    reports = [report for report in manager.reports() if report.name == "same"]
    assert [report.distribution for report in reports] == ["dist-one", "dist-two"]
    for report in reports:
        assert report.status is PluginStatus.CONFLICT
        assert "dist-one 1.0, dist-two 1.0" in report.reason
    assert one.value not in sys.modules


def test_the_name_of_a_builtin_is_taken(make_plugin: Any, manage: MakeManager) -> None:
    own = ModuleType("own")
    vars(own)["autopilot_dispatch"] = hookimpl(_own_gate)
    manager = manage(make_plugin(gate("'x'"), name="own"), builtins=[("own", own)])
    assert ask_gate(manager) == [Answer(plugin="own", value="own")]
    statuses = {(report.distribution, report.status) for report in manager.reports()}
    assert statuses == {("autopilot-core", PluginStatus.LOADED), ("dist-own", PluginStatus.CONFLICT)}


def test_disabled_and_only_block_before_the_import(make_plugin: Any, manage: MakeManager) -> None:
    a, b, c = (make_plugin(gate(f"{name!r}"), name=name) for name in "abc")
    manager = manage(a, b, c, settings=PluginSettings(disabled=("a",)))
    assert [answer.plugin for answer in ask_gate(manager)] == ["b", "c"]
    assert report_of(manager, "a").status is PluginStatus.BLOCKED
    assert "plugins.disabled" in report_of(manager, "a").reason
    assert a.value not in sys.modules
    manager = manage(a, b, c, settings=PluginSettings(disabled=("c",), only=("a", "c")))
    assert [answer.plugin for answer in ask_gate(manager)] == ["a"]
    assert "plugins.only" in report_of(manager, "b").reason


def test_blocking_one_of_two_of_a_name_is_no_conflict_with_nobody(make_plugin: Any, manage: MakeManager) -> None:
    one, two = (make_plugin(gate("'x'"), name="same", distribution=name) for name in ("one", "two"))
    manager = manage(one, two, settings=PluginSettings(disabled=("same",)))
    assert {report.status for report in manager.reports()} == {PluginStatus.BLOCKED}


def test_builtins_can_be_disabled_and_are_not_hit_by_only(manage: MakeManager) -> None:
    own = ModuleType("own")
    vars(own)["autopilot_dispatch"] = hookimpl(_own_gate)
    assert len(ask_gate(manage(builtins=[("own", own)], settings=PluginSettings(only=("x",))))) == 1
    blocked = manage(builtins=[("own", own)], settings=PluginSettings(disabled=("own",)))
    assert ask_gate(blocked) == []
    assert report_of(blocked, "own").status is PluginStatus.BLOCKED


def test_names_in_the_config_that_no_plugin_has(make_plugin: Any, manage: MakeManager) -> None:
    settings = PluginSettings(disabled=("there", "gone"), only=("away",), options={"lost": {}})
    assert manage(make_plugin("", name="there"), settings=settings).unknown_names() == ("away", "gone", "lost")


def test_options_are_handed_over_before_the_first_hook(make_plugin: Any, manage: MakeManager) -> None:
    source = "given = {}\ndef configure(options): given.update(options)\n" + gate("given['word']")
    settings = PluginSettings(options={"plugin": {"word": "from the config"}})
    manager = manage(make_plugin(source), settings=settings)
    assert ask_gate(manager)[0].value == "from the config"
    assert manager.refs("autopilot_dispatch")[0].options == {"word": "from the config"}
    careless = manage(make_plugin(gate("'x'")), settings=settings)
    assert ask_gate(careless) == []
    assert "no configure(options)" in report_of(careless).reason


def test_a_report_says_where_a_plugin_comes_from(make_plugin: Any, manage: MakeManager) -> None:
    assert manage(make_plugin(gate("None"))).reports() == [
        PluginReport(
            name="plugin",
            distribution="dist-plugin",
            version="1.0",
            status=PluginStatus.LOADED,
            hooks=("autopilot_dispatch",),
        )
    ]


def test_a_call_for_a_hook_that_nobody_has_loads_nothing_twice(
    make_plugin: Any, manage: MakeManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = manage(make_plugin(gate("'x'")))
    assert manager.call("autopilot_event", event=1) == []
    monkeypatch.setattr(Loader, "_load_one", lambda *_: pytest.fail("loaded again"))
    monkeypatch.setattr(Loader, "records", lambda *_: pytest.fail("looked at every plugin again"))
    assert manager.call("autopilot_event", event=1) == []


def test_the_installed_plugins_are_found_when_none_are_given(
    cache_folder: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "site" / "installed-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text("[autopilot.plugins]\ninstalled-one = installed_one\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    manager = PluginManager(PluginSettings(), cache_folder=cache_folder, trials=False)
    assert "installed-one" in {report.name for report in manager.reports()}
    manager.close()


# ---------------------------------------------------------------------- executors


def supplies(*names: str, body: str = "") -> str:
    made = ", ".join(f"type('Made', (Made,), {{'name': {name!r}}})(config.get({name!r}))" for name in names)
    return f"{EXECUTOR}\n@hookimpl\ndef autopilot_executors(config):\n    {body or f'return [{made}]'}\n"


def test_executors_get_their_options_and_the_overrides(make_plugin: Any, manage: MakeManager) -> None:
    ref = make_plugin(supplies("one", "two"))
    settings = {"one": ExecutorSettings(slots=2, tier="high", options={"model": "m"}), "other": ExecutorSettings()}
    loaded = manage(ref).executors(settings)
    assert list(loaded) == ["one", "two"]
    assert loaded["one"].executor.options == {"model": "m"}
    assert (loaded["one"].slots, loaded["one"].info.tier, loaded["one"].plugin) == (2, "high", ref)
    assert loaded["two"].executor.options == {}
    assert loaded["one"].probe().ok
    assert loaded["one"].accepts(TASK) is None


def test_one_that_is_switched_off_is_not_there(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(make_plugin(supplies("one", "two")))
    assert list(manager.executors({"one": ExecutorSettings(enabled=False)})) == ["two"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise SystemExit(3)", "sys.exit(3)"),
        ("return 'made'", "returned str and not a list"),
        ("return [Made]", "the class Made"),
        ("return (1 / 0 for _ in range(1))", "ZeroDivisionError"),
    ],
)
def test_nonsense_disables_that_plugin_only(body: str, reason: str, make_plugin: Any, manage: MakeManager) -> None:
    bad = make_plugin(supplies(body=body) + gate("'x'"), name="bad")
    manager = manage(bad, make_plugin(supplies("good"), name="good"))
    assert list(manager.executors({})) == ["good"]
    report = report_of(manager, "bad")
    assert report.status is PluginStatus.DISABLED
    assert reason in report.reason
    assert ask_gate(manager) == []
    assert list(manager.executors({})) == ["good"]


def test_supplying_may_hang(make_plugin: Any, manage: MakeManager) -> None:
    bad = make_plugin(supplies(body="import time; time.sleep(600)"), name="bad")
    manager = manage(bad, make_plugin(supplies("good"), name="good"))
    manager._loader.load("autopilot_executors")
    manager._load_budget_s = 0.5
    assert list(manager.executors({})) == ["good"]
    assert report_of(manager, "bad").reason == "autopilot_executors hung: it took more than 0.5 s"


def test_an_executor_of_two_plugins_is_of_neither(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(
        make_plugin(supplies("same", "one"), name="a"), make_plugin(supplies("same", "two"), name="b")
    )
    for _ in range(2):
        assert list(manager.executors({})) == ["one", "two"]
    for name in "ab":
        report = report_of(manager, name)
        assert report.status is PluginStatus.LOADED
        assert report.reason == (
            "executor 'same' is supplied by a (dist-a 1.0) and b (dist-b 1.0); none of them is used"
        )


def test_a_probe_that_hangs_is_not_healthy(make_plugin: Any, manage: MakeManager) -> None:
    source = supplies("one").replace("def run", "def probe(self): raise SystemExit(4)\n    def run")
    health = manage(make_plugin(source)).executors({})["one"].probe()
    assert (health.ok, health.reason) == (False, "its probe failed: it called sys.exit(4)")


def test_a_builtin_supplies_executors_too(manage: MakeManager) -> None:
    own: Any = ModuleType("own")
    exec(supplies("mine").replace("@hookimpl", "@own_mark"), vars(own) | {"own_mark": hookimpl}, made := {})
    vars(own).update(made)
    own.autopilot_executors.__globals__.update(made)
    loaded = manage(builtins=[("own", own)]).executors({})
    assert list(loaded) == ["mine"]
    assert loaded["mine"].probe().ok


def test_a_fork_in_a_hook_does_not_go_on_here(make_plugin: Any, manage: MakeManager) -> None:
    manager = manage(make_plugin("import os\n@hookimpl\ndef autopilot_event(event): return os.fork()"))
    pid = os.getpid()
    (answer,) = manager.call("autopilot_event", event=1)
    assert os.getpid() == pid
    assert os.waitstatus_to_exitcode(os.waitpid(answer.value, 0)[1]) == 0


def test_terms_are_checked(make_plugin: Any, manage: MakeManager) -> None:
    source = "from autopilot import Term\n@hookimpl\ndef autopilot_score(): return Term(name='x', value={})"
    good, bad = (make_plugin(source.format(value), name=f"n{n}") for n, value in enumerate(("1", "float('nan')")))
    answers = score(manage(good, bad), "t")
    assert answers[0].value == Term(name="x", value=1)
    assert "no finite number" in answers[1].fault
