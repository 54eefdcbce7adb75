"""What children of the runner print: taken from a pipe, redacted, and kept in a bounded file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from autopilot.executors.output import CappedFile
from autopilot.system.redact import Redactor

__all__ = ["LogPipe", "Sink", "hide"]

_CHUNK = 65536
_TEXT_BYTES = 16 * 1024


def hide(value: Any, redactor: Redactor) -> Any:
    """JSON values without the secrets in their texts; keys stay."""
    if isinstance(value, str):
        return redactor.text(value)
    if isinstance(value, Mapping):
        return {key: hide(item, redactor) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide(item, redactor) for item in value]
    return value


class LogPipe:
    """The read end of a pipe, non-blocking, that flows into a sink."""

    def __init__(self, fd: int, sink: Sink) -> None:
        self.fd = fd
        self.sink = sink

    def pump(self) -> bool:
        """Take in what is there; whether more may come."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return True
        if data:
            self.sink.write(data)
        return bool(data)


class Sink:
    """A file that appears with the first byte; past ``limit_bytes`` only the end of the output is kept."""

    def __init__(self, path: str, redactor: Redactor, limit_bytes: int) -> None:
        self._path = path
        self._redactor = redactor
        self._limit = limit_bytes
        self._file: CappedFile | None = None

    def write(self, data: bytes) -> None:
        """Take what was printed."""
        if self._file is None:
            self._file = CappedFile(
                self._path,
                self._redactor,
                limit_bytes=self._limit,
                head_bytes=_TEXT_BYTES,
                tail_bytes=4 * _TEXT_BYTES,
            )
        self._file.write(data)

    def close(self) -> str:
        """Finish the file; what was printed, redacted, its middle left out where it is long."""
        if self._file is None:
            return ""
        self._file.close()
        return self._file.text
