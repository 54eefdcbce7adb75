"""What keeps a plugin's code from harming the process that it runs in.

Nothing here stops malice: a plugin has the user's own power. It stops accidents.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, TypeVar

from autopilot.errors import AutopilotError
from autopilot.system.exits import ExitRefused

__all__ = ["PluginFault", "Snapshot", "no_second_self", "quiet", "sentence"]

Result = TypeVar("Result")

_SHARED = (
    "builtins",
    "fcntl",
    "hashlib",
    "io",
    "json",
    "os",
    "os.path",
    "re",
    "signal",
    "subprocess",
    "threading",
    "time",
)
_SHARED_CLASSES = (("json", "JSONEncoder"), ("json", "JSONDecoder"))


class PluginFault(Exception):  # noqa: N818 - a fault of theirs, not an error of ours
    """A plugin did what it may not do; the text says what, without the plugin's name."""


def sentence(fault: BaseException) -> str:
    """An exception of a plugin in one line."""
    if isinstance(fault, (AutopilotError, PluginFault, ExitRefused)):
        return str(fault)
    if isinstance(fault, SystemExit):
        return f"it called sys.exit({fault.code!r})"
    try:
        text = " ".join(str(fault).split())
    except BaseException:
        text = "(its text cannot be read)"
    return f"{type(fault).__name__}: {text[:300]}" if text else type(fault).__name__


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep a plugin off our standard input and output: it reads nothing, and what it prints goes to stderr."""
    _flush(sys.stdout)
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        for fd, instead in ((1, 2), (0, None)):
            _redirect(stack, fd, instead)
        try:
            yield
        finally:
            _flush(sys.__stdout__)
            _flush(sys.stderr)


def _flush(stream: Any) -> None:
    # What sits in a buffer belongs to whoever printed it, so it must leave before the descriptors change.
    with contextlib.suppress(Exception):
        stream.flush()


def _redirect(stack: contextlib.ExitStack, fd: int, instead: int | None) -> None:
    try:
        saved = os.dup(fd)
    except OSError:  # closed: there is nothing to protect
        return
    stack.callback(os.close, saved)
    stack.callback(os.dup2, saved, fd)
    with contextlib.suppress(OSError):
        if instead is not None:
            os.dup2(instead, fd)
            return
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, fd)
        os.close(null)


def no_second_self(work: Callable[[], Result]) -> Result:
    """Run ``work``; should it fork, the copy of this process ends there instead of going on as a second one."""
    pid = os.getpid()
    try:
        return work()
    finally:
        if os.getpid() != pid:
            os._exit(0)


class Snapshot:
    """What modules that everybody shares look like now, to notice and undo replacements.

    Args:
        load: import those that are not yet imported, so that they are watched too.
    """

    def __init__(self, *, load: bool = False) -> None:
        self._before: list[tuple[str, Any, dict[str, Any]]] = []
        for name in _SHARED:
            module = importlib.import_module(name) if load else sys.modules.get(name)
            if isinstance(module, ModuleType):
                self._keep(name, module)
        for name, class_name in _SHARED_CLASSES:
            if name in sys.modules:
                self._keep(f"{name}.{class_name}", getattr(sys.modules[name], class_name))

    def _keep(self, name: str, owner: Any) -> None:
        functions = {attribute: value for attribute, value in vars(owner).items() if callable(value)}
        self._before.append((name, owner, functions))

    def restore(self) -> list[str]:
        """Undo replacements and removals; the names that were replaced (``json.dumps``)."""
        replaced = []
        for name, owner, before in self._before:
            now = vars(owner)
            for attribute, value in before.items():
                if now.get(attribute) is not value:
                    setattr(owner, attribute, value)
                    replaced.append(f"{name}.{attribute}")
        return replaced
