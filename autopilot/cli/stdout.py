"""Writing to stdout. Its reader may go away at any time (`| head`): then the program ends, silent and content."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

__all__ = ["end", "flush", "write", "write_bytes"]


def write(text: str) -> None:
    """Write text."""
    with _readerless():
        sys.stdout.write(text)


def write_bytes(data: bytes) -> None:
    """Write bytes as they are, and have them out at once."""
    with _readerless():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def flush() -> None:
    """Have everything out that was written."""
    with _readerless():
        sys.stdout.flush()


def end() -> None:
    """Before the program ends: what cannot be written any more must not be tried again at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        _silence()


@contextmanager
def _readerless() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _silence()
        # Said in click's words: it would make an exit code of 1 out of the pipe's error.
        raise click.exceptions.Exit(0) from None


def _silence() -> None:
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass
