"""The allow-list of a child's environment, and which variables are secrets."""

from __future__ import annotations

import pytest

from autopilot.system.environment import child_environment, is_forbidden, secrets_in

EVIL = [
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "NODE_OPTIONS",
    "BASH_ENV",
    "ENV",
    "GIT_SSH_COMMAND",
    "GIT_DIR",
    "NPM_CONFIG_REGISTRY",
    "npm_config_prefix",
    "BASH_FUNC_ls%%",
    "PERL5OPT",
    "RUBYOPT",
]


def test_what_every_program_gets():
    base = {
        "PATH": "/bin",
        "HOME": "/h",
        "LC_ALL": "C",
        "XDG_CACHE_HOME": "/c",
        "https_proxy": "p",
        "TERM": "xterm",
    }
    assert child_environment(base) == {**base, "TERM": "dumb"}


def test_nothing_else_passes():
    base = {"AWS_SECRET_ACCESS_KEY": "x", "ANTHROPIC_API_KEY": "y", "EDITOR": "vi", "SSH_AUTH_SOCK": "/s"}
    assert child_environment(base) == {"TERM": "dumb"}


def test_prefixes_end_in_an_underscore_and_names_are_exact():
    base = {"ANTHROPIC_API_KEY": "1", "ANTHROPICX": "2", "CLAUDE": "3", "CLAUDE_X": "4", "DEPLOY_HOST": "5"}
    passed = child_environment(base, prefixes=["ANTHROPIC_", "CLAUDE"], names=["DEPLOY_HOST"])
    assert passed == {"ANTHROPIC_API_KEY": "1", "CLAUDE": "3", "DEPLOY_HOST": "5", "TERM": "dumb"}


@pytest.mark.parametrize("name", EVIL)
def test_what_makes_programs_load_foreign_code_never_passes(name):
    assert is_forbidden(name)
    assert name not in child_environment({name: "x"}, names=[name])
    assert name not in child_environment({name: "x"}, prefixes=[name.split("_")[0] + "_", name])


@pytest.mark.parametrize("name", ["PATH", "LANG", "ANTHROPIC_API_KEY", "GITHUB_TOKEN", "LDAP_HOST"])
def test_ordinary_names_are_not_forbidden(name):
    assert not is_forbidden(name)


def test_the_operators_own_values_come_last():
    passed = child_environment({"PATH": "/bin"}, values={"PATH": "/opt", "TERM": "ansi", "NODE_OPTIONS": "-x"})
    assert passed == {"PATH": "/opt", "TERM": "ansi", "NODE_OPTIONS": "-x"}


@pytest.mark.parametrize(
    "name",
    "OPENAI_API_KEY GH_TOKEN client_secret DB_PASSWORD PASSWD AWS_CREDENTIALS COOKIE_JAR HTTP_AUTH AUTHORIZATION"
    " GITHUB_TOKEN_FILE".split(),
)
def test_secrets_are_known_by_name(name):
    assert secrets_in({name: "correct horse"}) == {name: "correct horse"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COMPASS_DIR", "/home/somebody"),
        ("BYPASS_CACHE", "certainly"),
        ("GIT_AUTHOR_NAME", "Jane Smith"),
        ("XAUTHORITY", "/home/jane/.Xauthority"),
        ("KEYBOARD_LAYOUT", "de-latin1-nodeadkeys"),
        ("TOKENIZERS_PARALLELISM", "falsefalse"),
        ("SSH_AUTH_SOCK", "/tmp/ssh-1/agent.2"),
        ("GOOGLE_CREDENTIALS_FILE", "/etc/google.json"),
        ("API_KEY", "short"),
        ("PATH", "/usr/bin:/bin"),
    ],
)
def test_what_is_no_secret(name, value):
    assert secrets_in({name: value}) == {}
