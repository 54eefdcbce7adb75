"""Secrets are taken out of what the program keeps."""

from __future__ import annotations

import os
from pathlib import Path

from autopilot_adapter_kimi.masking import mask

SECRETS = {
    "KIMI_MODEL_API_KEY": "sk-0123456789",
    "DB_PASSWORD": 'pass"word with \\ in it',
    "SSH_AUTH_SOCK": "/run/agent.sock",
    "SHORT_TOKEN": "abc",
    "LANG": "en_US.UTF-8",
}


def test_secrets_are_overwritten_in_all_their_forms_and_nothing_else(tmp_path: Path) -> None:
    escaped = 'pass\\"word with \\\\ in it'
    text = f'sk-0123456789 {{"a": "sk-0123456789sk-0123456789"}} {escaped} abc /run/agent.sock en_US.UTF-8'
    log = tmp_path / "sessions" / "wire.jsonl"
    log.parent.mkdir()
    log.write_text(text)
    mask(tmp_path, SECRETS)
    masked = log.read_text()
    assert len(masked) == len(text)
    assert "0123456789" not in masked and "word with" not in masked
    assert masked.endswith("abc /run/agent.sock en_US.UTF-8")
    assert masked.count("*") == 3 * len("sk-0123456789") + len(escaped)


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("sk-0123456789")
    home = tmp_path / "home"
    home.mkdir()
    (home / "link").symlink_to(outside)
    (home / "gone").symlink_to(tmp_path / "nowhere")
    (home / "empty").touch()
    os.mkfifo(home / "pipe")
    mask(home, SECRETS)
    assert outside.read_text() == "sk-0123456789"
    mask(tmp_path / "not-there", SECRETS)
