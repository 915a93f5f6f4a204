"""What objects that own files accept as arguments; what is none is a `ValueError` with a remedy.

Recorders, which never raise, look with `amounts` at what they are given.
"""

import contextlib
import os
from collections.abc import Mapping
from typing import Final

from otel_metrics import values

__all__ = ["TIMESTAMP_MAX", "folder", "in_words", "number", "optional_number", "shown"]

TIMESTAMP_MAX: Final = 253_402_300_799
"""The last Unix second of the year 9999, beyond which dates have no name."""
SHOWN_CHARS_MAX: Final = 80
"""Characters of a refused value that a message shows."""

_WRONG: Final[Mapping[str, str]] = {
    "negative": "is below 0",
    "not_a_number": "is no number",
    "not_finite": "is no finite number",
    "out_of_range": "does not fit into 64 bits",
}
"""What a reason of the counter says to people."""


def number(name: str, given: object, *, most: float | None = None) -> int | float:
    """Return a number as it was given, where it is an int or a float, else as a float.

    Raises:
        ValueError: it is none, not finite, below zero, or over `most`.

    >>> number("quality_score", 1, most=1)
    1
    """
    accepted = "a finite number from 0" if most is None else f"a number from 0 to {most:g}"
    try:
        taken = values.number(given, integer=False, negative=False)
    except values.RejectedValueError as error:
        raise ValueError(f"{name}={shown(given)}: {in_words(error)}; give {accepted}") from None
    if most is not None and taken > most:
        raise ValueError(f"{name}={shown(given)}: is above {most:g}; give {accepted}")
    return given if type(given) in (int, float) else taken  # type: ignore[return-value]  # of these two


def optional_number(name: str, given: object, *, most: float | None = None) -> int | float | None:
    """Return what `number` does; None where nothing was given.

    Raises:
        ValueError: as `number`.
    """
    return None if given is None else number(name, given, most=most)


def folder(setting: str, given: str | os.PathLike[str]) -> str:
    """Return the path of a folder, without `~` and without links.

    Raises:
        ValueError: it is no path.
    """
    path = os.path.expanduser(os.fspath(given))
    if not path or "\0" in path:
        raise ValueError(f"{setting}={path!r}: is no path; give a folder")
    return os.path.realpath(path)


def in_words(error: values.RejectedValueError) -> str:
    """Return what is wrong with a number, for a message."""
    return _WRONG.get(error.reason, error.reason)


def shown(given: object) -> str:
    """Return a value for a message; of what is no plain value only its type.

    >>> shown("fast"), shown(["fast"])
    ("'fast'", '<list>')
    """
    if given is None or isinstance(given, str | bool | int | float):
        with contextlib.suppress(ValueError):  # an integer of more digits than Python writes
            return ascii(given)[:SHOWN_CHARS_MAX]
    return f"<{type(given).__qualname__}>"
