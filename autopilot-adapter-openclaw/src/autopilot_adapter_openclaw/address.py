"""Where the gateway is, and which tokens open it: options, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

from autopilot import ConfigError

__all__ = ["ADDRESS_OPTIONS", "Address", "token_from", "word_of"]

DEFAULT_URL = "http://127.0.0.1:18789"
ADDRESS_OPTIONS = frozenset(
    {"url", "hooks_path", "allow_plain_http", "ca_file", "gateway_token_env", "hook_token_env"}
)
_SECRETS = frozenset({"token", "gateway_token", "hook_token", "password", "api_key"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HEADER_WORD = re.compile(r"[\x21-\x7e]+\Z")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*\Z")


@attrs.frozen(kw_only=True)
class Address:
    """The gateway's address.

    Attributes:
        path: a prefix of every path, where a proxy puts the gateway below one; begins with ``/`` or is empty.
        hooks_path: the gateway's ``hooks.path``.
        ca_file: certificates to trust beside none other; None for the system's.
        gateway_token_env, hook_token_env: names of the variables that hold the tokens.
    """

    host: str
    port: int
    tls: bool = False
    path: str = ""
    hooks_path: str = "/hooks"
    ca_file: str | None = None
    gateway_token_env: str = "OPENCLAW_GATEWAY_TOKEN"
    hook_token_env: str = "OPENCLAW_HOOKS_TOKEN"

    @property
    def loopback(self) -> bool:
        """Whether it is this machine."""
        return _is_loopback(self.host)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Address:
        """The address that a section of the config names.

        Raises:
            ConfigError: an option is wrong, or holds a secret.
        """
        for name in sorted(_SECRETS & set(options)):
            raise ConfigError(
                f"the option {name} would put a secret into the config",
                hint="set it in the environment; gateway_token_env and hook_token_env name the variables",
            )
        path = str(options.get("hooks_path") or "/hooks").rstrip("/")
        if not path.startswith("/") or not _PATH.match(path):
            raise ConfigError(f"hooks_path {path!r} is no path", hint="write it as in hooks.path of OpenClaw")
        names: dict[str, Any] = {
            key: _variable(key, options[key])
            for key in ("gateway_token_env", "hook_token_env")
            if options.get(key)
        }
        ca_file = options.get("ca_file")
        place = _place(str(options.get("url") or DEFAULT_URL), plain=options.get("allow_plain_http") is True)
        return cls(hooks_path=path, ca_file=str(ca_file) if ca_file else None, **place, **names)


def token_from(environ: Mapping[str, str], name: str) -> str:
    """The token that a variable holds, empty where it is not set; read at each use, so that a new one counts.

    Raises:
        ConfigError: it could not stand in a header.
    """
    token = environ.get(name, "").strip()
    return word_of(token, f"the value of {name}", secret=True) if token else ""


def word_of(value: str, what: str, *, secret: bool = False) -> str:
    """``value``, if it is one word that may stand in a header.

    Raises:
        ConfigError: it has blanks, line ends or other characters; a secret is not repeated.
    """
    if _HEADER_WORD.match(value):
        return value
    shown = "" if secret else f" {value[:80]!r}"
    raise ConfigError(f"{what}{shown} is not one word of printable ASCII", hint="correct it and try again")


def _place(url: str, *, plain: bool) -> dict[str, Any]:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as fault:
        raise _wrong_url(f"is no address ({fault})") from None
    if parts.scheme not in ("http", "https") or not host or not _PATH.match(parts.path.rstrip("/")):
        raise _wrong_url("is no http or https address")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise _wrong_url("holds more than scheme, host, port and path")
    tls = parts.scheme == "https"
    if not tls and not plain and not _is_loopback(host):
        raise ConfigError(
            f"plain http to {host} would send the token over the network in clear",
            hint="use https, or set allow_plain_http: true where the network is yours",
        )
    return {"host": host, "port": port or (443 if tls else 80), "tls": tls, "path": parts.path.rstrip("/")}


def _wrong_url(what: str) -> ConfigError:
    return ConfigError(f"the option url {what}", hint=f"write it like {DEFAULT_URL}; tokens go by the environment")


def _variable(key: str, value: object) -> str:
    if isinstance(value, str) and _VARIABLE.match(value):
        return value
    # Not repeated: it may be the secret itself, written into the wrong place.
    raise ConfigError(f"the option {key} is no name of a variable", hint=f"write {key}: MY_TOKEN, not the token")


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
