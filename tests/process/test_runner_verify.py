"""After the executor: verifications, protected paths, and the list of what changed."""

from __future__ import annotations

import json
import os
import signal
import sys

import attrs
import pytest

from autopilot.models import AttemptResult, Outcome, OutcomeKind, PluginRef, Verdict
from tests.process.runner_support import Arena, alive, arena, pids_in, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


@pytest.fixture
def place(whole):
    return whole.fresh()


def plugin(place: Arena, name: str, body: str) -> PluginRef:
    code = (
        f"from autopilot import Verdict, hookimpl\n\n@hookimpl\ndef autopilot_verify(task, attempt):\n    {body}\n"
    )
    (place.plugins / f"{name}.py").write_text(code)
    return PluginRef(name=name, value=name)


# ---------------------------------------------------------------------- commands


def test_all_verify_commands_pass(place: Arena):
    result = place.do("open('made', 'w').close()", verify=("test -f made", "echo fine; echo well >&2"))
    assert result.verified is True
    assert [(verdict.name, verdict.ok, verdict.exit_code) for verdict in result.verdicts] == [
        ("test -f made", True, 0),
        ("echo fine; echo well >&2", True, 0),
    ]
    assert sorted((place.run / "verify-2.log").read_text().split()) == ["fine", "well"]
    assert not (place.run / "verify-1.log").exists()


def test_the_first_failure_ends_verification_and_says_what_was_printed(place: Arena):
    result = place.do("pass", verify=("echo one; echo two >&2; exit 3", "touch never"))
    assert result.outcome.kind is OutcomeKind.SUCCEEDED
    assert result.verified is None
    (verdict,) = result.verdicts
    assert (verdict.ok, verdict.exit_code) == (False, 3)
    assert verdict.detail.startswith("exit code 3: ")
    assert {"one", "two"} <= set(verdict.detail.split())
    assert not (place.work / "never").exists()


def test_nothing_is_verified_after_a_failure_of_the_executor(place: Arena):
    result = place.do("outcome = Outcome(kind=Kind.FAILED)", verify=("touch never",))
    assert (result.verified, result.verdicts) == (None, ())
    assert not (place.work / "never").exists()


def test_no_change_needed_is_verified_too(place: Arena):
    result = place.do("outcome = Outcome(kind=Kind.NO_CHANGE_NEEDED)", verify=("true",))
    assert (result.outcome.kind, result.verified) == (OutcomeKind.NO_CHANGE_NEEDED, True)


def test_a_verify_command_that_hangs_is_stopped_with_its_whole_tree(place: Arena):
    command = "setsid sleep 1000 & echo $! > pid; sleep 1000"
    result = place.do("pass", verify=(command,), limits={"verify_s": 0.5})
    (verdict,) = result.verdicts
    assert (verdict.ok, "limit of 0.5 s" in verdict.detail) == (False, True)
    assert not alive(pids_in(place.work / "pid")[0])


def test_what_a_passing_verify_command_leaves_running_is_ended(place: Arena):
    result = place.do("pass", verify=("setsid sleep 1000 & echo $! > pid",))
    assert result.verified is True
    assert not alive(pids_in(place.work / "pid")[0])


def test_a_verify_command_ended_by_a_signal_failed(place: Arena):
    (verdict,) = place.do("pass", verify=("sleep 0.2; kill -9 $$",)).verdicts
    assert (verdict.ok, verdict.exit_code, verdict.detail) == (False, -9, "ended by signal 9")
    assert 0.2 <= verdict.duration_s < 60


@pytest.mark.parametrize(("limit", "asked"), [(0.5, True), (60.0, False)])
def test_only_a_command_that_is_stopped_has_a_grace(place: Arena, limit, asked):
    """... and not what one that has ended leaves running."""
    deaf = "trap 'touch asked' TERM; touch ready; sleep 1000 & wait"
    command = f"( {deaf} ) & while [ ! -e ready ]; do sleep 0.01; done; [ {limit} = 60.0 ] || sleep 1000"
    place.do("pass", verify=(command,), limits={"verify_s": limit})
    assert (place.work / "asked").exists() == asked


def test_verify_commands_see_the_scrubbed_environment_and_no_terminal(tmp_path):
    with arena(tmp_path, SECRET_TOKEN="s3cr3t-s3cr3t") as place:
        place.do("pass", verify=("env > env; cat",), environment_values={"SET": "1"})
        seen = (place.work / "env").read_text()
        assert "SET=1" in seen
        assert f"AUTOPILOT_TASK_ID={place.task_id}" in seen
        assert "s3cr3t" not in seen


