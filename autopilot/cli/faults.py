"""From any fault to one sentence, one hint and one exit code. People never see a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import click

from autopilot.cli import stdout
from autopilot.errors import AutopilotError, ConfigError, TaskFormatError
from autopilot.system.told import as_ours

__all__ = ["Fault", "explain", "guarded", "tell", "wants_json"]

INTERRUPTED = 130
_JSON = ("json", "ndjson")


class Fault(NamedTuple):
    """What the person, or the program, is told."""

    code: str
    message: str
    hint: str
    exit_code: int


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether the arguments ask for JSON; needed before, and when, they cannot be parsed."""
    for number, argument in enumerate(arguments):
        following = arguments[number + 1] if number + 1 < len(arguments) else ""
        if argument == "--":
            return False
        if argument in ("-o", "--output") and following in _JSON:
            return True
        if argument in {f"{option}{name}" for option in ("-o", "--output=") for name in _JSON}:
            return True
    return False


def guarded(call: Callable[[], object], *, as_json: bool, environ: Mapping[str, str]) -> int:
    """Do ``call`` and answer with the exit code: its own where it returns one, else that of its fault.

    With ``AUTOPILOT_DEBUG=1`` the traceback of a fault is printed before the sentence.
    """
    try:
        _tolerate_odd_streams()
        answer = call()
        stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        answer = INTERRUPTED
    except click.exceptions.Exit as leaving:
        answer = leaving.exit_code
    except SystemExit as leaving:
        answer = _left(leaving)
    except BrokenPipeError:
        answer = 0
    except Exception as fault:
        if environ.get("AUTOPILOT_DEBUG") == "1":
            sys.excepthook(type(fault), fault, fault.__traceback__)
        answer = tell(explain(fault), as_json=as_json)
    stdout.end()
    return answer if isinstance(answer, int) and not isinstance(answer, bool) else 0


def _left(leaving: SystemExit) -> int:
    # click's completion leaves like this, and a plugin's command may.
    return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)


def explain(fault: Exception) -> Fault:
    """The fault in words, with its exit code."""
    if isinstance(fault, click.UsageError):
        return Fault("usage", fault.format_message(), _usage_hint(fault), 2)
    if isinstance(fault, click.ClickException):
        return Fault("usage", fault.format_message(), "", 2)
    told = as_ours(fault)
    return Fault(told.code, _placed(told), told.hint, told.exit_code)


def _placed(fault: AutopilotError) -> str:
    if isinstance(fault, TaskFormatError) and fault.path:
        return str(fault)
    if isinstance(fault, ConfigError) and fault.path and fault.path not in fault.message:
        return f"{fault.path}: {fault.message}"
    return fault.message


def _usage_hint(fault: click.UsageError) -> str:
    return f"try `{fault.ctx.command_path} --help`" if fault.ctx is not None else ""


def tell(fault: Fault, *, as_json: bool) -> int:
    """Print the fault on stderr; its exit code."""
    if as_json:
        import json

        error = {"code": fault.code, "message": fault.message, "hint": fault.hint}
        click.echo(json.dumps({"error": error}), err=True)
        return fault.exit_code
    from autopilot.system.sanitize import visible

    click.echo(f"error: {visible(fault.message)}", err=True)
    if fault.hint:
        click.echo(f"hint: {visible(fault.hint)}", err=True)
    return fault.exit_code


def _tolerate_odd_streams() -> None:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell closed it: `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        # A task's title may hold what the terminal's encoding cannot say; that must not end the listing.
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
