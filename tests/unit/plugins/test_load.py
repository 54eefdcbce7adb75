"""One plugin, loaded by its reference."""

from __future__ import annotations

import json
import sys
from typing import Any

import attrs
import pytest

from autopilot.errors import PluginError
from autopilot.models import PluginRef
from autopilot.models.wire import dump, load
from autopilot.plugins.load import load_ref


def test_a_module_an_attribute_and_extras(make_plugin: Any) -> None:
    ref = make_plugin("class P: pass\nP.inner = P()\nplugin = P()", attribute="plugin")
    module = ref.value.partition(":")[0]
    assert load_ref(ref) is sys.modules[module].plugin
    assert load_ref(PluginRef(name="x", value=f"{module}:plugin.inner [extra]")) is sys.modules[module].P.inner
    assert load_ref(PluginRef(name="x", value=f" {module} ")) is sys.modules[module]


def test_a_class_is_refused(make_plugin: Any) -> None:
    with pytest.raises(PluginError, match="is a class"):
        load_ref(make_plugin("class P: pass", attribute="P"))


@pytest.mark.parametrize(
    ("source", "attribute", "error"), [("1/0", "", ZeroDivisionError), ("", "x", PluginError)]
)
def test_what_the_import_raises_comes_out(source: str, attribute: str, error: type, make_plugin: Any) -> None:
    with pytest.raises(error):
        load_ref(make_plugin(source, attribute=attribute))


def test_options_go_to_configure(make_plugin: Any) -> None:
    source = "given = []\ndef configure(options): given.append(options)"
    assert load_ref(attrs.evolve(make_plugin(source), options={"a": 1})).given == [{"a": 1}]
    assert load_ref(make_plugin(source)).given == []
    with pytest.raises(PluginError, match=r"plugins\.plugin, but this plugin has no configure"):
        load_ref(attrs.evolve(make_plugin(""), options={"a": 1}))


def test_options_cross_processes_and_are_no_part_of_the_identity(make_plugin: Any) -> None:
    ref = make_plugin("")
    given = attrs.evolve(ref, options={"a": [1, None, {"b": "c"}]})
    assert given == ref
    assert hash(given) == hash(ref)
    assert load(PluginRef, json.loads(json.dumps(dump(given)))).options == given.options
