"""Settings are read strictly: every fault names file, line and key."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.config.load import VARIABLES, default_config_text, load_settings, origins
from autopilot.config.settings import ExecutorSettings, LimitSettings, PluginSettings, Settings
from autopilot.errors import ConfigError, SetupError

Load = Callable[..., Settings]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config.yaml"


@pytest.fixture
def load(path: Path) -> Load:
    def loaded(text: str, **environ: str) -> Settings:
        path.write_bytes(text.encode())
        return load_settings(str(path), environ)

    return loaded


def test_no_file_gives_the_defaults(path: Path) -> None:
    assert load_settings(str(path), {}) == Settings()


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "dispatcher:\nexecutors:\n", "~"])
def test_nothing_in_the_file_gives_the_defaults(text: str, load: Load) -> None:
    assert load(text) == Settings()


def test_every_kind_of_value(load: Load) -> None:
    settings = load(
        """
durability: process
store: 'postgresql://host/db'
dispatcher: {max_active: 9, poll_s: 2, backoff_s: .5}
routing:
  weights: {night: 0.5, other: -1}
  order: [codex, claude-code]
tasks:
  protected: []
  allow_protected_touches: true
executors:
  local:
    enabled: false
    slots: null
    strong: [docs]
    set_env: {LEVEL: 10, NAME: "x"}
"""
    )
    assert (settings.durability, settings.store) == ("process", "postgresql://host/db")
    assert (settings.dispatcher.max_active, settings.dispatcher.poll_s, settings.dispatcher.backoff_s) == (
        9,
        2.0,
        0.5,
    )
    assert isinstance(settings.dispatcher.poll_s, float)
    assert settings.routing.weights == {"night": 0.5, "other": -1.0}
    assert settings.routing.order == ("codex", "claude-code")
    assert settings.tasks.protected == ()
    assert settings.tasks.allow_protected_touches is True
    local = settings.executors["local"]
    assert (local.enabled, local.slots, local.strong) == (False, None, ("docs",))
    assert local.set_env == {"LEVEL": "10", "NAME": "x"}
    assert settings.limits == LimitSettings()


def test_other_keys_of_an_executor_are_its_options(load: Load) -> None:
    settings = load(
        """
executors:
  claude-code:
    slots: 2
    model: opus
    turns: 30
    ratio: 1.5
    fast: true
    nothing: ~
    version: "1.10"
    clock: 1:30
    leading: 007
    nested: {list: [1, two], deep: {er: x}}
