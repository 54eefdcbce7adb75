"""What one check found."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["Finding", "Grade"]

Grade = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """One line of ``doctor``.

    Attributes:
        check: what was looked at; several findings may have the same.
        status: ``ok``, ``warn`` (something to know) or ``fail`` (to be mended).
        hint: how to mend it.
    """

    check: str
    status: Grade
    detail: str
    hint: str = ""

    def row(self) -> dict[str, str]:
        """As ``doctor -o json`` shows it."""
        return dict(self._asdict())
