"""Makes the peer zoo importable, and keeps the machine's own OpenClaw out of the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

GATEWAY_TOKEN = "gateway-token-0123456789abcdef"
HOOK_TOKEN = "hook-token-0123456789abcdef"


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Both tokens, in the environment; proxies of the machine must not matter."""
    found = {"OPENCLAW_GATEWAY_TOKEN": GATEWAY_TOKEN, "OPENCLAW_HOOKS_TOKEN": HOOK_TOKEN}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    return found
