"""Whatever is in the config file, the answer is settings or an error that names the file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autopilot.config.load import default_config_text, load_settings, origins
from autopilot.config.settings import Settings
from autopilot.errors import ConfigError
from tests.campaign import size

KEYS = [
    *(field.name for field in attrs.fields(Settings)),
    *(
        "max_active",
        "poll_s",
        "disabled",
        "only",
        "protected",
        "weights",
        "local",
        "env",
        "set_env",
        "x",
        "<<",
        "1",
    ),
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["full", "process", "no", "file:", "wait", "0x10", "1_000", "1:30", "NULL", "~", "!x", "*y", "&z"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
trees = st.dictionaries(st.sampled_from(KEYS), values, max_size=5)
pieces = st.sampled_from(
    [
        "dispatcher:",
        "\n",
        "\n  ",
        "max_active",
        ": ",
        "4",
        "[",
        "]",
        "{",
        "}",
        "- ",
        "&a",
        "*a",
        "!!int",
        "|",
        ">",
        "'",
        '"',
        "#",
        "\t",
        "\ufeff",
        "---",
        "...",
    ]
)
texts = st.one_of(
    st.binary(max_size=200), st.lists(pieces, max_size=30).map(lambda parts: "".join(parts).encode())
)


@pytest.fixture(scope="module")
def path() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield f"{folder}/config.yaml"


def outcome(path: str, data: bytes) -> Settings | ConfigError:
    Path(path).write_bytes(data)
    try:
        return load_settings(path, {})
    except ConfigError as fault:
        return fault


def judge(path: str, data: bytes) -> None:
    found = outcome(path, data)
    if isinstance(found, ConfigError):
        assert found.message.startswith(f"{path}:")
        assert found.path == path
        assert "\n" not in found.message
        return
    for key, value, origin in origins(path, {}):
        assert key
        assert origin == "default" or int(origin.removeprefix(f"{path}:")) > 0
        assert value is None or not attrs.has(type(value))


@settings(max_examples=size(300, 15000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=texts)
def test_any_bytes(path: str, data: bytes) -> None:
    judge(path, data)


@settings(max_examples=size(300, 15000), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tree=trees, flow=st.booleans())
def test_any_tree(path: str, tree: dict[str, Any], flow: bool) -> None:
    judge(path, yaml.safe_dump(tree, allow_unicode=True, default_flow_style=flow).encode("utf-8", "surrogatepass"))


@settings(max_examples=size(100, 5000), deadline=None)
@given(
    at=st.integers(0, len(default_config_text())), insert=st.binary(min_size=1, max_size=6), drop=st.integers(0, 6)
)
def test_a_damaged_default_config(path: str, at: int, insert: bytes, drop: int) -> None:
    data = default_config_text().replace("\n#", "\n").encode()
    judge(path, data[:at] + insert + data[at + drop :])


OPTIONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**17), 10**17), st.text(alphabet="abc é:#-", max_size=6)),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=size(100, 5000), deadline=None)
@given(options=st.dictionaries(st.sampled_from(["model", "turns", "extra"]), OPTIONS, max_size=3))
def test_options_come_back_as_they_were_written(path: str, options: dict[str, Any]) -> None:
    text = yaml.safe_dump({"executors": {"any": options}}, allow_unicode=True, default_style=None)
    found = outcome(path, text.encode())
    assert isinstance(found, Settings)
    assert found.executors["any"].options == options
