"""Takes secrets out of what the program keeps of an attempt: its session has whatever a tool has printed."""

from __future__ import annotations

import json
import mmap
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["mask"]

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|COOKIE|AUTH", re.IGNORECASE)
_SHORTEST_SECRET = 8


def mask(folder: Path, environment: Mapping[str, str]) -> None:
    """Overwrite the secrets of ``environment`` with asterisks in all files below ``folder``.

    In place: records keep their lengths, so that the session can still be resumed. What cannot be opened is left
    alone.
    """
    values = {
        value
        for name, value in environment.items()
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET and not value.startswith("/")
    }
    forms = {
        form.encode("utf-8", "surrogateescape") for value in values for form in (value, json.dumps(value)[1:-1])
    }
    for place, _, names in os.walk(folder):
        for name in names if forms else ():
            _mask_file(os.path.join(place, name), forms)


def _mask_file(path: str, forms: Iterable[bytes]) -> None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        status = os.fstat(fd)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            with mmap.mmap(fd, 0) as text:
                for form in forms:
                    _overwrite(text, form)
    finally:
        os.close(fd)


def _overwrite(text: mmap.mmap, form: bytes) -> None:
    at = text.find(form)
    while at >= 0:
        text[at : at + len(form)] = b"*" * len(form)
        at = text.find(form, at + len(form))
