"""Our values as JSON values and back: one converter for everything that crosses processes or lies in a file.

``dump`` gives plain dicts, lists, strings, numbers and None; ``load`` reads them again. Keys that a class does
not know are left out of account, so that an older program can read what a newer one wrote; missing keys take the
class's default. cattrs is imported by the first call and not before.
"""

from __future__ import annotations

import functools
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from autopilot.system.clock import format_instant, parse_instant

if TYPE_CHECKING:
    import cattrs

__all__ = ["dump", "load", "warm"]

T = TypeVar("T")


def dump(value: Any) -> Any:
    """``value`` (an instance of one of the frozen classes) as JSON values; instants as ISO 8601 UTC text."""
    return _converter().unstructure(value)


def load(cls: type[T], data: Any) -> T:
    """An instance of ``cls`` from what ``dump`` gave.

    Raises:
        ValueError: the data does not fit; the sentence names the class and the fault.
    """
    try:
        return _converter().structure(data, cls)
    except Exception as fault:
        raise ValueError(f"not a valid {cls.__name__}: {type(fault).__name__}: {fault}") from fault


def warm(*samples: Any) -> None:
    """Generate the code for the classes of these values, and of all that they hold, now, so that forked children
    need not."""
    # Generating code for one class may drop what was cached for others: the second pass finds all there.
    for sample in (*samples, *samples):
        load(type(sample), dump(sample))


@functools.cache
def _converter() -> cattrs.Converter:
    import cattrs

    converter = cattrs.Converter(
        unstruct_collection_overrides={tuple: list, AbstractSet: sorted}, detailed_validation=False
    )
    converter.register_unstructure_hook(datetime, format_instant)
    converter.register_structure_hook(datetime, lambda text, _: parse_instant(text))
    for text_or_list in (str | tuple[str, ...], str | tuple[str, ...] | None):
        converter.register_structure_hook(text_or_list, lambda data, _: _text_or_tuple(data))
    return converter


def _text_or_tuple(data: Any) -> Any:
    return tuple(str(item) for item in data) if isinstance(data, list | tuple) else data
