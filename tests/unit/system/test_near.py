"""What was probably meant."""

from __future__ import annotations

from autopilot.system.near import did_you_mean


def test_what_is_alike_is_proposed() -> None:
    assert did_you_mean("locla", ["claude", "local"]) == "did you mean local?"
    assert did_you_mean("tag", {"tags", "tagg"}) in ("did you mean tags or tagg?", "did you mean tagg or tags?")
    assert did_you_mean("locla", []) == ""
    assert did_you_mean("zzz", ["local"]) == ""
    assert did_you_mean("tag", ["tags", "tagg"], most=1) in ("did you mean tags?", "did you mean tagg?")