"""
    )
    claude = settings.executors["claude-code"]
    assert claude.slots == 2
    assert claude.options == {
        "model": "opus",
        "turns": 30,
        "ratio": 1.5,
        "fast": True,
        "nothing": None,
        "version": "1.10",
        "clock": "1:30",
        "leading": "007",
        "nested": {"list": [1, "two"], "deep": {"er": "x"}},
    }


def test_other_sections_of_plugins_are_options_of_that_plugin(load: Load) -> None:
    settings = load("plugins:\n  disabled: [bad]\n  night-rate: {from: 22, to: 6}\n  empty:\n")
    assert settings.plugins == PluginSettings(
        disabled=("bad",), options={"night-rate": {"from": 22, "to": 6}, "empty": {}}
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "message", "hint"),
    [
        ("dispatchr: {}", 1, "dispatchr", "is no setting", "did you mean dispatcher?"),
        ("dispatcher:\n  max_activ: 3", 2, "dispatcher.max_activ", "is no setting", "did you mean max_active?"),
        ("limits:\n\n  zzz: 3", 3, "limits.zzz", "is no setting", "known here: beat_s"),
        ("plugins: {disable: [x]}", 1, "plugins.disable", "is no setting", "did you mean disabled?"),
        ("executors: {a: {options: {x: 1}}}", 1, "executors.a.options", "is no setting", "straight below"),
        ("dispatcher: [1]", 1, "dispatcher", "must be a section", ""),
        ("- a", 1, "", "must be a section", ""),
        ("tasks:\n  protected: .git", 2, "tasks.protected", "must be a list", "[first, second]"),
        ("plugins: {only: }", 1, "plugins.only", "must be a list", ""),
        (
            "dispatcher:\n  max_active: 'x'",
            2,
            "dispatcher.max_active",
            "must be a whole number, not text",
            "quotes",
        ),
        ("dispatcher: {max_active: 1.5}", 1, "dispatcher.max_active", "must be a whole number, not '1.5'", ""),
        ("dispatcher: {max_active: 010}", 1, "dispatcher.max_active", "must be a whole number, not '010'", ""),
        ("dispatcher: {max_active: 1:30}", 1, "dispatcher.max_active", "must be a whole number, not '1:30'", ""),
        ("dispatcher: {max_active: }", 1, "dispatcher.max_active", "must be a whole number", "remove the line"),
        ("dispatcher: {max_active: " + "9" * 400 + "}", 1, "dispatcher.max_active", "must be a whole number", ""),
        ("dispatcher: {poll_s: .nan}", 1, "dispatcher.poll_s", "must be a number", ""),
        ("dispatcher: {poll_s: .}", 1, "dispatcher.poll_s", "must be a number", ""),
        ("dispatcher: {poll_s: 1e999}", 1, "dispatcher.poll_s", "must be more than 0", ""),
        ("dispatcher: {poll_s: 0}", 1, "dispatcher.poll_s", "must be more than 0, not 0.0", ""),
        ("dispatcher: {max_active: -1}", 1, "dispatcher.max_active", "must be 1 or more, not -1", ""),
        (
            "tasks:\n  allow_protected_touches: yes",
            2,
            "tasks.allow_protected_touches",
            "must be true or false",
            "",
        ),
        ("executors: {a: {enabled: off}}", 1, "executors.a.enabled", "must be true or false, not 'off'", ""),
        ("executors:\n  a:\n    shell: no", 3, "executors.a.shell", "text, or a yes-or-no", "write true, false"),
        ("store: [x]", 1, "store", "must be text", ""),
        ("durability: fast", 1, "durability", "must be full or process, not 'fast'", ""),
        ("executors: {a: {tier: low}}", 1, "executors.a.tier", 'must be high, volume or "", not', ""),
        ("executors: {A_b: {}}", 1, "executors", "'A_b' is no executor's name", ""),
        ("routing: {order: [A]}", 1, "routing.order", "'A' is no executor's name", ""),
        ("routing: {weights: {x: 1e999}}", 1, "routing.weights", "must be finite", ""),
        ("executors: {a: {env: [A=b]}}", 1, "executors.a.env", "is no name of an environment variable", ""),
        ('executors: {a: {set_env: {A: "x\\0y"}}}', 1, "executors.a.set_env", "of 'A' has a NUL character", ""),
        ("limits:\n  beat_s: 20", 1, "limits", "lease_ttl_s (30) must be at least twice beat_s (20)", ""),
        ("dispatcher: {backoff_max_s: 1}", 1, "dispatcher", "backoff_max_s (1) is less than backoff_s (5)", ""),
    ],
)
def test_what_is_wrong_is_named_with_its_place(
    text: str, line: int, key: str, message: str, hint: str, load: Load, path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.message.startswith(f"{path}:{line}: {key}")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert (caught.value.path, caught.value.key) == (str(path), key)
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: &x 1", 1, "anchors and aliases"),
        ("a: 1\nb: *x", 2, "anchors and aliases"),
        ("a: !!python/object:os.system x", 1, "the tag"),
        ("store: !x file", 1, "the tag !x"),
        ("dispatcher:\n  <<: {a: 1}", 2, "merge keys"),
        ("store: a\nstore: b", 2, "the key 'store' is there twice (first in line 1)"),
        ("[a]: 1", 1, "a key must be a word"),
        ("store: a\n---\nstore: b", 2, "a second document"),
        ("store: file:", 1, "no valid YAML: mapping values are not allowed"),
        ("a: [1\nb: 2", 2, "no valid YAML"),
        ("a:\n\tb: 1", 2, "no valid YAML"),
        ("a: \x01", 1, "no valid YAML"),
        ("# fine\na: \x00", 2, "no valid YAML: the character U+0000 is not allowed"),
        ("a: " + "[" * 5000, 1, "nested deeper than 20 levels"),
    ],
)
def test_what_yaml_may_not_do_here(text: str, line: int, message: str, load: Load, path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert message in caught.value.message
    assert re.match(rf"{re.escape(str(path))}:{line}: ", caught.value.message)


def test_without_the_c_parser_it_is_the_same(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    from autopilot.config import tree

    tree._loader.cache_clear()
    monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    try:
        assert load("dispatcher: {max_active: 7}\nstore: 'a: b'").dispatcher.max_active == 7
        with pytest.raises(ConfigError, match="there twice"):
            load("store: a\nstore: b")
    finally:
        tree._loader.cache_clear()


def test_not_utf8_too_large_and_not_readable(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"# fine\nstore: \xff\n")
    with pytest.raises(ConfigError, match=":2: this is not UTF-8"):
        load_settings(str(path), {})
    path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_settings(str(path), {})
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="cannot read") as caught:
        load_settings(str(path), {})
    assert "symbolic links" in caught.value.hint


def test_a_byte_order_mark_and_windows_line_ends_are_fine(load: Load) -> None:
    assert load("\ufeffdispatcher:\r\n  max_active: 6\r\n").dispatcher.max_active == 6


def test_the_environment_overrides_the_file(load: Load) -> None:
    text = "durability: full\ndispatcher: {max_active: 2, poll_s: 3}"
    settings = load(text, AUTOPILOT_DURABILITY="process", AUTOPILOT_MAX_ACTIVE="8")
    assert settings.durability == "process"
    assert (settings.dispatcher.max_active, settings.dispatcher.poll_s) == (8, 3.0)
    assert load(text, AUTOPILOT_MAX_ACTIVE="").dispatcher.max_active == 2


@pytest.mark.parametrize(("name", "value"), [("AUTOPILOT_MAX_ACTIVE", "0"), ("AUTOPILOT_DURABILITY", "no")])
def test_a_wrong_override_names_the_variable(name: str, value: str, load: Load) -> None:
    with pytest.raises(ConfigError, match=f"environment {name}: {VARIABLES[name]} must be"):
        load("", **{name: value})


def test_origins_name_file_and_line_environment_or_default(path: Path) -> None:
    path.write_text(
        "limits:\n  grace_s: 5\nexecutors:\n  local:\n    shell: [a]\n    deep:\n      er: 1\n"
        "plugins:\n  x: {y: 1}\n"
    )
    found = {key: (value, origin) for key, value, origin in origins(str(path), {"AUTOPILOT_MAX_ACTIVE": "3"})}
    assert found["limits.grace_s"] == (5.0, f"{path}:2")
    assert found["executors.local.shell"] == (["a"], f"{path}:5")
    assert found["executors.local.deep.er"] == (1, f"{path}:6")
    assert found["executors.local.enabled"] == (True, "default")
    assert found["plugins.x.y"] == (1, f"{path}:9")
    assert found["dispatcher.max_active"] == (3, "environment AUTOPILOT_MAX_ACTIVE")
    assert found["limits.beat_s"] == (10.0, "default")


def test_origins_without_a_file_are_all_defaults(path: Path) -> None:
    found = origins(str(path), {})
    assert {origin for _, _, origin in found} == {"default"}
    keys = [key for key, _, _ in found]
    assert len(keys) == len(set(keys))
    assert {"durability", "routing.weights", "executors", "tasks.protected"} <= set(keys)


def _uncommented(text: str) -> str:
    return re.sub(r"^#(?=\S|  )", "", text, flags=re.MULTILINE)


def test_the_default_config_is_the_defaults_with_and_without_its_comment_marks(load: Load) -> None:
    text = default_config_text()
    assert load(text) == Settings()
    settings = load(_uncommented(text))
    assert settings.executors == {"local": ExecutorSettings()}
    assert _without_executors(settings) == _without_executors(Settings())


def _without_executors(settings: Settings) -> dict[str, Any]:
    import attrs

    return attrs.asdict(settings, filter=lambda field, _: field.name != "executors")


def test_the_default_config_mentions_every_setting(path: Path) -> None:
    path.write_text(_uncommented(default_config_text()))
    unset = [key for key, _, origin in origins(str(path), {}) if origin == "default"]
    # An empty mapping has no line of its own.
    assert unset == ["routing.weights", "executors.local.set_env"]


@pytest.mark.parametrize("text", [None, default_config_text()])
def test_yaml_is_not_imported_for_nothing(text: str | None, path: Path) -> None:
    if text is not None:
        path.write_text(text)
    code = (
        "import sys; from autopilot.config.load import load_settings; load_settings(sys.argv[1], {});"
        "print([name for name in ('yaml', 'typing_extensions', 'difflib') if name in sys.modules])"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, env=environ, check=True
    )
    assert done.stdout.strip() == "[]"
