"""The environment that a child may see: an allow-list, so that what nobody thought of stays out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

__all__ = ["child_environment", "encoded", "encoded_variables", "is_forbidden", "secrets_in"]

_NAMES = frozenset(
    [
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "LANGUAGE",
        "TMPDIR",
        "TZ",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "FTP_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "ftp_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS",
    ]
)
_PREFIXES = ("LC_", "XDG_")

_FORBIDDEN_NAMES = frozenset(
    [
        "NODE_OPTIONS",
        "BASH_ENV",
        "ENV",
        "SHELLOPTS",
        "BASHOPTS",
        "PERL5OPT",
        "PERL5LIB",
        "RUBYOPT",
        "RUBYLIB",
        "JAVA_TOOL_OPTIONS",
        "PROMPT_COMMAND",
        "IFS",
        "CDPATH",
        "GLOBIGNORE",
    ]
)
_FORBIDDEN_PREFIXES = ("LD_", "DYLD_", "PYTHON", "GIT_", "NPM_CONFIG_", "BASH_FUNC_")

_SECRET_NAME = re.compile(
    r"KEY(?!BOARD|MAP|STROKE)|TOKEN(?!IZER)|SECRET|PASSW|CREDENTIAL|COOKIE|AUTH(?!OR(?!IZ))", re.IGNORECASE
)
_PLACE_NAME = re.compile(r"_(SOCK|SOCKET|FILE|PATH|DIR|HOME)\Z", re.IGNORECASE)
_SHORTEST_SECRET = 8


def is_forbidden(name: str) -> bool:
    """Whether a variable can make a program run code of somebody else's, so that it is never passed on."""
    upper = name.upper()
    return upper in _FORBIDDEN_NAMES or upper.startswith(_FORBIDDEN_PREFIXES)


def child_environment(
    base: Mapping[str, str],
    *,
    prefixes: Iterable[str] = (),
    names: Iterable[str] = (),
    values: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The environment for a program that an executor starts.

    Taken from ``base``: a short list that every program gets (PATH, HOME, locale, proxies, CA bundles, …) and
    what ``prefixes`` and ``names`` ask for; never variables that make programs load foreign code (``LD_*``,
    ``PYTHON*``, ``NODE_OPTIONS``, ``BASH_ENV``, ``GIT_*``, …), whoever asks. ``TERM`` is ``dumb``.

    Args:
        prefixes: as ``Executor.environment`` declares them: an item that ends in ``_`` is a prefix, any other a
            name.
        names: further names.
        values: set as they are, on top of everything: the operator's own ``set_env:``, the attempt's mark.
    """
    asked = [*prefixes, *names]
    wanted = _NAMES | {item for item in asked if not item.endswith("_")}
    starts = (*_PREFIXES, *(item for item in asked if item.endswith("_")))
    passed = {
        name: value
        for name, value in base.items()
        if (name in wanted or name.startswith(starts)) and not is_forbidden(name)
    }
    return {**passed, "TERM": "dumb", **(values or {})}


def encoded(text: str) -> bytes:
    """A word as a program gets it: in this process's encoding, and in UTF-8 where that does not know it.

    Raises:
        UnicodeEncodeError: it has half of a surrogate pair.
    """
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape")


def encoded_variables(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    """An environment as a program gets it."""
    return {encoded(name): encoded(value) for name, value in environment.items()}


def secrets_in(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables whose values must never reach a log: by name (KEY, TOKEN, SECRET, PASSW, CREDENTIAL, COOKIE,
    AUTH) and with at least 8 characters. Names of places (``SSH_AUTH_SOCK=/tmp/…``) hold no secret."""
    return {
        name: value
        for name, value in environ.items()
        if len(value) >= _SHORTEST_SECRET
        and _SECRET_NAME.search(name)
        and not (_PLACE_NAME.search(name) and value.startswith("/"))
    }