def test_a_secret_that_two_streams_interrupt_is_hidden(tmp_path):
    with arena(tmp_path, APP_TOKEN="first-half-second-half") as place:
        command = "printf first-half-; sleep 0.3; echo between >&2; sleep 0.3; echo second-half; exit 1"
        (verdict,) = place.do("pass", verify=(command,), environment=("APP_TOKEN",)).verdicts
        assert "between" in verdict.detail
        for text in (verdict.detail, (place.run / "verify-1.log").read_text()):
            assert "[redacted:APP_TOKEN:" in text
            assert "half" not in text


def test_a_verify_command_in_a_vanished_folder_is_a_failed_verdict(place: Arena):
    result = place.do("import os, shutil; shutil.rmtree(context.workdir)", verify=("true",))
    assert result.verdicts == (Verdict(name="true", ok=False, detail=f"the folder {place.work} is not there"),)


def test_a_verify_command_that_no_program_can_be_given_is_a_failed_verdict(place: Arena):
    (verdict,) = place.do("pass", verify=("echo \0",)).verdicts
    assert verdict == Verdict(name="echo \0", ok=False, detail="embedded null byte")


def interrupted_in(place: Arena, how) -> AttemptResult:
    """What comes of an attempt that ``how`` interrupts during its first verify command."""
    lease = place.start(
        "outcome = Outcome(kind=Kind.SUCCEEDED, turns=3)", verify=("touch here; sleep 1000", "touch never")
    )
    until((place.work / "here").exists, "the verify command")
    how(lease)
    assert place.ended(lease).exit_code == 0
    assert not (place.work / "never").exists()
    return place.store.result(lease)


def test_a_cancel_during_verification_is_a_cancel(place: Arena):
    result = interrupted_in(place, lambda lease: place.store.request_cancel(place.task_id, by="ada"))
    message = "cancelled by ada while it was verified"
    assert result.outcome == Outcome(kind=OutcomeKind.CANCELLED, message=message, turns=3)
    assert result.verified is None
    assert [verdict.detail for verdict in result.verdicts] == ["cancelled"]


def test_an_end_of_the_runner_during_verification_is_a_loss(place: Arena):
    result = interrupted_in(place, lambda lease: os.kill(place.started(lease).owner.pid, signal.SIGTERM))
    message = "its runner was told to end (SIGTERM) while it was verified"
    assert result.outcome == Outcome(kind=OutcomeKind.LOST, message=message, turns=3)
    assert result.verified is None


# ---------------------------------------------------------------------- plugins


def test_verify_plugins_judge_after_the_commands(place: Arena):
    detail = "task.id + str(attempt['number'])"
    body = f"return Verdict(name='files', ok=attempt['outcome'] == 'succeeded', detail={detail})"
    refs = (plugin(place, "judging", body), plugin(place, "silent", "return None"))
    result = place.do("pass", verify=("true",), verify_plugins=refs)
    assert result.verified is True
    assert [(verdict.name, verdict.detail) for verdict in result.verdicts] == [
        ("true", ""),
        ("files", f"{place.task_id}1"),
    ]


def test_a_verify_plugin_is_told_about_the_attempt_and_may_print(place: Arena):
    body = "import json; print('printed'); return Verdict(name='t', ok=True, detail=json.dumps(attempt))"
    result = place.do("open('new', 'w').close()", workspace="repo", verify_plugins=(plugin(place, "told", body),))
    assert json.loads(result.verdicts[0].detail) == {
        "number": 1,
        "executor": "python",
        "workdir": str(place.work),
        "run_dir": str(place.run),
        "changed": ["new"],
        "outcome": "succeeded",
    }
    assert (place.run / "verify-plugins.log").read_text() == "printed\n"


def test_a_verdict_that_makes_no_sense_is_a_failed_one(place: Arena):
    (verdict,) = place.do(
        "pass", verify_plugins=(plugin(place, "odd", "return Verdict(name='odd', ok=True, duration_s='long')"),)
    ).verdicts
    assert (verdict.name, verdict.ok) == ("odd", False)
    assert "not a valid Verdict" in verdict.detail


def test_long_details_of_plugins_are_cut(place: Arena):
    ref = plugin(place, "long", "return Verdict(name='long', ok=True, detail='x' * 10**6)")
    (verdict,) = place.do("pass", verify_plugins=(ref,)).verdicts
    assert verdict == attrs.evolve(verdict, name="long", ok=True, detail="x" * 16384)


