"""One plugin, loaded by its reference."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from autopilot.models import PluginRef
from autopilot.plugins.load import load_ref


def test_a_module_an_attribute_and_extras(make_plugin: Any) -> None:
    ref = make_plugin("class P: pass\nP.inner = P()\nplugin = P()", attribute="plugin")
    module = ref.value.partition(":")[0]
    assert load_ref(ref) is sys.modules[module].plugin
    assert load_ref(PluginRef(name="x", value=f"{module}:plugin.inner [extra]")) is sys.modules[module].P.inner
    assert load_ref(PluginRef(name="x", value=f" {module} ")) is sys.modules[module]


def test_a_class_is_refused(make_plugin: Any) -> None:
    with pytest.raises(TypeError, match="is a class"):
        load_ref(make_plugin("class P: pass", attribute="P"))


@pytest.mark.parametrize(
    ("source", "attribute", "error"), [("1/0", "", ZeroDivisionError), ("", "x", AttributeError)]
)
def test_what_the_import_raises_comes_out(source: str, attribute: str, error: type, make_plugin: Any) -> None:
    with pytest.raises(error):
        load_ref(make_plugin(source, attribute=attribute))


def test_options_go_to_configure(make_plugin: Any) -> None:
    plugin = load_ref(make_plugin("given = []\ndef configure(options): given.append(options)"), {"a": 1})
    assert plugin.given == [{"a": 1}]
    silent = make_plugin("given = []\ndef configure(options): given.append(options)")
    assert load_ref(silent, {}).given == []
    with pytest.raises(TypeError, match=r"plugins\.plugin, but this plugin has no configure"):
        load_ref(make_plugin(""), {"a": 1})
