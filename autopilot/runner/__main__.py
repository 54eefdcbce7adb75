"""The launcher process: ``python -m autopilot.runner <root> <socket>``; started by ``Launcher`` only."""

from __future__ import annotations

import gc
import os
import socket
import sys
from typing import Any

from autopilot.errors import AutopilotError
from autopilot.executors.contract import Progress
from autopilot.models import (
    AttemptResult,
    AttemptSpec,
    Event,
    Lease,
    LeaseState,
    Outcome,
    OutcomeKind,
    PluginRef,
    Reason,
    TaskRecord,
    Usage,
    Verdict,
)
from autopilot.models.wire import load, warm
from autopilot.runner.notes import note
from autopilot.runner.nursery import Nursery
from autopilot.runner.origin import Origin
from autopilot.runner.run import NOT_STARTED, run_attempt
from autopilot.runner.stores import Publisher, open_store
from autopilot.system.clock import SystemClock
from autopilot.system.processes import identify
from autopilot.system.tree import become_subreaper, set_not_dumpable

__all__ = ["main"]


def main(argv: list[str]) -> int:
    """Serve the dispatcher at the other end of the socket until it is gone and the last runner has ended."""
    _, root, fd = argv
    os.setsid()
    os.chdir(root)
    set_not_dumpable()
    become_subreaper()
    origin = Origin.here(identify())
    _warm()
    with socket.socket(fileno=int(fd)) as channel:
        channel.set_inheritable(False)
        Nursery(
            channel, lambda spec, lease: _live(spec, lease, origin), clock=SystemClock(), before_fork=_fetch
        ).serve()
    return 0


def _warm() -> None:
    """What every attempt needs, once, and out of the garbage collector's sight: it would touch every page."""
    from autopilot import hookspecs  # noqa: F401 - what plugins import, with pluggy behind it
    from autopilot.events import log  # noqa: F401
    from autopilot.executors import command, conduct  # noqa: F401
    from autopilot.store import filestore  # noqa: F401

    warm(*_samples())
    gc.collect()
    gc.freeze()


def _samples() -> tuple[Any, ...]:
    """Values of every class that a runner or host reads or writes."""
    now, me = SystemClock().now(), identify()
    ref = PluginRef(name="", value="")
    spec = AttemptSpec(
        root="",
        store_url="",
        task_id="",
        token=0,
        task_text="",
        executor="",
        executor_plugin=ref,
        workdir="",
        run_dir="",
        prompt_plugins=(ref,),
        store_plugin=ref,
    )
    lease = Lease(
        record=TaskRecord(task_id="", not_before=now, reason=Reason(code="", message="")),
        state=LeaseState.STARTED,
        executor="",
        owner=me,
        guardian=me,
        claimed_at=now,
        beat=0,
        ttl_s=0,
        outbox=(Event(id="", event_type="", timestamp=""),),
    )
    # Code for lists and dicts that nothing declares, as in evidence, is made at the first of them, too.
    outcome = Outcome(kind=OutcomeKind.SUCCEEDED, reset_at=now, usage=Usage(), evidence={"": [{}]})
    result = AttemptResult(
        task_id="",
        token=0,
        executor="",
        outcome=outcome,
        started_at=now,
        ended_at=now,
        duration_s=0,
        verdicts=(Verdict(name="", ok=True),),
    )
    return spec, lease, outcome, result, *result.verdicts, Progress(usage=Usage())


def _fetch(spec: dict[str, Any]) -> None:
    """What only some attempts need, before the first of them is forked."""
    if spec.get("workspace") != "none" and "autopilot.workspaces.manifest" not in sys.modules:
        from autopilot.workspaces import changes, manifest  # noqa: F401

        gc.freeze()


def _live(spec_data: dict[str, Any], lease_data: dict[str, Any], origin: Origin) -> int:
    """The whole life of a runner, in the child that was forked for it."""
    os.setsid()
    become_subreaper()
    clock = SystemClock()
    spec, lease = load(AttemptSpec, spec_data), load(Lease, lease_data)
    origin = origin.knowing(spec.environment_values)
    try:
        store = open_store(spec, origin.redactor, clock)
    except AutopilotError as fault:
        note(f"{spec.task_id}.{spec.token}: not started: {fault}")
        return NOT_STARTED
    log = Publisher(spec, origin.redactor, clock).tell
    return run_attempt(spec, lease, store=store, origin=origin, clock=clock, log=log)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
