"""The pytest plugin of the conformance kit; see ``autopilot.testing``."""
