"""The Codex executor keeps the executor contract."""

from __future__ import annotations

from autopilot.testing.executors import CommandExecutorContract
from autopilot_adapter_codex import CodexExecutor


class TestCodexExecutor(CommandExecutorContract):
    done = (
        '{"type":"thread.started","thread_id":"01a201fe-c8f5-7a52-a470-573998c4599e"}',
        '{"type":"turn.started"}',
        '{"type":"item.completed","item":{"id":"item_0","type":"agent_message","text":"I did it."}}',
        '{"type":"turn.completed","usage":{"input_tokens":1000,"cached_input_tokens":200,"output_tokens":50}}',
    )

    def make(self, program: str) -> CodexExecutor:
        return CodexExecutor({"program": program})
