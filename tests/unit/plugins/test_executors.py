"""Executors are checked when they are supplied, and the config's section applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from autopilot.config.settings import ExecutorSettings
from autopilot.executors.command import Command, CommandExecutor, Transcript
from autopilot.executors.contract import AttemptContext, Executor
from autopilot.models import ExecutorInfo, Health, Outcome, PluginRef, Task
from autopilot.plugins.executors import LoadedExecutor, check_supplied, load_executor
from autopilot.plugins.guards import PluginFault
from autopilot.plugins.worker import HangError

REF = PluginRef(name="p", value="m")
TASK = Task(id="t", title="T")


class Echo(Executor):
    name = "echo"
    capabilities = frozenset({"code"})
    environment = ("ECHO_",)

    def run(self, context: AttemptContext) -> Outcome:
        raise NotImplementedError


class Described(Echo):
    info: Any = ExecutorInfo(name="echo", tier="high", strong=frozenset({"docs"}), slots=3)

    def describe(self) -> ExecutorInfo:
        if isinstance(self.info, BaseException):
            raise self.info
        return self.info


def direct(work: Any, deadline_s: float) -> Any:
    return work()


def load(executor: Executor, rules: ExecutorSettings | None = None, ask: Any = direct) -> LoadedExecutor:
    (supplied,) = check_supplied([executor])
    return load_executor(supplied, REF, rules, ask)


def test_a_plain_executor() -> None:
    executor = Echo()
    loaded = load(executor)
    assert loaded.executor is executor
    assert loaded.info == ExecutorInfo(name="echo", capabilities=frozenset({"code"}))
    assert (loaded.plugin, loaded.slots, loaded.environment) == (REF, None, ("ECHO_",))


class Scribe(CommandExecutor):
    name = "scribe"
    program = "scribe"

    def command(self, context: AttemptContext) -> Command:
        raise NotImplementedError

    def judge(self, exit_code: int, transcript: Transcript) -> Outcome:
        raise NotImplementedError


def test_a_probe_sees_what_the_config_sets_for_attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "scribe"
    program.write_text("#!/bin/sh\necho scribe $SCRIBE_VERSION\n")
    program.chmod(0o755)
    monkeypatch.setenv("SCRIBE_VERSION", "1.0")
    set_env = {"PATH": str(tmp_path), "SCRIBE_VERSION": "2.0"}
    loaded = load(Scribe(), ExecutorSettings(set_env=set_env))
    assert loaded.probe() == Health(ok=True, reason="scribe 2.0", version="2.0")
    assert loaded.executor.environ["SCRIBE_VERSION"] == "2.0"
    assert load(Scribe()).executor.environ["SCRIBE_VERSION"] == "1.0"
    assert not load(Scribe()).probe().ok


def test_an_object_that_takes_no_attributes_is_used_without() -> None:
    class Narrow:
        __slots__ = ()
        name = "narrow"
        accepts = probe = run = lambda self, *_: None

        def describe(self) -> ExecutorInfo:
            return ExecutorInfo(name="narrow")

    assert load(Narrow(), ExecutorSettings(set_env={"A": "1"})).info.name == "narrow"  # type: ignore[arg-type]


def test_a_description_without_capabilities_takes_the_classes() -> None:
    assert load(Described()).info.capabilities == {"code"}
    assert load(Described()).slots == 3


def test_the_config_overrides_the_description() -> None:
    rules = ExecutorSettings(slots=1, tier="", strong=(), weak=("docs",), quota_pool="shared", cost_usd=0.0)
    info = load(Described(), rules).info
    assert attrs.asdict(info, recurse=False) == {
        "name": "echo",
        "capabilities": frozenset({"code"}),
        "tier": "",
        "strong": frozenset(),
        "weak": frozenset({"docs"}),
        "quota_pool": "shared",
        "model": None,
        "slots": 1,
        "cost_usd": 0.0,
    }
    assert load(Described(), ExecutorSettings()).info == load(Described()).info


def test_none_a_list_and_a_generator_are_fine() -> None:
    assert check_supplied(None) == []
    assert [one.info.name for one in check_supplied(Echo() for _ in range(1))] == ["echo"]


class Named(Echo):
    def __init__(self, name: Any) -> None:
        super().__init__()
        self.name = name  # type: ignore[misc]


def _described(info: Any) -> Described:
    executor = Described()
    executor.info = info
    return executor


def _with(**members: Any) -> Echo:
    executor = Echo()
    vars(executor).update(members)
    return executor


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("echo", "returned str and not a list"),
        ({"echo": Echo()}, "returned dict and not a list"),
        (Echo(), "returned Echo and not a list"),
        (7, "returned int"),
        ([Echo], "the class Echo and not an object"),
        ([object()], "name None is not made of"),
        ([Named("Echo")], "name 'Echo' is not made of"),
        ([Named("../x")], "is not made of"),
        ([Named("echo\n")], "is not made of"),
        ([Named(7)], "name 7 is not made of"),
        ([Echo(), Echo()], "two executors of the name 'echo'"),
        ([_with(probe=None)], "has no method probe"),
        ([_described(ValueError("no"))], r"describe\(\) of its executor 'echo' failed: ValueError: no"),
        ([_described(SystemExit(1))], "sys.exit"),
        ([_described({"name": "echo"})], "returned dict and not ExecutorInfo"),
        ([_described(ExecutorInfo(name="other"))], "describes itself as 'other'"),
        ([_described(ExecutorInfo(name="echo", strong="docs"))], "strong of its executor"),  # type: ignore[arg-type]
        ([_described(ExecutorInfo(name="echo", slots=0))], "slots of its executor 'echo' is 0"),
        ([_described(ExecutorInfo(name="echo", slots="2"))], "slots of its executor"),  # type: ignore[arg-type]
        ([_described(ExecutorInfo(name="echo", cost_usd=float("nan")))], "cost_usd of its executor"),
        ([_with(environment="ECHO_")], "environment of its executor 'echo' is 'ECHO_'"),
        ([_with(capabilities="code")], "capabilities of its executor"),
    ],
)
def test_nonsense_is_named(value: Any, message: str) -> None:
    if isinstance(value, list) and value and "capabilities" in message:
        vars(value[0])["describe"] = lambda: ExecutorInfo(name="echo")
    with pytest.raises(PluginFault, match=message):
        check_supplied(value)


class Moody(Echo):
    answer: Any = None

    def accepts(self, task: Task) -> str | None:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def probe(self) -> Health:
        return self.accepts(TASK)  # type: ignore[return-value]


def moody(answer: Any) -> LoadedExecutor:
    executor = Moody()
    executor.answer = answer
    return load(executor)


def test_accepts_gives_the_sentence_or_none() -> None:
    assert moody(None).accepts(TASK) is None
    assert moody("").accepts(TASK) is None
    assert moody("no prose").accepts(TASK) == "no prose"


@pytest.mark.parametrize("answer", [7, False, ValueError("no"), HangError("it took more than 2 s")])
def test_accepts_that_fails_does_not_accept(answer: Any) -> None:
    refusal = moody(answer).accepts(TASK)
    assert refusal is not None
    assert refusal.startswith("accepts() of echo")


def test_probe_gives_health_or_what_is_wrong() -> None:
    healthy = Health(ok=True, reason="ready")
    assert moody(healthy).probe() == healthy
    for answer in (None, True, ValueError("no"), HangError("it took more than 15 s")):
        health = moody(answer).probe()
        assert not health.ok
        assert health.reason.startswith("its probe")
        assert health.hint