def test_a_plugin_that_hangs_is_named_after_others_have_judged(place: Arena):
    refs = (
        plugin(place, "good", "return Verdict(name='good', ok=True)"),
        plugin(place, "stuck", "import time; time.sleep(1000)"),
    )
    result = place.do("pass", verify=("true",), verify_plugins=refs, limits={"verify_s": 1.0})
    assert [(verdict.name, verdict.ok) for verdict in result.verdicts] == [
        ("true", True),
        ("good", True),
        ("stuck", False),
    ]
    assert result.verified is None


@pytest.mark.parametrize(
    ("name", "body", "detail"),
    [
        ("refusing", "return Verdict(name='refusing', ok=False, detail='no')", "no"),
        ("raising", "raise ValueError('broken plugin')", "ValueError: broken plugin"),
        ("exiting", "raise SystemExit(0)", "SystemExit: 0"),
        ("vanishing", "import os; os._exit(0)", "its process ended with 0"),
        ("babbling", "return True", "gave a bool, not a Verdict"),
        ("hanging", "import time; time.sleep(1000)", "stopped at its limit of 1 s"),
    ],
)
def test_a_verify_plugin_that_does_not_agree_makes_it_unverified(place: Arena, name, body, detail):
    limits = {"verify_s": 1.0 if name == "hanging" else 60.0}
    result = place.do("pass", verify_plugins=(plugin(place, name, body),), limits=limits)
    assert result.verified is None
    assert [(verdict.name, verdict.ok, verdict.detail) for verdict in result.verdicts] == [(name, False, detail)]


def test_a_failing_plugin_does_not_stop_the_next_one(place: Arena):
    refs = (
        plugin(place, "bad", "raise ValueError"),
        plugin(place, "good", "return Verdict(name='good', ok=True)"),
    )
    result = place.do("pass", verify_plugins=refs)
    assert [(verdict.name, verdict.ok) for verdict in result.verdicts] == [("bad", False), ("good", True)]
    assert result.verified is None


def test_a_verify_plugin_without_the_hook_is_a_failed_verdict(place: Arena):
    (verdict,) = place.do("pass", verify_plugins=(PluginRef(name="json", value="json"),)).verdicts
    assert (verdict.ok, verdict.detail) == (False, "the plugin has no autopilot_verify any more")


# ---------------------------------------------------------------------- evidence


def test_what_changed_is_found_by_the_core(place: Arena):
    (place.work / "kept").write_text("same")
    (place.work / "edited").write_text("old")
    (place.work / "gone").write_text("old")
    body = "import os\nopen('edited', 'w').write('new')\nopen('added', 'w').close()\nos.unlink('gone')"
    result = place.do(body, workspace="repo")
    assert result.changed == ("added", "edited", "gone")
    assert json.loads((place.run / "changes.json").read_text()) == {
        "changed": ["added", "edited", "gone"],
        "count": 3,
        "violations": {},
    }
    assert not (place.run / "before.manifest").exists()


def test_a_changed_protected_path_is_a_violation_and_nothing_is_verified(place: Arena):
    (place.work / ".git" / "hooks").mkdir(parents=True)
    result = place.do(
        "open('.git/hooks/pre-commit', 'w').write('evil')",
        workspace="repo",
        protected=(".git/hooks/**", "AGENTS.md"),
        verify=("touch never",),
    )
    assert result.violations == (".git/hooks/pre-commit",)
    assert (result.verified, result.verdicts) == (None, ())
    assert not (place.work / "never").exists()
    noted = json.loads((place.run / "changes.json").read_text())["violations"][".git/hooks/pre-commit"]
    assert noted["before"] is None
    assert len(noted["after"]["digest"]) == 64


def test_autopilots_own_folder_is_no_change(place: Arena):
    (place.folder / "seen").write_text("x")
    result = place.do("open('../seen', 'w').write('y')", workspace="repo", workdir=str(place.work))
    assert result.changed == ()
    place.fresh()
    inside = place.do("open('../marker', 'w').close()", workspace="repo", workdir=str(place.folder))
    assert not [path for path in inside.changed if path.startswith(".autopilot")]


def test_a_workspace_of_none_is_not_watched(place: Arena):
    result = place.do("open('AGENTS.md', 'w').close()", protected=("AGENTS.md",))
    assert (result.changed, result.violations) == ((), ())
    assert not (place.run / "changes.json").exists()
