"""A fake OpenAI Responses API (POST /v1/responses, server-sent events), for Codex.

python openai_responses.py --port 8102 --log requests.jsonl
codex exec -c model_provider=fake -c 'model_providers.fake={name="fake",
    base_url="http://127.0.0.1:8102/s/write-file/v1",env_key="FAKE_KEY",wire_api="responses"}' ...
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from core import USAGE_RESETS_IN, Drop, FakeHandler, HttpError, Reply, Slow, StreamError, Tool, main, pieces

USAGE = {
    "input_tokens": 1000,
    "input_tokens_details": {"cached_tokens": 200},
    "output_tokens": 50,
    "output_tokens_details": {"reasoning_tokens": 10},
    "total_tokens": 1050,
}

# error kind -> (type, code) in OpenAI's vocabulary
ERRORS = {
    "rate_limit": ("rate_limit_exceeded", "rate_limit_exceeded"),
    "usage_limit": ("usage_limit_reached", "usage_limit_reached"),
    "quota": ("insufficient_quota", "insufficient_quota"),
    "overloaded": ("server_error", "server_is_overloaded"),
    "server": ("server_error", "server_error"),
    "auth": ("invalid_request_error", "invalid_api_key"),
    "forbidden": ("invalid_request_error", "unsupported_country_region_territory"),
    "bad_request": ("invalid_request_error", "invalid_request"),
    "no_credit": ("insufficient_quota", "insufficient_quota"),
    "no_model": ("invalid_request_error", "model_not_found"),
}


class OpenAIResponses(FakeHandler):
    def is_model_call(self, path: str) -> bool:
        return path.endswith("/responses")

    def other(self, path: str, body: dict[str, Any] | None) -> None:
        if path.endswith("/models"):
            return self.send_json(200, {"object": "list", "data": [], "models": []})
        super().other(path, body)

    def calls_so_far(self, body: dict[str, Any]) -> int:
        calls, in_batch = 0, False
        for item in reversed(body.get("input", [])):
            if item.get("role") == "assistant":
                break
            is_output = str(item.get("type", "")).endswith("_output")
            calls += is_output and not in_batch
            in_batch = is_output
        return calls

    def error_body(self, error: HttpError) -> dict[str, Any]:
        kind, code = ERRORS[error.kind]
        details: dict[str, Any] = {"message": error.message, "type": kind, "param": None, "code": code}
        if error.kind == "usage_limit":
            resets_at = int(time.time()) + USAGE_RESETS_IN
            details |= {"plan_type": "plus", "resets_at": resets_at, "resets_in_seconds": USAGE_RESETS_IN}
        return {"error": details}

    def send_reply(self, reply: Reply, body: dict[str, Any]) -> None:
        if isinstance(reply, HttpError):
            return self.send_error_reply(reply)
        response: dict[str, Any] = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "model": body.get("model"),
            "status": "in_progress",
            "output": [],
        }
        self.open_stream()
        self._sequence = 0
        self._emit("response.created", response=response)
        if isinstance(reply, StreamError):
            error = {"code": ERRORS[reply.kind][1], "message": reply.message}
            return self._emit("response.failed", response={**response, "status": "failed", "error": error})
        items = _items(reply, body)
        for index, item in enumerate(items):
            self._stream_item(index, item, reply)
            if isinstance(reply, Drop):
                return self.hang_up()
        self._emit(
            "response.completed", response={**response, "status": "completed", "output": items, "usage": USAGE}
        )

    def _emit(self, kind: str, **fields: Any) -> None:
        self.event({"type": kind, "sequence_number": self._sequence, **fields}, kind)
        self._sequence += 1

    def _stream_item(self, index: int, item: dict[str, Any], reply: Reply) -> None:
        self._emit("response.output_item.added", output_index=index, item=_opening(item))
        if item["type"] == "message":
            at = {"item_id": item["id"], "output_index": index, "content_index": 0}
            if isinstance(reply, Slow):
                for n in range(reply.chunks):
                    self._emit("response.output_text.delta", **at, delta=f"chunk {n} ")
                    time.sleep(reply.every)
            for piece in pieces(item["content"][0]["text"]):
                self._emit("response.output_text.delta", **at, delta=piece)
        if not isinstance(reply, Drop):
            self._emit("response.output_item.done", output_index=index, item=item)


def _opening(item: dict[str, Any]) -> dict[str, Any]:
    emptied = {"content": [], "arguments": "", "input": ""}
    return {key: emptied.get(key, value) for key, value in item.items()} | {"status": "in_progress"}


def _items(reply: Reply, body: dict[str, Any]) -> list[dict[str, Any]]:
    if isinstance(reply, Tool):
        return [_codex_call(reply, body)]
    return [_message(getattr(reply, "text", ""))]


def _message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _codex_call(tool: Tool, body: dict[str, Any]) -> dict[str, Any]:
    """The scripted action, expressed with whichever tool this Codex and model offer for it.

    Models that Codex does not know get plain functions (exec_command); its current default
    models get one "exec" tool that runs JavaScript, which in turn calls the others.
    """
    offered = _offered(body)
    call = {"id": f"fc_{uuid.uuid4().hex}", "call_id": f"call_{uuid.uuid4().hex[:20]}", "status": "completed"}

    def function(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return {**call, "type": "function_call", "name": name, "arguments": json.dumps(arguments)}

    def custom(name: str, text: str) -> dict[str, Any]:
        return {**call, "type": "custom_tool_call", "name": name, "input": text}

    patch = ""
    if tool.action == "write":
        lines = "".join(f"+{line}\n" for line in tool.args["content"].splitlines())
        patch = f"*** Begin Patch\n*** Add File: {tool.args['path']}\n{lines}*** End Patch\n"
    command = tool.args.get("command") or f"apply_patch <<'EOF'\n{patch}EOF"

    if offered.get("exec") == "custom":
        nested = f"apply_patch({json.dumps(patch)})" if patch else f"exec_command({json.dumps({'cmd': command})})"
        return custom("exec", f"text(JSON.stringify(await tools.{nested}));")
    if patch and offered.get("apply_patch") == "custom":
        return custom("apply_patch", patch)
    if "exec_command" in offered:
        return function("exec_command", {"cmd": command})
    if "shell_command" in offered:
        return function("shell_command", {"command": command})
    return function("shell", {"command": ["bash", "-lc", command]})


def _offered(body: dict[str, Any]) -> dict[str, str]:
    """Tool name -> its type, from the request's own list, nested namespaces, and any list sent as input."""
    lists = [body.get("tools") or []]
    lists += [item["tools"] for item in body.get("input", []) if item.get("type") == "additional_tools"]
    found: dict[str, str] = {}
    while lists:
        for tool in lists.pop():
            if tool.get("type") == "namespace":
                lists.append(tool["tools"])
            else:
                found[tool.get("name") or tool["type"]] = tool["type"]
    return found


if __name__ == "__main__":
    main(OpenAIResponses, __doc__ or "")
