"""A fake chat-completions API (POST …/chat/completions, streaming and not), for Kimi Code and OpenClaw.

    python openai_chat.py --port 8103 --log requests.jsonl
    KIMI_MODEL_NAME=fake KIMI_MODEL_PROVIDER_TYPE=kimi KIMI_MODEL_API_KEY=fake \\
    KIMI_MODEL_BASE_URL=http://127.0.0.1:8103/s/write-file/v1 kimi -p ...
"""

from __future__ import annotations

import json
import os.path
import shlex
import time
import uuid
from typing import Any

from core import (
    Drop,
    FakeHandler,
    HttpError,
    Reply,
    Slow,
    StreamError,
    Text,
    Tool,
    main,
    pieces,
    working_directory,
)

USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 50,
    "total_tokens": 1050,
    "cached_tokens": 200,
    "prompt_tokens_details": {"cached_tokens": 200},
}

ERROR_TYPES = {
    "rate_limit": "rate_limit_reached_error",
    "usage_limit": "exceeded_current_quota_error",
    "quota": "exceeded_current_quota_error",
    "overloaded": "engine_overloaded_error",
    "server": "server_error",
    "auth": "invalid_authentication_error",
    "forbidden": "permission_denied_error",
    "bad_request": "invalid_request_error",
    "no_credit": "exceeded_current_quota_error",
    "no_model": "resource_not_found_error",
}

# what clients call their tools (Kimi Code, OpenClaw, OpenCode, Qwen Code), and these the path
WRITERS = ("Write", "WriteFile", "write", "write_file")
RUNNERS = ("Bash", "Shell", "exec", "bash", "run_shell_command")
PATHS = ("path", "filePath", "file_path")


class OpenAIChat(FakeHandler):
    def is_model_call(self, path: str) -> bool:
        return path.endswith("/chat/completions")

    def other(self, path: str, body: dict[str, Any] | None) -> None:
        if path.endswith("/models"):
            model = {"id": "fake-model", "object": "model", "owned_by": "fake", "context_length": 262144}
            return self.send_json(200, {"object": "list", "data": [model]})
        super().other(path, body)

    def calls_so_far(self, body: dict[str, Any]) -> int:
        calls = 0
        for message in reversed(body.get("messages", [])):
            if message["role"] == "assistant":
                if not message.get("tool_calls"):
                    break
                calls += 1
        return calls

    def error_body(self, error: HttpError) -> dict[str, Any]:
        return {
            "error": {"message": error.message, "type": ERROR_TYPES[error.kind], "code": ERROR_TYPES[error.kind]}
        }

    def send_reply(self, reply: Reply, body: dict[str, Any]) -> None:
        if isinstance(reply, HttpError):
            return self.send_error_reply(reply)
        if isinstance(reply, StreamError):
            return self.send_error_reply(HttpError(503, reply.kind, reply.message))
        if isinstance(reply, Tool) and not body.get("tools"):
            reply = Text("ok")  # a side call (a title, a summary): no tools on offer
        message = _message(reply, body)
        finish = "tool_calls" if "tool_calls" in message else "stop"
        head = {"id": f"chatcmpl-{uuid.uuid4().hex[:24]}", "created": int(time.time()), "model": body.get("model")}
        if not body.get("stream"):
            choice = {"index": 0, "message": message, "finish_reason": finish}
            return self.send_json(200, {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE})

        def chunk(delta: dict[str, Any], reason: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            self.event({**head, "object": "chat.completion.chunk", "choices": [choice]})

        self.open_stream()
        chunk({"role": "assistant", "content": ""})
        if isinstance(reply, Slow):
            for n in range(reply.chunks):
                chunk({"content": f"chunk {n} "})
                time.sleep(reply.every)
        for piece in pieces(message["content"]) if message["content"] else []:
            chunk({"content": piece})
        if isinstance(reply, Drop):
            return self.hang_up()
        for index, call in enumerate(message.get("tool_calls", [])):
            arguments = call["function"]["arguments"]
            chunk({"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]})
            for piece in pieces(arguments):
                chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        chunk({}, finish)
        self.event({**head, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
        self.event("[DONE]")


def _message(reply: Reply, body: dict[str, Any]) -> dict[str, Any]:
    if isinstance(reply, Tool):
        name, arguments = _tool(reply, body)
        call = {
            "id": f"call_{uuid.uuid4().hex[:20]}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    return {"role": "assistant", "content": getattr(reply, "text", "")}


def _tool(tool: Tool, body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The scripted action, expressed with a tool that this client offers."""
    offered = {t["function"]["name"]: t["function"].get("parameters", {}) for t in body["tools"]}
    writer = next((name for name in WRITERS if name in offered), None)
    if tool.action == "write" and writer:
        accepted = offered[writer].get("properties", {})
        key = next((name for name in PATHS if name in accepted), PATHS[0])
        path = os.path.join(working_directory(body["messages"]), tool.args["path"])
        return writer, {key: path, "content": tool.args["content"]}
    runner = next((name for name in RUNNERS if name in offered), None)
    if runner is None:
        raise LookupError(f"no tool for {tool.action!r} among {sorted(offered)}")
    command = tool.args.get("command") or f"printf %s {shlex.quote(tool.args['content'])} > {tool.args['path']}"
    accepted = offered[runner].get("properties", {})
    arguments: dict[str, Any] = {"command": command}
    if "description" in accepted:
        arguments["description"] = "scripted by the fake model"
    if "is_background" in accepted:
        arguments["is_background"] = False
    return runner, arguments


if __name__ == "__main__":
    main(OpenAIChat, __doc__ or "")
