"""Shared machinery of the fake model servers: scripted replies, HTTP plumbing, a request log.

A *scenario* is a list of replies. Which reply a request gets is worked out from the
request alone wherever that is possible (how many tool-calling replies came since the last
finished answer), so client retries do not disturb a script and many clients can share one
server. Only ``fail_first`` needs memory, which is kept per scenario instance.

The client picks its scenario through the base URL it is given:

    http://127.0.0.1:PORT/s/<scenario>/...              one of SCENARIOS
    http://127.0.0.1:PORT/s/<scenario>.<instance>/...   the same, with its own counters
    http://127.0.0.1:PORT/...                           the server's --scenario default

Every request is appended to the log (``--log FILE``, one JSON object a line, and
``GET /__requests``), so a test can assert what the client really sent.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# --- what a model can be scripted to do ------------------------------------------------


@dataclass(frozen=True)
class Text:
    """The assistant says something and ends its turn."""

    text: str


@dataclass(frozen=True)
class Tool:
    """The assistant asks for an abstract action, which each protocol maps onto a tool
    that its client really offers. ``action`` is one of write, run."""

    action: str
    args: dict[str, Any]


@dataclass(frozen=True)
class HttpError:
    """The request is refused. ``kind`` names the error in the provider's own vocabulary."""

    status: int
    kind: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Slow:
    """A stream that opens at once and then dribbles, one chunk every ``every`` seconds."""

    every: float = 1.0
    chunks: int = 600


@dataclass(frozen=True)
class Drop:
    """The stream opens, one chunk arrives, and the connection is cut."""

    text: str = "I was about to"


@dataclass(frozen=True)
class StreamError:
    """HTTP 200, and then the error comes as an event in the stream."""

    kind: str
    message: str


@dataclass(frozen=True)
class Forever:
    """A tool call on every turn, with no end: drives turn and budget limits."""

    tool: Tool


Reply = Text | Tool | HttpError | Slow | Drop | StreamError | Forever


@dataclass(frozen=True)
class Scenario:
    """``replies[i]`` answers the i-th model call of a turn; the last one repeats.
    The first ``fail_first`` calls of an instance get ``failure`` instead."""

    replies: tuple[Reply, ...]
    fail_first: int = 0
    failure: HttpError | None = None


RATE_LIMIT = HttpError(429, "rate_limit", "fake: rate limit reached, slow down", {"retry-after": "2"})
RATE_LIMIT_LONG = HttpError(429, "rate_limit", "fake: rate limit reached, slow down", {"retry-after": "3600"})
OVERLOADED = HttpError(529, "overloaded", "fake: overloaded")
UNAVAILABLE = HttpError(503, "server", "fake: service unavailable")
AUTH = HttpError(401, "auth", "fake: invalid api key")
FORBIDDEN = HttpError(403, "forbidden", "fake: key lacks permission")
BAD_REQUEST = HttpError(400, "bad_request", "fake: request rejected")
NO_MODEL = HttpError(404, "no_model", "fake: model not found")
NO_CREDIT = HttpError(400, "no_credit", "fake: credit balance is too low")
USAGE_LIMIT = HttpError(
    429, "usage_limit", "fake: usage limit reached"
)  # a subscription's window, with a reset time
QUOTA = HttpError(429, "quota", "fake: quota exceeded, check your plan and billing details")
USAGE_RESETS_IN = 3600  # seconds
RETRY_IN = "fake: rate limit reached. Please try again in 7.5s."

# not a bare `sleep`: Claude Code refuses those
LONG_COMMAND = "python3 -c 'import time; time.sleep(300)'"
LONGEST_TURN = 40  # a guard against a client (or a bug here) that never lets a turn end
WRITE = Tool("write", {"path": "hello.txt", "content": "hello from the fake model\n"})

SCENARIOS: dict[str, Scenario] = {
    "text": Scenario((Text("The answer is 42."),)),
    "write-file": Scenario((WRITE, Text("I created hello.txt."))),
    "run-command": Scenario((Tool("run", {"command": "echo ran > ran.txt"}), Text("I ran the command."))),
    "run-failing-command": Scenario((Tool("run", {"command": "exit 3"}), Text("The command failed."))),
    "long-command": Scenario((Tool("run", {"command": LONG_COMMAND}), Text("It finished."))),
    "endless": Scenario((Forever(Tool("run", {"command": "echo step"})),)),
    "rate-limit": Scenario((RATE_LIMIT,)),
    "rate-limit-long": Scenario((RATE_LIMIT_LONG,)),
    "rate-limit-once": Scenario((Text("Recovered after a rate limit."),), 1, RATE_LIMIT),
    "usage-limit": Scenario((USAGE_LIMIT,)),
    "quota": Scenario((QUOTA,)),
    "overloaded": Scenario((OVERLOADED,)),
    "unavailable": Scenario((UNAVAILABLE,)),
    "unavailable-once": Scenario((Text("Recovered after an outage."),), 1, UNAVAILABLE),
    "auth": Scenario((AUTH,)),
    "forbidden": Scenario((FORBIDDEN,)),
    "bad-request": Scenario((BAD_REQUEST,)),
    "no-model": Scenario((NO_MODEL,)),
    "no-credit": Scenario((NO_CREDIT,)),
    "slow": Scenario((Slow(),)),
    "drop": Scenario((Drop(),)),
    "rate-limit-in-stream": Scenario((StreamError("rate_limit", RETRY_IN),)),
    "overloaded-in-stream": Scenario((StreamError("overloaded", "fake: overloaded"),)),
}


