"""One attempt, with real processes: what comes back for each way it can end."""

from __future__ import annotations

import json
import os
import signal
import sys

import pytest

from autopilot.models import Ending, OutcomeKind, PluginRef, Status, Usage
from tests.process.runner_support import Arena, alive, arena, pids_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with arena(tmp_path_factory.mktemp("arena")) as made:
        yield made


@pytest.fixture
def place(whole):
    return whole.fresh()


# ---------------------------------------------------------------------- outcomes


def test_a_success_is_reported_and_its_traces_are_kept(place: Arena):
    result = place.do("print('hello')")
    assert (result.outcome.kind, result.outcome.message) == (OutcomeKind.SUCCEEDED, "done")
    assert (result.verified, result.verdicts, result.killed) == (False, (), 0)
    assert (place.run / "task.md").read_text().startswith(f"---\nid: {place.task_id}\n")
    assert "a test" in (place.run / "prompt.md").read_text()
    assert (place.run / "host.log").read_text() == "hello\n"
    assert place.run.stat().st_mode & 0o777 == 0o700
    assert (place.run / "host.log").stat().st_mode & 0o777 == 0o600
    assert [record.event.event_type for record in place.log.tail(1)] == ["attempt.started"]


def test_an_exception_is_executor_broken_with_its_last_line(place: Arena):
    result = place.do("raise RuntimeError('no such luck')")
    assert result.outcome.kind is OutcomeKind.EXECUTOR_BROKEN
    assert result.outcome.message == "RuntimeError: no such luck"
    assert "Traceback" in (place.run / "host.log").read_text()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import os; os._exit(0)", "ended with exit code 0 and gave no outcome"),
        (
            "import os; os.write(2, b'out of cheese\\n'); os._exit(3)",
            "exit code 3 and gave no outcome: out of cheese",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was ended by SIGSEGV and gave no outcome"),
        ("outcome = 'fine'", "executor python gave a str, not an Outcome"),
        ("outcome = Outcome(kind=Kind.SUCCEEDED, cost_usd='much')", "outcome could not be read"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
    ids=["sys.exit", "os._exit", "last words", "signal", "nonsense", "bad field", "interrupt"],
)
def test_an_executor_that_breaks_off_is_broken_and_says_how(place: Arena, body, message):
    result = place.do(body)
    assert result.outcome.kind is OutcomeKind.EXECUTOR_BROKEN
    assert message in result.outcome.message


def test_a_hung_executor_is_stopped_at_its_deadline_and_its_figures_are_kept(place: Arena):
    body = (
        "import time\n"
        "context.report(Progress(usage=Usage(input_tokens=7), cost_usd=0.5, session_id='s-1'))\n"
        "time.sleep(1000)"
    )
    result = place.do(body, limits={"deadline_s": 0.5})
    assert result.outcome.kind is OutcomeKind.TIMED_OUT
    assert "0.5 s" in result.outcome.message
    assert (result.outcome.usage, result.outcome.cost_usd) == (Usage(input_tokens=7), 0.5)
    assert result.outcome.session_id == "s-1"
    assert result.killed == 1


def test_silence_is_a_stall_and_signs_of_life_are_none(place: Arena):
    busy = "import time\nfor n in range(15):\n    context.report(Progress(message=str(n)))\n    time.sleep(0.1)"
    assert place.do(busy, task_id="busy", limits={"idle_s": 1.2}).outcome.kind is OutcomeKind.SUCCEEDED
    silent = place.do("import time; time.sleep(1000)", task_id="silent", limits={"idle_s": 0.5})
    assert silent.outcome.kind is OutcomeKind.STALLED


def test_a_cancel_stops_the_attempt(place: Arena):
    lease = place.start("import time; time.sleep(1000)")
    place.started(lease)
    assert place.store.request_cancel(place.task_id, by="ada")
    assert place.ended(lease).exit_code == 0
    outcome = place.store.result(lease).outcome
    assert (outcome.kind, outcome.message) == (OutcomeKind.CANCELLED, "cancelled by ada")


def test_a_host_that_lingers_after_its_outcome_is_ended_and_its_outcome_counts(place: Arena):
    body = "import os, time\nos._exit = lambda code: time.sleep(1000)"
    result = place.do(body, limits={"linger_s": 0.2, "grace_s": 0.2})
    assert (result.outcome.kind, result.killed) == (OutcomeKind.SUCCEEDED, 1)


def test_a_runner_that_is_told_to_end_ends_everything_and_reports_a_loss(place: Arena):
    lease = place.start("import time; time.sleep(1000)")
    os.kill(place.started(lease).owner.pid, signal.SIGTERM)
    assert place.ended(lease).exit_code == 0
    assert place.store.result(lease).outcome.kind is OutcomeKind.LOST


def test_what_a_program_leaves_running_is_ended_and_counted(place: Arena):
    pids = place.work / "pids"
    result = place.do(f"setsid sleep 1000 & echo $! > {pids}", executor="shell")
    assert result.outcome.kind is OutcomeKind.SUCCEEDED
    assert result.killed == 1
    assert not alive(pids_in(pids)[0])


def test_a_runner_that_is_killed_takes_everything_along(place: Arena):
    lease = place.start(f"setsid sleep 1000 & echo $! > {place.work}/pid; sleep 1000", executor="shell")
    (pid,) = pids_in(place.work / "pid")
    now = place.started(lease)
    assert now.guardian.pid == place.launcher._link.pid
    os.kill(now.owner.pid, signal.SIGKILL)
    assert place.ended(lease).exit_code == -signal.SIGKILL
    assert not alive(pid)
    assert json.loads((place.run / "reaped.json").read_text())["orphans_killed"] >= 2


def test_what_cannot_be_started_is_a_line_in_the_launchers_log(place: Arena):
    lease, text = place.claim(place.task_id, executor="python")
    place.launcher.start(place.spec(lease, text, store_url="odd://x"), lease)
    assert place.ended(lease).exit_code == 96
    assert f"{place.task_id}.1: not started: no plugin opens the store odd://x\n" in place.complaints()


def test_a_start_that_is_refused_is_told_in_the_log(place: Arena):
    lease, text = place.claim(place.task_id, executor="python")
    place.store.finish(lease, Ending(status=Status.PENDING, record=lease.record))
    place.launcher.start(place.spec(lease, text), lease)
    assert place.ended(lease).exit_code == 97
    (told,) = place.log.tail(1, types="attempt.refused", task=place.task_id)
    assert (told.event.payload["attempt"], told.event.payload["executor"]) == (1, "python")


def test_the_work_folder_and_the_environment_are_the_attempts_own(tmp_path):
    body = (
        "import json, os\n"
        "seen = {'cwd': os.getcwd(), 'here': dict(os.environ), 'child': dict(context.environment)}\n"
        "json.dump(seen, open('seen.json', 'w'))"
    )
    with arena(tmp_path, SECRET_TOKEN="s3cr3t-s3cr3t", WANTED="yes", LD_DEBUG="none") as place:
        place.do(body, environment=("WANTED",), environment_values={"SET": "1"})
        seen = json.loads((place.work / "seen.json").read_text())
        assert seen["cwd"] == str(place.work)
        assert seen["here"] == seen["child"]
        assert seen["here"]["WANTED"] == "yes"
        assert seen["here"]["SET"] == "1"
        assert seen["here"]["AUTOPILOT_TASK_ID"] == place.task_id
        assert seen["here"]["AUTOPILOT_ATTEMPT"] == "1"
        assert seen["here"]["AUTOPILOT_RUN"].endswith(f"/{place.task_id}/1")
        assert not {"SECRET_TOKEN", "LD_DEBUG", "PYTHONPATH"} & set(seen["here"])


def test_secrets_do_not_reach_the_hosts_log(tmp_path):
    with arena(tmp_path, DEPLOY_TOKEN="correct-horse-battery") as place:
        place.do("print(b'correct-horse-battery'.decode()); print(context.prompt[:1])")
        text = (place.run / "host.log").read_text()
        assert "correct-horse" not in text
        assert "[redacted:DEPLOY_TOKEN:" in text


def test_secrets_do_not_reach_the_result(tmp_path):
    with arena(tmp_path, DEPLOY_TOKEN="correct-horse-battery") as place:
        said = "'-'.join(['correct', 'horse', 'battery'])"
        (place.plugins / "blabbing.py").write_text(
            "from autopilot import Verdict, hookimpl\n\n@hookimpl\n"
            f"def autopilot_verify(): return Verdict(name='b', ok=True, detail={said})\n"
        )
        body = (
            f"outcome = Outcome(kind=Kind.SUCCEEDED, message={said}, hint={said}, evidence={{'a': [{said}, 1]}})"
        )
        result = place.do(body, verify_plugins=(PluginRef(name="blabbing", value="blabbing"),))
        assert "correct-horse" not in (place.run / "result.json").read_text()
        assert result.outcome.evidence["a"][1] == 1
        assert result.verdicts[0].detail.startswith("[redacted:DEPLOY_TOKEN:")


def test_nothing_of_the_runner_stays_open_in_the_host(place: Arena):
    place.do("import os\nopen('fds', 'w').write(' '.join(os.listdir('/proc/self/fd')))")
    # 3 is the way to the runner; the highest two are this very look at the folder and the file being written.
    assert len((place.work / "fds").read_text().split()) <= 6


def test_programs_have_the_users_umask(place: Arena):
    place.do("umask > mask; touch made", executor="shell")
    mask = os.umask(0o022)
    os.umask(mask)
    assert int((place.work / "mask").read_text(), 8) == mask
    assert (place.work / "made").stat().st_mode & 0o777 == 0o666 & ~mask


def test_the_runners_memory_and_environment_are_closed_to_programs(place: Arena):
    """``PR_GET_DUMPABLE`` is 0 in everything that was forked from the launcher, and 1 after an exec."""
    code = "import ctypes; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)"
    place.do(f"{code}\nimport subprocess, sys\nsubprocess.run([sys.executable, '-c', {code!r}])")
    assert (place.run / "host.log").read_text().split() == ["0", "1"]


def test_a_task_of_the_largest_size_passes(place: Arena):
    comment = "# " + "x" * 1_000_000
    place.do(f"{comment}\nopen('size', 'w').write(str(len(context.task.body)))")
    assert int((place.work / "size").read_text()) > 1_000_000


SPY = """
import os, sys
at_fork, leave = set(), os._exit

def exit(code):
    with open(os.environ_of_the_test + "/imports", "a") as file:
        file.write(" ".join(sorted(set(sys.modules) - at_fork)) + "\\n")
    if "autopilot.workspaces.manifest" in at_fork:
        open(os.environ_of_the_test + "/fetched", "w").close()
    leave(code)

os.environ_of_the_test = os.environ["SPY_FOLDER"]
os.register_at_fork(before=lambda: at_fork.update(sys.modules) if not at_fork else None)
os._exit = exit
"""


@pytest.mark.parametrize("workspace", ["none", "repo"])
def test_an_attempt_imports_nothing_but_its_executors_plugin(tmp_path, workspace):
    """What each attempt imported would be paid for by each attempt: the launcher has it all already, and what only
    a workspace needs when the first one comes."""
    with arena(tmp_path, SPY_FOLDER=str(tmp_path)) as place:
        (place.plugins / "sitecustomize.py").write_text(SPY)
        for number, executor in enumerate(("python", "shell")):
            body = "true" if executor == "shell" else "pass"
            place.do(body, task_id=f"t{number}", executor=executor, workspace=workspace)
    imported = [
        {n for n in line.split() if not n.startswith("coverage")}
        for line in (tmp_path / "imports").read_text().splitlines()
    ]
    assert len(imported) == 4
    for found in imported:
        assert found <= {"runner_zoo_plugin"}
    assert (tmp_path / "fetched").exists() == (workspace == "repo")


def test_attempts_of_one_launcher_run_side_by_side(place: Arena):
    wait = "import os, time\nopen({mine!r}, 'w')\nwhile not os.path.exists({other!r}): time.sleep(0.01)"
    first = place.start(wait.format(mine="a", other="b"), task_id="a")
    second = place.start(wait.format(mine="b", other="a"), task_id="b")
    assert place.launcher.running() == 2
    assert [place.ended(lease).exit_code for lease in (first, second)] == [0, 0]
    assert place.launcher.running() == 0


# ---------------------------------------------------------------------- prompt plugins


def test_the_first_prompt_plugin_with_an_answer_wins(place: Arena):
    (place.plugins / "shy.py").write_text(
        "from autopilot import hookimpl\n\n@hookimpl\ndef autopilot_prompt(task, attempt): return None\n"
    )
    (place.plugins / "bold.py").write_text(
        "from autopilot import hookimpl\n\n"
        "@hookimpl\ndef autopilot_prompt(attempt): return 'no. ' + str(attempt['number'])\n"
    )
    refs = tuple(PluginRef(name=name, value=name) for name in ("shy", "bold"))
    place.do("open('prompt', 'w').write(context.prompt)", prompt_plugins=refs)
    assert (place.work / "prompt").read_text() == "no. 1"
    assert (place.run / "prompt.md").read_text() == "no. 1"


def test_a_prompt_plugin_that_fails_is_executor_broken(place: Arena):
    (place.plugins / "wrong.py").write_text(
        "from autopilot import hookimpl\n\n@hookimpl\ndef autopilot_prompt(task): return 7\n"
    )
    result = place.do("pass", prompt_plugins=(PluginRef(name="wrong", value="wrong"),))
    assert result.outcome.kind is OutcomeKind.EXECUTOR_BROKEN
    assert "wrong gave a int for a prompt" in result.outcome.message


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        (PluginRef(name="gone", value="no_such_module_here"), "ModuleNotFoundError"),
        (PluginRef(name="gone", value="runner_zoo_plugin:nothing"), "has no nothing"),
        (PluginRef(name="json", value="json"), "has no autopilot_executors"),
    ],
)
def test_an_executor_plugin_that_cannot_be_used_is_executor_broken(place: Arena, ref, message):
    result = place.do("pass", executor_plugin=ref)
    assert result.outcome.kind is OutcomeKind.EXECUTOR_BROKEN
    assert message in result.outcome.message


def test_a_plugin_without_the_executor_names_those_it_has(place: Arena):
    lease, text = place.claim(place.task_id, executor="python")
    place.launcher.start(place.spec(lease, text, executor="gone"), lease)
    place.ended(lease)
    assert "it has: python, shell" in place.store.result(lease).outcome.message
