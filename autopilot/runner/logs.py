"""What children of the runner print: taken from a pipe, redacted, and kept in a bounded file."""

from __future__ import annotations

import os

from autopilot.executors.output import CappedFile
from autopilot.system.redact import Redactor, StreamRedactor

__all__ = ["Lane", "LogPipe", "Sink"]

_CHUNK = 65536
_TEXT_BYTES = 16 * 1024


class LogPipe:
    """The read end of a pipe, non-blocking, that flows into a sink or a lane of one."""

    def __init__(self, fd: int, sink: Sink | Lane) -> None:
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
        self._lanes: list[Lane] = []

    def lane(self) -> Lane:
        """A way in for one of several that print."""
        self._lanes.append(Lane(self, self._redactor.stream()))
        return self._lanes[-1]

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
        for lane in self._lanes:
            lane.close()
        self._lanes.clear()
        if self._file is None:
            return ""
        self._file.close()
        return self._file.text


class Lane:
    """One of several that print into a sink; redacted by itself, so that no secret is cut where they meet."""

    def __init__(self, sink: Sink, stream: StreamRedactor) -> None:
        self._sink = sink
        self._stream = stream

    def write(self, data: bytes) -> None:
        """Take what was printed; what may be the beginning of a secret waits for more."""
        safe = self._stream.feed(data)
        if safe:
            self._sink.write(safe)

    def close(self) -> None:
        """There is no more."""
        rest = self._stream.close()
        if rest:
            self._sink.write(rest)
