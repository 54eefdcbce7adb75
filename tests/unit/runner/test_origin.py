"""What a launcher hands on to its runners hides the secrets that it knows of."""

from __future__ import annotations

import os

from autopilot.runner.origin import Origin
from autopilot.system.processes import identify


def test_it_is_this_process_its_environment_and_its_secrets(monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "correct-horse-battery")
    origin = Origin.here(identify())
    assert origin.environ == dict(os.environ)
    assert origin.guardian == identify()
    assert origin.redactor.text("correct-horse-battery").startswith("[redacted:DEPLOY_TOKEN:")
    assert Origin.here().guardian is None


def test_secrets_of_one_executor_are_hidden_too(monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "correct-horse-battery")
    origin = Origin.here(identify())
    knowing = origin.knowing({"API_KEY": "staple-staple-staple"})
    text = knowing.redactor.text("correct-horse-battery staple-staple-staple")
    assert [word.split(":")[1] for word in text.split()] == ["DEPLOY_TOKEN", "API_KEY"]
    assert (knowing.environ, knowing.guardian) == (origin.environ, origin.guardian)
    assert origin.knowing({"PATH": "/bin"}) is origin
