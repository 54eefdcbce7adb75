"""Run a real OpenClaw gateway on loopback, pointed at the fake chat-completions server.

    python openclaw_gateway.py --openclaw openclaw --state DIR --port 18789 \\
        --fake-url http://127.0.0.1:8103

Writes DIR/openclaw.json (a fresh DIR each time: OpenClaw refuses a workspace that vanished),
starts the gateway in the foreground, prints one JSON line with its address and tokens as
soon as /readyz says so, and stops it on SIGTERM or SIGINT. A request picks its scenario with
the model "fake-<scenario>/model". Each has a provider of its own, because OpenClaw rests a
provider for a minute after an authentication error.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from core import SCENARIOS

QUIET = {
    "OPENCLAW_DISABLE_BONJOUR": "1",  # no multicast on the network
    "OPENCLAW_NO_AUTO_UPDATE": "1",
    "OPENCLAW_CLAWHUB_URL": "http://127.0.0.1:9",  # its first agent run asks the skill store about updates
    "OPENCLAW_NO_RESPAWN": "1",
    "OPENCLAW_SKIP_CHANNELS": "1",
    "OPENCLAW_EXEC_SHELL_SNAPSHOT": "0",
}


def config(port: int, fake_url: str, workspace: Path, gateway_token: str, hook_token: str) -> dict:
    model = {
        "reasoning": False,
        "input": ["text"],
        "cost": {"input": 3, "output": 15, "cacheRead": 0, "cacheWrite": 0},
        "contextWindow": 200_000,
        "maxTokens": 8192,
    }
    return {
        "gateway": {
            "mode": "local",
            "bind": "loopback",
            "port": port,
            "auth": {"mode": "token", "token": gateway_token},
            "http": {"endpoints": {"chatCompletions": {"enabled": True}, "responses": {"enabled": True}}},
        },
        "update": {"checkOnStart": False},
        "hooks": {
            "enabled": True,
            "token": hook_token,
            "path": "/hooks",
            "allowedAgentIds": ["main"],
            "allowRequestSessionKey": True,
            "allowedSessionKeyPrefixes": ["hook:"],
        },
        "agents": {
            "defaults": {
                "workspace": str(workspace),
                "skipBootstrap": True,
                "model": {"primary": "fake-text/model"},
            }
        },
        "models": {
            "mode": "replace",
            "catalogRefresh": {"enabled": False},
            "providers": {
                f"fake-{name}": {
                    "baseUrl": f"{fake_url}/s/{name}/v1",
                    "apiKey": "fake-key",
                    "api": "openai-completions",
                    "models": [{"id": "model", "name": name, **model}],
                }
                for name in SCENARIOS
            },
        },
    }


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--openclaw", default="openclaw")
    parser.add_argument("--state", required=True, type=Path)
    parser.add_argument("--port", type=int, default=18789)
    parser.add_argument("--fake-url", required=True)
    parser.add_argument("--log", default=os.devnull)
    args = parser.parse_args()

    workspace = args.state / "workspace"
    workspace.mkdir(parents=True)
    tokens = {"gateway_token": secrets.token_hex(24), "hook_token": secrets.token_hex(24)}
    path = args.state / "openclaw.json"
    path.write_text(json.dumps(config(args.port, args.fake_url, workspace, **tokens), indent=1))
    env = {**os.environ, **QUIET, "OPENCLAW_STATE_DIR": str(args.state), "OPENCLAW_CONFIG_PATH": str(path)}
    with open(args.log, "ab") as log:
        gateway = subprocess.Popen(
            [args.openclaw, "gateway", "run", "--port", str(args.port)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def stop(*_: object) -> None:
        """Its own drain can take five minutes while a run is active: ask, wait a little, insist."""
        gateway.terminate()
        try:
            gateway.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(gateway.pid, signal.SIGKILL)
        sys.exit(0)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while gateway.poll() is None and not ready(args.port):
        time.sleep(0.3)
    if gateway.poll() is None:
        url = f"http://127.0.0.1:{args.port}"
        print(json.dumps({"url": url, "workspace": str(workspace), "config": str(path), **tokens}), flush=True)
    return gateway.wait()


if __name__ == "__main__":
    sys.exit(main())
