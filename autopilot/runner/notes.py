"""What the runner's processes have to say for themselves: lines in ``state/launcher.log``."""

from __future__ import annotations

import contextlib
import sys

__all__ = ["note"]


def note(line: str) -> None:
    """One line on stderr. A disk without room for it ends no attempt."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
