"""One HTTP request to the gateway: bounded in time and size, never redirected, and clear about what is unknown."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from autopilot_adapter_openclaw.address import Address

if TYPE_CHECKING:  # every command that asks for executors imports this module, and hardly any sends a request
    import http.client
    import socket

__all__ = ["MOST_BYTES", "Answer", "CallError", "LostAnswerError", "NotSentError", "SenselessError", "call"]

MOST_BYTES = 1024 * 1024
_CONNECT_S = 10.0
_PIECE = 64 * 1024


class CallError(Exception):
    """There is no answer."""


class NotSentError(CallError):
    """Nobody could be reached; the request was never sent.

    Attributes:
        mistrusted: somebody was there, but its certificate proves nothing.
    """

    def __init__(self, message: str, *, mistrusted: bool = False) -> None:
        super().__init__(message)
        self.mistrusted = mistrusted


class LostAnswerError(CallError):
    """The request may have been received, and no whole answer came: what it did is unknown."""


class SenselessError(CallError):
    """What came cannot be an answer of the gateway: too large, or compressed although nobody asked for that."""


@attrs.frozen
class Answer:
    """What the gateway answered; a redirect is an answer like any other."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, Any] | None:
        """The body's JSON object, None where it is none."""
        try:
            told = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return told if isinstance(told, dict) else None

    def text(self) -> str:
        """The body as text, on one line, cut."""
        return " ".join(self.body[:4096].decode("utf-8", "replace").split())[:500]


def call(
    address: Address,
    method: str,
    path: str,
    *,
    limit_s: float,
    token: str = "",
    headers: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Send a request and take its answer in.

    Proxies of the environment are not used, redirects not followed, and compression is not asked for.

    Args:
        limit_s: the limit of all of it, however slowly the peer dribbles.
        clock: monotonic seconds.

    Raises:
        NotSentError, LostAnswerError, SenselessError: see there.
    """
    import http.client

    deadline = clock() + limit_s
    data = None if body is None else json.dumps(body).encode("ascii")
    sent = {"Connection": "close", "Accept": "application/json", **(headers or {})}
    if data is not None:
        sent["Content-Type"] = "application/json"
    if token:
        sent["Authorization"] = f"Bearer {token}"
    peer = _connect(address, min(_CONNECT_S, limit_s))
    try:
        connection = http.client.HTTPConnection(address.host, address.port)
        connection.sock = _Timed(peer, lambda: deadline - clock())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # Who answers early, as with 413, may hang up on the rest of the request: the answer is there to read.
            connection.request(method, address.path + path, data, sent)
        return _taken(connection.getresponse())
    except TimeoutError:
        raise LostAnswerError(f"no whole answer came within {limit_s:.0f} s") from None
    except (OSError, http.client.HTTPException, ValueError) as fault:
        raise LostAnswerError(f"the connection broke: {type(fault).__name__}: {str(fault)[:200]}") from None
    finally:
        peer.close()


def _connect(address: Address, limit_s: float) -> socket.socket:
    import socket

    try:
        peer = socket.create_connection((address.host, address.port), timeout=limit_s)
    except (OSError, UnicodeError) as fault:
        raise NotSentError(f"{address.host}:{address.port} cannot be reached: {fault}") from None
    # A run may take an hour in silence: a peer that is gone must be noticed all the same.
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return _encrypted(peer, address) if address.tls else peer


def _encrypted(peer: socket.socket, address: Address) -> socket.socket:
    import ssl

    try:
        return ssl.create_default_context(cafile=address.ca_file).wrap_socket(peer, server_hostname=address.host)
    except (OSError, ValueError) as fault:
        peer.close()
        mistrusted = isinstance(fault, ssl.SSLCertVerificationError | FileNotFoundError)
        raise NotSentError(f"TLS with {address.host} failed: {fault}", mistrusted=mistrusted) from None


def _taken(response: http.client.HTTPResponse) -> Answer:
    coding = response.getheader("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise SenselessError(f"the answer is compressed ({coding[:20]}), and nobody asked for that")
    body = bytearray()
    while piece := response.read(_PIECE):
        body += piece
        if len(body) > MOST_BYTES:
            raise SenselessError(f"the answer is larger than {MOST_BYTES // 1024} KiB")
    if response.length:
        import http.client

        raise http.client.IncompleteRead(b"", response.length)
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, bytes(body))


class _Timed:
    """A socket with one deadline for all its waiting, as ``HTTPConnection`` needs it."""

    def __init__(self, peer: socket.socket, left: Callable[[], float]) -> None:
        self._peer = peer
        self._left = left

    def sendall(self, data: bytes) -> None:
        self._arm()
        self._peer.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._peer, self._arm), _PIECE)

    def close(self) -> None:
        """Nothing: the answer's body is read after ``HTTPConnection`` lets go of the socket."""

    def _arm(self) -> None:
        left = self._left()
        if left <= 0:
            raise TimeoutError
        self._peer.settimeout(left)


class _Reader(io.RawIOBase):
    def __init__(self, peer: socket.socket, arm: Callable[[], None]) -> None:
        super().__init__()
        self._peer = peer
        self._arm = arm

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._arm()
        return self._peer.recv_into(buffer)
