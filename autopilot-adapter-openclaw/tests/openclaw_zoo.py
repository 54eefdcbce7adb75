"""A peer on loopback that answers as a test tells it to: well, wrongly, slowly or not at all."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs

__all__ = ["Asked", "Peer", "answer", "dribble", "hang", "peer", "raw", "reset"]

READY = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"ready":true}'
POST_ONLY = b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


@attrs.frozen
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Behaviour = Callable[[socket.socket], None]


def raw(data: bytes) -> Behaviour:
    """Send these bytes and hang up."""
    return lambda peer: peer.sendall(data)


def answer(status: int, body: Any = None, **headers: str) -> Behaviour:
    """A well-formed answer; a body that is no bytes is sent as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Some Reason", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return raw("\r\n".join([*lines, "", ""]).encode() + data)


def dribble(data: bytes, every_s: float) -> Behaviour:
    """One byte at a time."""

    def behave(peer: socket.socket) -> None:
        for byte in data:
            peer.sendall(bytes([byte]))
            time.sleep(every_s)

    return behave


def hang(peer: socket.socket) -> None:
    """Say nothing until the other side gives up."""
    with contextlib.suppress(OSError):
        peer.settimeout(60)
        peer.recv(1)


def reset(peer: socket.socket) -> None:
    """End the connection with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def endless(head: bytes, piece: bytes) -> Behaviour:
    """Never stop sending."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(head)
        while True:
            peer.sendall(piece)

    return behave


class Peer:
    """A server with scripted answers to POSTs; the last one repeats. GETs are answered as the gateway would.

    Attributes:
        asked: the POSTs that came in.
        gets: how many GETs did.
        gave_up: set when the other side closed a connection on which we were silent.
        heedless: whether POSTs are answered before their bodies are read.
    """

    def __init__(
        self,
        *script: Behaviour,
        open_paths: tuple[str, ...] = ("/v1/responses", "/hooks/agent"),
        tls: ssl.SSLContext | None = None,
        heedless: bool = False,
    ) -> None:
        self.script = list(script)
        self.open_paths = open_paths
        self.asked: list[Asked] = []
        self.gets = 0
        self.gave_up = threading.Event()
        self.heedless = heedless
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._tls = tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._server.accept()
                threading.Thread(target=self._meet, args=(peer,), daemon=True).start()

    def _meet(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            if self._tls:
                peer = self._tls.wrap_socket(peer, server_side=True)
            request = _request(peer, heedless=self.heedless)
            if request.method == "GET":
                self.gets += 1
                peer.sendall(self._get(request.path))
                return
            self.asked.append(request)
            behave = self.behaviour(request)
            behave(peer)
            if behave is hang:
                self.gave_up.set()

    def behaviour(self, asked: Asked) -> Behaviour:
        """What to do about a POST that came in."""
        return self.script[min(len(self.asked), len(self.script)) - 1]

    def _get(self, path: str) -> bytes:
        if path == "/readyz":
            return READY
        return POST_ONLY if path in self.open_paths else NOT_FOUND


@contextlib.contextmanager
def peer(*script: Behaviour, **more: Any) -> Iterator[Peer]:
    """A peer for the time of a block."""
    one = Peer(*script, **more)
    try:
        yield one
    finally:
        one.close()


def _request(peer: socket.socket, *, heedless: bool = False) -> Asked:
    file = peer.makefile("rb")
    method, path, _ = file.readline().decode().split(" ", 2)
    headers: dict[str, str] = {}
    while line := file.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if heedless:
        return Asked(method, path, headers, None)
    body = file.read(int(headers.get("content-length") or 0))
    return Asked(method, path, headers, json.loads(body) if body else None)
