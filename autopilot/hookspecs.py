"""The hooks of Autopilot, and how to implement them.

A plugin is a module or object with functions of these names, marked with ``hookimpl``, and published under the
entry-point group ``autopilot.plugins``::

    # my_plugin.py
    from autopilot import hookimpl

    @hookimpl
    def autopilot_dispatch(task, executor):
        if "friday" in task.tags:
            return "not on Fridays"

    # pyproject.toml
    [project.entry-points."autopilot.plugins"]
    my-plugin = "my_plugin"

Each implementation may leave out parameters that it does not need. Built-in scorers, gates, sinks and stores
are registered the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    import click

    from autopilot.models import Event, ExecutorInfo, Reason, Task, Term, Verdict

__all__ = ["HOOKS", "PROJECT", "hookimpl", "hookspec"]

PROJECT = "autopilot"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def autopilot_executors(config: Mapping[str, Any]) -> Iterable[Any] | None:
    """Supply executors.

    Called once by each process that needs executors: the dispatcher, ``executors list``, and the host of an
    attempt (only for the plugin of the chosen executor).

    Args:
        config: the ``executors:`` section of the config: executor name -> its options.

    Returns:
        ``autopilot.Executor`` objects, all of them, also those that are not usable on this machine: their
        ``probe`` says so.

    If it fails: that plugin is disabled, with its reason in ``plugins list``.

    Example::

        @hookimpl
        def autopilot_executors(config):
            return [Echo(config.get("echo"))]
    """


@hookspec
def autopilot_score(task: Task, executor: ExecutorInfo, history: Mapping[str, Any]) -> Term | None:
    """Add to the score of one executor for one task.

    Called in the tick, for each capable candidate, with a deadline.

    Args:
        task: the task to be routed.
        executor: how the candidate describes itself.
        history: read-only figures of this executor and task type: ``runs``, ``successes``, ``mean``.

    Returns:
        A ``Term`` (its value is clamped to ±0.2, then weighted by ``routing.weights.<plugin>``), or None to
        abstain. To exclude an executor use ``autopilot_dispatch``.

    If it fails, hangs or returns something else: counts as abstain; after 3 faults in a row the plugin is
    quarantined.

    Example::

        @hookimpl
        def autopilot_score(task, executor):
            if "night" in task.tags and executor.tier == "volume":
                return Term(name="night", value=0.1, detail="cheap at night")
    """


@hookspec
def autopilot_dispatch(task: Task, executor: ExecutorInfo) -> Reason | str | None:
    """Refuse a start: a gate before the claim.

    Called in the tick for the executor that routing is about to choose, with a deadline.

    Returns:
        None to agree, or the refusal: a sentence or a ``Reason``. The next best executor is then asked about.

    If it raises or returns something else: the task is not started, and says why. If it hangs: counts as
    abstaining, and the plugin is quarantined and named.

    Example::

        @hookimpl
        def autopilot_dispatch(task, executor):
            if executor.name == "claude-code" and "customer-data" in task.tags:
                return "customer data stays on this machine"
    """


@hookspec(firstresult=True)
def autopilot_prompt(task: Task, attempt: Mapping[str, Any]) -> str | None:
    """Render the prompt of an attempt.

    Called in a child of the attempt's runner; the first answer wins. The default renders title, body,
    acceptance criteria and the earlier failure.

    Args:
        attempt: ``number``, ``executor``, ``earlier_failure``, ``workdir``.

    Returns:
        The prompt, or None to leave it to the next plugin.

    If it fails: the attempt ends as ``executor_broken``.

    Example::

        @hookimpl
        def autopilot_prompt(task, attempt):
            return f"{task.title}\\n\\n{task.body}\\n\\nAnswer in French."
    """


@hookspec
def autopilot_verify(task: Task, attempt: Mapping[str, Any]) -> Verdict | None:
    """Verify an attempt that its executor calls a success.

    Called in a child of the runner, after the executor's processes are dead and the ``verify:`` commands
    passed. All verdicts must be ok.

    Args:
        attempt: ``number``, ``executor``, ``workdir``, ``run_dir``, ``changed``, ``outcome``.

    Returns:
        A ``Verdict`` with its evidence, or None where this plugin has nothing to say of this task.

    If it fails: the attempt is not done.

    Example::

        @hookimpl
        def autopilot_verify(task, attempt):
            fat = [p for p in attempt["changed"] if p.endswith(".bin")]
            return Verdict(name="no binaries", ok=not fat, detail=", ".join(fat))
    """


@hookspec
def autopilot_event(event: Event) -> None:
    """Receive an event: a sink.

    Called by the dispatcher after it is in the log, in the log's order, at least once for each event, whoever
    logged it; a sink that must not act twice keeps the ids it has seen.

    If it fails: the plugin is quarantined after 3 faults in a row, or at once when it hangs; the core goes on.

    Example::

        @hookimpl
        def autopilot_event(event):
            if event.event_type == "task.blocked":
                notify(event.payload["reason"]["message"])
    """


@hookspec(firstresult=True)
def autopilot_store(url: str, config: Mapping[str, Any]) -> Any:
    """Open the store of a URL scheme.

    Called once at start-up; the first answer wins.

    Args:
        url: the config's ``store:`` value, such as ``file:`` or ``postgresql://…``.
        config: ``root`` (the folder), ``durability``, ``publish`` (a callable that takes a list of events).

    Returns:
        An ``autopilot.Store``, or None for a scheme that this plugin does not know.

    If it fails, or nobody answers: a start-up error.

    Example::

        @hookimpl
        def autopilot_store(url, config):
            if url.startswith("memory:"):
                return MemoryStore(publish=config["publish"])
    """


@hookspec
def autopilot_commands(cli: click.Group) -> None:
    """Add click commands to ``autopilotctl``.

    Called when a command is asked for that the core does not have, and for ``--help``.

    Args:
        cli: the group; use ``cli.add_command``. Names of the core's own commands are refused.

    If it fails: that plugin's commands are missing, with a warning.

    Example::

        @hookimpl
        def autopilot_commands(cli):
            cli.add_command(report)
    """


HOOKS = (
    "autopilot_executors",
    "autopilot_score",
    "autopilot_dispatch",
    "autopilot_prompt",
    "autopilot_verify",
    "autopilot_event",
    "autopilot_store",
    "autopilot_commands",
)
