"""Codex's home: the folder of its login and configuration, and what that means for credentials and sandbox."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from autopilot import AttemptContext

__all__ = ["environment", "missing_credentials"]

_KEYS = ("CODEX_API_KEY", "CODEX_ACCESS_TOKEN")


def _home(options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    named = environ.get("CODEX_HOME") or options.get("home")
    user = environ.get("HOME") or os.path.expanduser("~")
    return os.path.expanduser(str(named)) if named else os.path.join(user, ".codex")


def environment(options: Mapping[str, Any], context: AttemptContext) -> dict[str, str]:
    """Variables for one attempt.

    Codex puts no helpers below a temporary folder: with its home below ``TMPDIR``, sandboxed patches and commands
    can fail while it exits with 0. Such an attempt gets a ``TMPDIR`` of its own.
    """
    variables = {}
    place = _home(options, context.environment)
    if options.get("home") and not context.environment.get("CODEX_HOME"):
        variables["CODEX_HOME"] = place
    if _below(place, context.environment.get("TMPDIR") or "/tmp"):
        variables["TMPDIR"] = os.path.join(context.run_dir, "tmp")
        os.makedirs(variables["TMPDIR"], mode=0o700, exist_ok=True)
    return variables


def _below(path: str, folder: str) -> bool:
    path, folder = os.path.realpath(path), os.path.realpath(folder)
    return os.path.commonpath([path, folder]) == folder


def missing_credentials(options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """A sentence when there is no key, no login and no provider that needs neither; empty else."""
    place = _home(options, environ)
    if "CODEX_HOME" in environ and not os.path.isdir(place):
        return f"CODEX_HOME names {place}, which is no folder"
    if any(environ.get(name) for name in _KEYS) or os.path.exists(os.path.join(place, "auth.json")):
        return ""
    config = {} if options.get("ignore_user_config") else _config(place)
    own = options.get("config")
    config |= own if isinstance(own, Mapping) else {}
    if config.get("cli_auth_credentials_store") in ("keyring", "auto"):
        return ""
    return _of_provider(config, environ)


def _of_provider(config: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    name = config.get("model_provider") or "openai"
    if name == "openai":
        return "it is not logged in, and CODEX_API_KEY is not set"
    providers = config.get("model_providers")
    provider = config.get(f"model_providers.{name}") or (
        providers.get(name) if isinstance(providers, Mapping) else None
    )
    key = provider.get("env_key") if isinstance(provider, Mapping) else None
    if not key or environ.get(str(key)):
        return ""
    return f"{key}, which its provider {name} asks for, is not set"


def _config(place: str) -> dict[str, Any]:
    """Its ``config.toml``; empty where it cannot be read: Codex tells best what is wrong with it."""
    import tomllib

    try:
        with open(os.path.join(place, "config.toml"), "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError):
        return {}
