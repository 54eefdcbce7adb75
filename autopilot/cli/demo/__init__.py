"""``autopilotctl demo``: real tasks, from files to done, in a temporary folder.

``examples/quickstart/run_demo.py`` runs the same code.
"""

from __future__ import annotations

from autopilot.cli.demo.play import run_demo

__all__ = ["run_demo"]