# --- HTTP plumbing ---------------------------------------------------------------------


class Log:
    """Every request seen, in memory and (if asked for) in a JSONL file."""

    SECRET = ("authorization", "x-api-key")

    def __init__(self, path: str | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._file = open(path, "a", encoding="utf-8", buffering=1) if path else None

    def add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self.entries.append(entry)
            if self._file:
                self._file.write(json.dumps(entry) + "\n")


class FakeServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, handler: type[FakeHandler], default: str, log: Log) -> None:
        super().__init__(("127.0.0.1", port), handler)
        self.default_scenario = default
        self.log = log
        self.failures_left: dict[str, int] = {}
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> FakeServer:
        """Serve from a background thread (for use inside a test process)."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self


class FakeHandler(BaseHTTPRequestHandler):
    """Routes a request to the protocol's ``respond``; subclasses speak one wire protocol."""

    protocol_version = "HTTP/1.1"
    server: FakeServer
    streaming = False

    # -- to be given by a protocol

    def is_model_call(self, path: str) -> bool:
        raise NotImplementedError

    def calls_so_far(self, body: dict[str, Any]) -> int:
        """How many model calls asked for tools since the last one that ended a turn.

        Counting back to an answer, not to a user message: clients add user messages of
        their own (reminders, fresh context) in the middle of a turn."""
        raise NotImplementedError

    def send_reply(self, reply: Reply, body: dict[str, Any]) -> None:
        raise NotImplementedError

    def error_body(self, error: HttpError) -> dict[str, Any]:
        raise NotImplementedError

    def error_headers(self, error: HttpError) -> dict[str, str]:
        return error.headers

    def other(self, path: str, body: dict[str, Any] | None) -> None:
        self.send_json(404, {"error": {"type": "not_found", "message": f"fake: no route {path}"}})

    # -- routing

    def do_GET(self) -> None:
        self.dispatch(None)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            body = {"unparsed_bytes": len(raw)}
        self.dispatch(body)

    def dispatch(self, body: dict[str, Any] | None) -> None:
        path = self.path.split("?", 1)[0]
        if path == "/__requests":
            return self.send_json(200, self.server.log.entries)
        instance = self.server.default_scenario
        if path.startswith("/s/"):
            instance, _, rest = path[3:].partition("/")
            path = "/" + rest
        name = instance.split(".", 1)[0]
        self.server.log.add(
            {
                "at": round(time.time(), 3),
                "scenario": instance,
                "method": self.command,
                "path": path,
                "headers": {
                    k.lower(): ("<present>" if k.lower() in Log.SECRET else v) for k, v in self.headers.items()
                },
                "body": body,
            }
        )
        scenario = SCENARIOS.get(name)
        if scenario is None:
            return self.send_json(404, {"error": {"type": "not_found", "message": f"fake: no scenario {name!r}"}})
        if body is None or not self.is_model_call(path):
            return self.other(path, body)
        self.streaming = False
        try:
            self.send_reply(self.choose(instance, scenario, body), body)
            if self.streaming:
                self.wfile.write(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def choose(self, instance: str, scenario: Scenario, body: dict[str, Any]) -> Reply:
        if scenario.failure is not None:
            with self.server.lock:
                left = self.server.failures_left.setdefault(instance, scenario.fail_first)
                self.server.failures_left[instance] = max(0, left - 1)
            if left > 0:
                return scenario.failure
        done = self.calls_so_far(body)
        if done >= LONGEST_TURN:
            return Text(f"fake: giving up after {done} tool calls")
        reply = scenario.replies[min(done, len(scenario.replies) - 1)]
        return reply.tool if isinstance(reply, Forever) else reply

    # -- writing

    def send_json(self, status: int, payload: Any, headers: dict[str, str] | None = None) -> None:
        data = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_error_reply(self, error: HttpError) -> None:
        self.send_json(error.status, self.error_body(error), self.error_headers(error))

    def open_stream(self) -> None:
        self.streaming = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def hang_up(self) -> None:
        """Cut the connection in the middle of the answer."""
        self.close_connection = True
        if self.streaming:
            self.streaming = False
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b'{"id": "')

    def event(self, data: Any, name: str | None = None) -> None:
        text = data if isinstance(data, str) else json.dumps(data)
        head = f"event: {name}\n" if name else ""
        chunk = f"{head}data: {text}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def working_directory(conversation: Any) -> str:
    """The directory a client tells its model it works in: some tools want absolute paths."""
    found = re.search(r"[Ww]orking (?:in the )?directory(?: is)?:?[ `]*(/[\w./-]+)", json.dumps(conversation))
    return found.group(1) if found else ""


def pieces(text: str, size: int = 12) -> list[str]:
    """``text`` in stream-sized bits."""
    return [text[i : i + size] for i in range(0, len(text), size)] or [""]


def main(handler: type[FakeHandler], description: str) -> None:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one; the URL is printed on stdout")
    parser.add_argument("--scenario", default="text", choices=sorted(SCENARIOS))
    parser.add_argument("--log", help="append every request to this JSONL file")
    args = parser.parse_args()
    server = FakeServer(args.port, handler, args.scenario, Log(args.log))
    print(server.url, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
