"""The version of autopilot-core, read by the build and by ``autopilotctl --version``."""

__version__ = "0.1.0"
